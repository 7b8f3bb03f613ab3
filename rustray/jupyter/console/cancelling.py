"""`%rustray cancel`: refs, a task by its id, a `%%remote` cell by its name, or all that the notebook has submitted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import rustray
from rustray.driver.current import current
from rustray.driver.generator import ObjectRefGenerator
from rustray.driver.refs import ObjectRef
from rustray.errors import OptionError
from rustray.jupyter.cell_state import RUNNING, CellState
from rustray.jupyter.console.looking import check_cluster
from rustray.jupyter.keeper_link import KeeperLink, known_keepers
from rustray.model.option_checks import kind_of
from rustray.model.quantities import counted, lapse


def cancel(evaluate: Callable[[str], Any], what: str = "", all: bool = False) -> None:
    """Cancel tasks, and say what became of them."""
    check_cluster("cancel")
    if all == bool(what):
        raise OptionError(
            "%rustray cancel needs a ref, a list of refs, a task's id, a cell's name, or --all."
        )
    known = _known_cells()
    cells = [(link, cell) for link, cell in known if cell.how == RUNNING]
    if all:
        _say(rustray.cancel_all())
        for running in cells:
            _stop(*running)
        return
    if named := [(link, cell) for link, cell in cells if cell.name == what]:
        _stop(*named[-1])
        return
    try:
        refs = _refs(evaluate(what), what)
    except (OptionError, SyntaxError):  # what cells are called need not be Python
        ended = [cell for _link, cell in known if cell.name == what]
        if not ended:
            raise
        _say(told_ended(ended[-1], time.time()))
        return
    rest = dict.fromkeys(refs)
    for link, cell in cells:
        if of_cell := _of_cell(link, cell, rest):
            _stop(link, cell)
            for ref in of_cell:
                del rest[ref]
    for ref in rest:
        try:
            rustray.cancel(ref)
        except ValueError as error:
            raise OptionError(f"%rustray cancel: {error}") from None
    if rest:
        _say(f"{counted(len(rest), 'task')} cancelled, where not ended before")


def _refs(found: Any, what: str) -> list[Any]:
    refs = list(found) if isinstance(found, list | tuple | set) else [found]
    for ref in refs:
        if not isinstance(ref, ObjectRef | ObjectRefGenerator | str):
            raise OptionError(f"%rustray cancel: {what} is {kind_of(ref)}, and no ref.")
    return refs


def told_ended(cell: CellState, now: float) -> str:
    """Of a cell that has ended, as "train has ended (done 3 s ago)"."""
    return f"{cell.name} has ended ({cell.how} {lapse(max(0.0, now - (cell.ended or now)))} ago)"


def _known_cells() -> list[tuple[KeeperLink, CellState]]:
    """The cells, the attached ones of earlier kernels first, each with its keeper."""
    return [(link, cell) for link in known_keepers(current()) for cell in link.cells()]


def _of_cell(link: KeeperLink, cell: CellState, refs: Iterable[Any]) -> list[ObjectRef]:
    """Those of the refs that are results of the cell, if each of its tasks has one among them."""
    wanted = [ref for ref in refs if isinstance(ref, ObjectRef) and link.submitted(ref)]
    if not wanted:
        return []
    tasks = {row[0].task_id() for row in link.results(cell.cell)}
    found = [ref for ref in wanted if ref.task_id() in tasks]
    return found if {ref.task_id() for ref in found} == tasks else []


def _stop(link: KeeperLink, cell: CellState) -> None:
    _say(f"{cell.name}: {link.stop(cell.cell)}")


def _say(what: object) -> None:
    print(f"RustRay: {what}.")
