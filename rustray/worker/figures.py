"""What this worker's tasks take, by function, told to the node four times a second: see `metrics.functions.Ran`.

Reading the processor time costs a system call, more than a short task may. So it is read when another function begins,
and when it is told: what was used meanwhile was used by the function that began last.

Rule 1. Counters of a function only go up; what is told is how far they have come since. So a task may end while another
        thread tells, and neither needs a lock.
"""

from __future__ import annotations

import os
import resource
import sys
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from typing import Any

from rustray.metrics.functions import Ran
from rustray.metrics.histogram import SECONDS
from rustray.metrics.task_events import BUDGET, CANCELLED, FAILED, OK
from rustray.model import ids

TELL_EVERY_S = 0.25
EVENTS = BUDGET // 2
"""Of tasks that are told each time."""
LONG_S = 0.02
"""A task of this length has an event in any case: no more than a few can end in a quarter of a second."""
NOTABLE_CPU_S = 0.005
"""Used by a task that goes on, and worth telling."""

_PAGE = os.sysconf("SC_PAGE_SIZE")
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class _Figures:
    __slots__ = ("counts", "cpu", "errors", "longest", "memory", "seconds", "told")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.seconds = self.longest = self.cpu = 0.0
        self.errors = self.memory = 0
        self.told: tuple[list[int], float, float, int] = ([0] * len(self.counts), 0.0, 0.0, 0)

    def news(self, name: str) -> tuple[Any, ...] | None:
        before, seconds, cpu, errors = self.told
        now = self.told = list(self.counts), self.seconds, self.cpu, self.errors
        runs = [
            (at, count - was)
            for at, (count, was) in enumerate(zip(now[0], before, strict=True))
            if count != was
        ]
        if not runs and now[2] - cpu < NOTABLE_CPU_S:
            self.told = (*now[:2], cpu, now[3])
            return None
        memory, self.memory = self.memory, 0
        return tuple(Ran(name, runs, now[1] - seconds, now[3] - errors, self.longest, now[2] - cpu, memory))


class WorkerFigures:
    """See the module.

    Parameters
    ----------
    tell: sends a message to the node.

    Attributes
    ----------
    name: the function that has begun last.
    """

    def __init__(self, tell: Callable[..., None]) -> None:
        self.name = ""
        self._tell = tell
        self._of: dict[str, _Figures] = {}
        self._events: deque[tuple[float, float, str, str, int, int]] = deque()
        self._room = EVENTS
        self._ended = self._ended_told = 0
        self._cpu = 0.0
        self._peak = 0
        self._charging = threading.Lock()
        self._due = 0.0

    def begin(self, name: str) -> None:
        """Another function begins than the one before."""
        self._charge()
        self.name = name

    def end(self, name: str, spent: float, error: bool, cancelled: bool, client: int, number: int) -> None:
        """A task of `client` has ended just now, after `spent` seconds."""
        figures = self._of.get(name)
        if figures is None:
            figures = self._of[name] = _Figures()
        figures.counts[bisect_left(SECONDS, spent)] += 1
        figures.seconds += spent
        if spent > figures.longest:
            figures.longest = spent
        if error:
            figures.errors += 1
        self._ended += 1
        if self._room > 0 or spent > LONG_S:
            self._room -= 1
            outcome = CANCELLED if cancelled else FAILED if error else OK
            self._events.append((time.time() - spent, spent, name, outcome, client, number))

    def tick(self, now: float, busy: bool) -> None:
        """Tell the node if that is due.

        Parameters
        ----------
        busy: whether a task runs.
        """
        if now >= self._due:
            self._due = now + TELL_EVERY_S
            self.tell(busy)

    def tell(self, busy: bool) -> None:
        """Tell what is new."""
        ended = self._ended - self._ended_told
        if not ended and not busy:
            with self._charging:
                self._cpu = time.process_time()  # used by nobody
            return
        self._charge()
        self._look_at_memory()
        self._ended_told += ended
        events = []
        for _ in range(len(self._events)):
            start, spent, name, outcome, client, number = self._events.popleft()
            task = ids.task_of(ids.make_object_id(client, number, 0)).hex() if client else ""
            events.append((start, spent, name, outcome, task))
        self._room = EVENTS
        rows = [row for name, figures in list(self._of.items()) if (row := figures.news(name)) is not None]
        if rows:
            self._tell(("ran", rows, events, max(0, ended - len(events))))

    def _charge(self) -> None:
        with self._charging:
            now = time.process_time()
            used, self._cpu = now - self._cpu, now
            if self.name:
                self._at_work().cpu += used

    def _look_at_memory(self) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT
        if self.name:
            figures = self._at_work()
            figures.memory = max(figures.memory, peak if peak > self._peak else _resident() or peak)
        self._peak = peak

    def _at_work(self) -> _Figures:
        figures = self._of.get(self.name)
        if figures is None:
            figures = self._of[self.name] = _Figures()
        return figures


def _resident() -> int:
    """Bytes of this process in memory, 0 where the system does not say."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except OSError:
        return 0
