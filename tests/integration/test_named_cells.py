"""What a notebook has by itself, and what its named cells leave there; what goes wrong is told without RustRay's own
frames."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.notebook import Notebook


@pytest.fixture(scope="module")
def notebook() -> Iterator[Notebook]:
    opened = Notebook()
    try:
        assert "ready with 2 CPUs" in opened.run("%load_ext rustray\n%rustray init --num-cpus 2").text["stdout"]
        yield opened
    finally:
        opened.close()


def test_the_extension_brings_the_module_and_the_named_cells(notebook: Notebook) -> None:
    assert notebook.run("rustray.__name__, rustray_cells").value == "('rustray', {})"
    assert notebook.run("%%remote\nrustray.__name__").value == "'rustray'"


def test_named_cells_leave_their_values(notebook: Notebook) -> None:
    notebook.run("%%remote --name one\n41 + 1")
    notebook.run("%%remote --name sweep --map 'n in range(3)'\nn * n")
    notebook.run("%%remote -b --name later\n'later'")
    notebook.run("%%remote\n'has no name'")
    found = "dict(rustray_cells) | {'later': rustray.get(rustray_cells['later'])}"
    assert notebook.run(found).value == "{'one': 42, 'sweep': [0, 1, 4], 'later': 'later'}"
    assert notebook.run("%%remote --name one\nrustray_cells['one'] + 1").value == "43"  # goes on from the last one
    notebook.run("%%remote --name one\n1 / 0")
    assert notebook.run("'one' in rustray_cells").value == "False"


def test_cancelling_what_has_ended_says_so(notebook: Notebook) -> None:
    notebook.run("%%remote -b --name 'to end'\n1")
    notebook.run("rustray.get(rustray_cells['to end'])\ndef train(): pass")
    notebook.run("%%remote --name train\n1")
    for name in ("to end", "train", "train"):
        shown = notebook.run(f"%rustray cancel {name}")
        told = rf"RustRay: {name} has ended \(done [\d.]+ m?s ago\)\.\n"
        assert re.fullmatch(told, shown.text["stdout"]), shown
