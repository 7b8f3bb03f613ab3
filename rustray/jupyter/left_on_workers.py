"""Variables that cells have assigned on their workers only: who misses one in the notebook is told where it was."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Any

from rustray.errors import TaskError

KEPT = 1000
"""Names; the one that was assigned first is forgotten first."""
_MISSED = re.compile(r"name '(\w+)' is not defined")

_cells: dict[str, str] = {}
"""What the cell is called that has assigned a name last."""


def note(cell: str, names: Iterable[str]) -> None:
    """`cell` has assigned these, and has not brought them back."""
    for name in names:
        _cells.pop(name, None)
        _cells[name] = cell
    while len(_cells) > KEPT:
        del _cells[next(iter(_cells))]


def tell(result: Any) -> None:
    """After a cell of the notebook: where the name is that it has missed, if it has."""
    if result is not None and (told := hint(result.error_in_exec)):  # None: the shell itself was interrupted
        print(told, file=sys.stderr)


def hint(error: BaseException | None) -> str:
    """What to say of a NameError, here or in a task; "" if there is nothing to."""
    cause = error.cause if isinstance(error, TaskError) else error
    found = _MISSED.match(str(cause)) if isinstance(cause, NameError) else None
    if found is None or found[1] not in _cells:
        return ""
    name = found[1]
    return f"rustray: %%remote {_cells[name]} has assigned {name}, on its worker only; -o {name} brings it back."
