"""The cluster that a notebook has worked on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rustray.jupyter import worked_on
from rustray.jupyter.attaching import Attached


def test_the_cluster_that_a_notebook_has_worked_on_is_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("RUSTRAY_RUNTIME_DIR", str(tmp_path))
    running = ["one", "two", "three"]
    assert worked_on.last_one_last("/a.ipynb", running) == running
    worked_on.remember("/a.ipynb", "three")
    worked_on.remember("/a.ipynb", "one")
    worked_on.remember("/b.ipynb", "gone")
    assert worked_on.last_one_last("/a.ipynb", running) == ["two", "three", "one"]
    assert worked_on.last_one_last("/b.ipynb", running) == running
    files = list((tmp_path / worked_on.FOLDER).iterdir())
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600] * 2
    for file in files:
        os.utime(file, (0, 0))
    worked_on.remember("/c.ipynb", "two")
    assert len(list((tmp_path / worked_on.FOLDER).iterdir())) == 1


def test_who_finds_no_cells_hears_of_other_clusters() -> None:
    assert repr(Attached([], {})).endswith("are kept.")
    assert "Other clusters run: one, two. For one: %rustray shutdown" in repr(Attached([], {}, ["one", "two"]))
