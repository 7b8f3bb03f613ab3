"""Whether somebody looks at a widget. Pure: times come in, in seconds of any clock that only goes on.

Pages tell again and again that they look. A kernel hears that between cells only; so what was looked at when a cell
began counts as looked at until the cell has ended.
"""

from __future__ import annotations

LOOKED_S = 25.0
"""For how long one look counts: pages tell each 8 s."""


class Watch:
    """One widget, which was made just now.

    Parameters
    ----------
    in_cell: whether a cell runs.
    """

    def __init__(self, now: float, in_cell: bool) -> None:
        self._looked = now
        self._held = in_cell

    def looked(self, now: float) -> None:
        """Somebody looks."""
        self._looked = now

    def on(self, now: float) -> bool:
        """Whether it is to move."""
        return self._held or now - self._looked < LOOKED_S

    def cell_begins(self, now: float) -> None:
        """The kernel hears nothing from now on."""
        self._held = self.on(now)

    def cell_ends(self, now: float) -> None:
        """It hears again."""
        if self._held:
            self._looked, self._held = now, False
