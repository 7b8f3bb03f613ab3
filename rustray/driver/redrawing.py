"""What is drawn anew again and again: displays that are updated, and cells that are cleared. Pure.

It makes no page longer, so it is no flood; but nobody sees more than some pictures a second, and each costs the
browser something.

Rule 1. A display is updated ten times a second at most; of what comes faster the last is shown.
Rule 2. So is a cell that is cleared: what comes between is kept back with what clears it, and the last picture is
        shown.
"""

from __future__ import annotations

import re

REDRAW_S = 0.1
UPDATE, CLEAR = "update_display_data", "clear_output"
_ID = re.compile(r'"display_id": *"([^"]*)"')

Shown = list[tuple[str, str]]
"""Kind and text, in order; see `driver.transcript`."""


class Redrawing:
    """The pictures of one cell."""

    def __init__(self) -> None:
        self._updated: dict[str, float] = {}
        self._newest: dict[str, str] = {}
        self._cleared = float("-inf")
        self._picture: Shown | None = None

    @property
    def waits(self) -> bool:
        """Whether `due` has something to show one day."""
        return bool(self._newest) or self._picture is not None

    def paced(self, now: float, shown: Shown) -> Shown:
        """What of `shown` is shown now; the rest is kept back."""
        told: Shown = []
        for kind, text in shown:
            if kind == CLEAR:
                self._newest.clear()
                if now < self._cleared + REDRAW_S:
                    self._picture = [(kind, text)]
                    continue
                self._picture, self._cleared = None, now
                told.append((kind, text))
            elif self._picture is not None:
                self._picture.append((kind, text))
            elif kind == UPDATE:
                self._update(now, text, told)
            else:
                told.append((kind, text))
        return told

    def _update(self, now: float, text: str, told: Shown) -> None:
        found = _ID.search(text)
        id = found[1] if found else ""
        if now < self._updated.get(id, float("-inf")) + REDRAW_S:
            self._newest[id] = text
        else:
            self._updated[id] = now
            told.append((UPDATE, text))

    def due(self, now: float) -> Shown:
        """What was kept back and is to be shown at `now`; with infinity, all of it."""
        told: Shown = []
        if self._picture is not None and now >= self._cleared + REDRAW_S:
            told, self._picture = self._picture, None
            self._cleared = min(now, self._cleared + REDRAW_S)
        for id, since in list(self._updated.items()):
            if now >= since + REDRAW_S:
                del self._updated[id]
                if id in self._newest:
                    told.append((UPDATE, self._newest.pop(id)))
                    self._updated[id] = min(now, since + REDRAW_S)
        return told
