"""`rustray_cells`: what the notebook's cells have given, by the cells' names."""

from __future__ import annotations

from collections import UserDict
from typing import Any

CELLS = "rustray_cells"
"""The variable of the notebook."""
KEPT = 100
"""Cells; the one that was entered first is forgotten first."""


class NamedCells(UserDict[str, Any]):
    """See the module.

    Of a cell in the background the ref of its value; of one that was waited for, and had `--name`, the value. Of a
    `--map` a list of these; where elements have failed, their errors are in their places.
    """

    def __setitem__(self, name: str, given: Any) -> None:
        self.data.pop(name, None)
        self.data[name] = given
        while len(self.data) > KEPT:
            del self.data[next(iter(self.data))]


def named_cells(space: dict[str, Any]) -> NamedCells:
    """Those of the notebook that has these variables; its own from here on, if it has none."""
    known = space.get(CELLS)
    if not isinstance(known, NamedCells):
        known = space[CELLS] = NamedCells()
    return known
