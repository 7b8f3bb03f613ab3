"""What a cell with `--map` gives: lists like any other, that a notebook shows in few lines."""

from __future__ import annotations

from typing import Any

SHOWN = 3  # refs of a loop, before the dots


class NoValues(list[None]):
    """One None an element, of a loop that only does something. Shown as the value of any such cell: not at all."""

    def _ipython_display_(self) -> None:
        pass


class LoopRefs(list[Any]):
    """The refs of a loop in the background, of which a notebook shows the first few and the number."""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        shown = ", ".join(map(repr, self[:SHOWN]))
        printer.text(f"[{shown}]" if len(self) <= SHOWN else f"[{shown}, …] ({len(self):,} refs)")
