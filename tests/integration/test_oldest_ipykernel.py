"""What hangs on ipykernel's own ways, with the oldest that is supported: output, cards, the stop button, restarts."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_cells import COLOUR, OPEN, gate_of
from tests.integration.test_cells_stopped import STOP_S, STOPPED
from tests.notebook import Notebook
from tests.support import eventually

FOLDER = Path(sys.prefix) / "ipykernel-6.29"
"""`./install.sh test` puts it there."""
pytestmark = pytest.mark.skipif(
    not (FOLDER / "ipykernel").is_dir(), reason=f"ipykernel 6.29 is not in {FOLDER}: ./install.sh test puts it there"
)


@pytest.fixture(scope="module")
def notebook() -> Iterator[Notebook]:
    opened = Notebook(PYTHONPATH=os.pathsep.join(filter(None, [str(FOLDER), os.environ.get("PYTHONPATH", "")])))
    try:
        assert "is ready with 4 CPUs" in opened.run(OPEN).text["stdout"]
        assert opened.run("import ipykernel\nipykernel.__version__[:5]").value == "'6.29.'"
        yield opened
    finally:
        opened.close()


def test_what_cells_that_overlap_print_comes_to_them(notebook: Notebook, tmp_path: Path) -> None:
    gate = gate_of(notebook, tmp_path / "gate")
    first = notebook.run("%%remote -b --name first\nprint('first begins')\ngate.wait()\nprint('first ends')")
    gate.wait_for_waiters()
    notebook.run("@rustray.remote\ndef say(word, gate):\n    gate.wait()\n    print(word)\nlate = None")
    cell = notebook.start("late = say.remote('late', gate)")
    notebook.finish(cell)
    second = notebook.run("%%remote\nprint('second')\ngate.open()\n2")
    assert (second.text["stdout"], second.value) == ("second\n", "2")
    assert notebook.run("rustray.get([late, rustray_cells['first']])").text["stdout"] == ""
    eventually(lambda: (notebook.run("1"), "first: done after" in next(iter(first.cards.values())))[1])
    eventually(lambda: (notebook.run("1"), notebook.shown[cell].text["stdout"].endswith(") late\n"))[1])
    assert first.text["stdout"] == "first begins\nfirst ends\n"


def test_displays_and_errors(notebook: Notebook) -> None:
    shown = notebook.run("%%remote\nfrom IPython.display import HTML\ndisplay(HTML('<b>rich</b>'))")
    assert shown.displays[0]["text/html"] == "<b>rich</b>"
    shown = notebook.run("%%remote\nx = 0\n1 / x")
    assert re.search(r"line 3\n-*>?\s+.*1 / x", COLOUR.sub("", shown.error)), shown.error
    assert notebook.run("%%remote\ndef f(:").kind == "SyntaxError"
    assert "rustray/" not in COLOUR.sub("", notebook.run("rustray.get(5)").error)
    assert notebook.run("%%remote --map 'n in missing'\nn").error == "NameError: name 'missing' is not defined"


def test_the_stop_button(notebook: Notebook) -> None:
    notebook.run("@rustray.remote\ndef long():\n    print('begins')\n    time.sleep(60)")
    for source, said in (
        ("rustray.get(long.remote())", re.compile(r"----> 1 rustray\.get\(long\.remote\(\)\)")),
        ("%%remote\nprint('begins')\ntime.sleep(60)", STOPPED),
    ):
        cell = notebook.start(source)
        notebook.read_text("begins")
        pressed = notebook.interrupt()
        shown = notebook.finish(cell)
        assert time.monotonic() - pressed < STOP_S
        assert shown.kind == "KeyboardInterrupt" and said.search(COLOUR.sub("", shown.error))
        assert ".py" not in shown.error


def test_a_kernel_that_is_started_again_finds_its_cells(notebook: Notebook, tmp_path: Path) -> None:
    gate = gate_of(notebook, tmp_path / "gate")
    notebook.run("%%remote -b --name fit\ngate.wait()\n42")
    gate.wait_for_waiters()
    notebook.start("%%remote --name waited\ngate.wait()\n43")
    gate.wait_for_waiters(2)
    notebook.restart()
    assert "as the kernel before has left it" in notebook.run(OPEN).text["stdout"]
    cell = notebook.start("%rustray attach")
    cards = notebook.finish(cell).cards
    before, fit, waited = cards.values()
    assert waited.startswith("waited: running for")
    assert before.startswith("first: done after") and fit.startswith("fit: running for")
    gate.open()
    assert notebook.run("rustray.get([rustray_cells[name] for name in ('fit', 'waited')])").value == "[42, 43]"
    eventually(lambda: (notebook.run("1"), "fit: done after" in list(cards.values())[1])[1])
