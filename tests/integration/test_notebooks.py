"""Every notebook of `notebooks/` runs from top to bottom in a kernel of its own, and leaves no process behind."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.notebook import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SAID = {
    "image_pipeline": "sharpness",
    "interactive_vs_batch": "none was run twice",
    "kill_the_head": "acknowledged facts that are gone: 0",
    "objects": "its node is dead; the value all the same",
    "quickstart": "32 of 32 done",  # by the bar, as the demo shows it once its cell has ended
    "tasks_and_actors": "100 waits of 0.3 s took",
}
"""What the last steps of each print, so that one that was cut short is noticed."""


@pytest.mark.timeout(240)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_leaves_nothing(path) -> None:
    """`examples/demo.py` runs it as `./install.sh demo` does the first one, and fails if a process is left."""
    ran = subprocess.run(
        [sys.executable, "examples/demo.py", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=230,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    assert "nothing is left running" in ran.stdout
    assert SAID[path.stem] in ran.stdout
