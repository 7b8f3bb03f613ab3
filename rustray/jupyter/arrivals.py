"""Cells that a keeper is asked about before they have come: a big one travels by the store, and is overtaken."""

from __future__ import annotations

import asyncio
from collections import deque

KEEP_REFUSED = 1000
"""Cells that were stopped before they came, which they do within seconds, if at all; or could not be submitted."""


class Arrivals:
    """Who waits for which cell, and which cells are not to run when they come. Of one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._refused: deque[str] = deque(maxlen=KEEP_REFUSED)

    async def wait(self, cell: str, within_s: float) -> None:
        """Until `come` or `refuse`, or so many seconds."""
        arrival: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(cell, []).append(arrival)
        try:
            await asyncio.wait([arrival], timeout=within_s)
        finally:
            waiting = self._waiting.get(cell, [])
            if arrival in waiting:
                waiting.remove(arrival)
            if not waiting:
                self._waiting.pop(cell, None)

    def come(self, cell: str) -> bool:
        """It has come; whether it may run."""
        self._wake(cell)
        return cell not in self._refused

    def refuse(self, cell: str) -> None:
        """It is not to run when it comes: nobody waits for it any more."""
        self._refused.append(cell)
        self._wake(cell)

    def is_refused(self, cell: str) -> bool:
        """Whether it is not to run."""
        return cell in self._refused

    def _wake(self, cell: str) -> None:
        for arrival in self._waiting.pop(cell, ()):
            if not arrival.done():
                arrival.set_result(None)
