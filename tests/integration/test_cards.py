"""What stands of a cell's card in a notebook's file: nothing runs there for ever."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from tests.integration.test_cells import OPEN, gate_of
from tests.notebook import ROOT, Notebook
from tests.support import eventually


def card_in(notebook: nbformat.NotebookNode, at: int) -> str:
    """The text of the card that the cell at this place has shown."""
    (card,) = (o for o in notebook.cells[at].outputs if o.output_type == "display_data")
    return str(card.data["text/plain"])


def test_cards_in_a_file_that_was_made_without_a_front_end(tmp_path: Path) -> None:
    codes = (
        OPEN,
        "%%remote -b --map 'n in range(4)' --name loop\nn",
        "rustray.get(rustray_cells['loop'])",
        "%%remote -b --name over\n1",
        # It ends between two cells, or in the last one.
        "_ = rustray.wait([rustray_cells['over']])",
        f"gate = Gate(Path({str(tmp_path / 'gate')!r}))",
        "%%remote -b --map 'n in range(4)' --name held\nif n: gate.wait()\nn",
        "_ = rustray.wait(rustray_cells['held'])",
        "1",
    )
    made = new_notebook(cells=[new_code_cell(code) for code in codes])
    NotebookClient(made, timeout=120, resources={"metadata": {"path": str(ROOT)}}).execute()
    assert made.cells[2].outputs[0].data["text/plain"] == "[0, 1, 2, 3]"
    assert re.match(r"loop: 4 of 4 done, .*, done after ", card_in(made, 1))
    assert card_in(made, 3).startswith("over: done after ")
    assert re.match(r"held: 1 of 4 done, .*, for .* \(as of \w+ \d+ [\d:]+\)$", card_in(made, 6))


@pytest.fixture(scope="module")
def notebook() -> Iterator[Notebook]:
    opened = Notebook()
    try:
        opened.run(OPEN)
        yield opened
    finally:
        opened.close()


def test_a_defect_is_told_on_the_card_and_the_next_news_come(notebook: Notebook, tmp_path: Path) -> None:
    gate = gate_of(notebook, tmp_path / "gate")
    notebook.run(
        "from rustray.jupyter.keeper_link import KeeperLink, keeper_of\nfrom rustray.driver.current import current\n"
        "news = keeper_of(current()).news\nkept = news._take\n"
        "def defect(states): raise ZeroDivisionError('no number')\n"
    )
    shown = notebook.run("%%remote -b --name odd\ngate.wait()")
    gate.wait_for_waiters()
    notebook.run("news._take = defect")
    eventually(lambda: (notebook.run("1"), "; no news: ZeroDivisionError: no number" in card(shown.cards))[1])
    notebook.run("news._take = kept")
    gate.open()
    eventually(lambda: (notebook.run("1"), card(shown.cards).startswith("odd: done after"))[1])
    assert "no news" not in card(shown.cards)


def test_who_leaves_the_cluster_sees_that_his_cells_were_stopped(notebook: Notebook, tmp_path: Path) -> None:
    gate = gate_of(notebook, tmp_path / "gate")
    shown = notebook.run("%%remote -b --name left\ngate.wait()")
    gate.wait_for_waiters()
    notebook.run("rustray.shutdown()")
    assert re.match(r"left: stopped after [\d.]+ m?s$", card(shown.cards))


def card(cards: dict[str, str]) -> str:
    (text,) = cards.values()
    return text
