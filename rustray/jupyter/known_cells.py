"""What a kernel knows of its background cells without asking: their tasks, and how they were when last heard of.

Pure; for the refs of their results, which say how their task is.
"""

from __future__ import annotations

from collections.abc import Sequence

from rustray.driver.refs import ObjectRef
from rustray.jupyter.cell_state import DONE, FAILED, RUNNING, CellState
from rustray.model import ids

KEPT = 200
"""Cells; the one that was submitted first is forgotten first."""
JUST_S = 1.0
"""Seconds in which a cell has just been submitted: the card above its ref tells more, when the ref has been shown."""
WORDS = {DONE: "ready", FAILED: "failed"}
"""What a cell's end is called where it is that of its task; the others are words already."""


class KnownCells:
    """See the module."""

    def __init__(self) -> None:
        self._states: dict[str, CellState] = {}
        self._tasks: dict[str, range] = {}

    def submitted(self, cell: str, rows: Sequence[Sequence[ObjectRef]]) -> None:
        """Its results, by task; the tasks of a cell have numbers that follow each other."""
        if rows:
            first, last = (ids.number_of(row[0].binary()) for row in (rows[0], rows[-1]))
            self._tasks[cell] = range(first, last + 1)
        while len(self._tasks) > KEPT:
            oldest = next(iter(self._tasks))
            del self._tasks[oldest]
            self._states.pop(oldest, None)

    def heard(self, state: CellState) -> None:
        """It is like this."""
        self._states.pop(state.cell, None)
        self._states[state.cell] = state
        if len(self._states) > KEPT:  # others too are heard of, whose results are not here
            del self._states[next(iter(self._states))]

    def told(self, number: int, now: float) -> tuple[str, str]:
        """(state, name) of a task, as of a ref; "" for what is not known. `now` is in seconds since the epoch."""
        cell = next((cell for cell, tasks in self._tasks.items() if number in tasks), "")
        state = self._states.get(cell)
        if state is None:
            return "", ""
        if state.mapped and (state.how != DONE or state.failed or state.stopped):
            return "", state.name  # some of its tasks are, others are not
        if state.how == RUNNING:
            waits = "submitted" if now - state.started < JUST_S else "waits for a worker"
            return ("running" if state.running else waits), state.name
        return WORDS.get(state.how, state.how), state.name
