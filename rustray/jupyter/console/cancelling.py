"""`%rustray cancel`: refs, a task by its id, a `%%remote` cell by its name, or all that the notebook has submitted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import rustray
from rustray.driver.current import current
from rustray.driver.generator import ObjectRefGenerator
from rustray.driver.refs import ObjectRef
from rustray.errors import OptionError
from rustray.jupyter.cell_state import RUNNING, CellState
from rustray.jupyter.console.looking import check_cluster
from rustray.jupyter.keeper_link import KeeperLink, present_keeper
from rustray.model.quantities import counted

ANSWER_S = 5.0
"""Seconds in which the keeper of background cells must answer; stopping one takes two."""


def cancel(evaluate: Callable[[str], Any], what: str = "", all: bool = False) -> None:
    """Cancel tasks, and say what became of them."""
    check_cluster("cancel")
    if all == bool(what):
        raise OptionError(
            "%rustray cancel needs a ref, a list of refs, a task's id, a cell's name, or --all."
        )
    link, cells = _running_cells()
    if all:
        _say(rustray.cancel_all())
        for cell in cells:
            _stop(link, cell)
        return
    if named := [cell for cell in cells if cell.name == what]:
        _stop(link, named[-1])
        return
    found = evaluate(what)
    refs = list(found) if isinstance(found, list | tuple | set) else [found]
    for ref in refs:
        if not isinstance(ref, ObjectRef | ObjectRefGenerator | str):
            raise OptionError(f"%rustray cancel: {what} is a {type(ref).__name__}, and no ref.")
    if of_cells := _cells_of(link, cells, [ref for ref in refs if isinstance(ref, ObjectRef)]):
        for cell in of_cells:
            _stop(link, cell)
        return
    for ref in refs:
        try:
            rustray.cancel(ref)
        except ValueError as error:
            raise OptionError(f"%rustray cancel: {error}") from None
    _say(f"{counted(len(refs), 'task')} cancelled, where not ended before")


def _running_cells() -> tuple[KeeperLink | None, list[CellState]]:
    """The cells of this kernel that run in the background, and who keeps them."""
    link = present_keeper(current())
    if link is None:
        return None, []
    states: list[CellState] = rustray.get(link.keeper.cells.remote(), timeout=ANSWER_S)
    return link, [state for state in states if state.how == RUNNING]


def _cells_of(link: KeeperLink | None, cells: list[CellState], refs: list[ObjectRef]) -> list[CellState]:
    """Those of the cells whose results are among the refs."""
    wanted = {ref.task_id() for ref in refs}
    if link is None or not wanted:
        return []
    found = []
    for cell in cells:
        rows: list[list[ObjectRef]] = rustray.get(link.keeper.results.remote(cell.cell), timeout=ANSWER_S)
        if any(row[0].task_id() in wanted for row in rows):
            found.append(cell)
    return found


def _stop(link: KeeperLink | None, cell: CellState) -> None:
    assert link is not None  # the cell is of its
    stopped = rustray.get(link.keeper.stop.remote(cell.cell), timeout=ANSWER_S)
    _say(f"{cell.name}: {stopped}")


def _say(what: object) -> None:
    print(f"RustRay: {what}.")
