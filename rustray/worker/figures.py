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
from collections.abc import Callable, Sequence
from typing import Any

from rustray.metrics.functions import Ran
from rustray.metrics.histogram import SECONDS
from rustray.metrics.task_events import BUDGET, CANCELLED, FAILED, OK
from rustray.model import ids
from rustray.worker.context import Running

TELL_EVERY_S = 0.25
EVENTS = BUDGET // 2
"""Of tasks that are told each time; beyond them as many that failed or were cancelled."""
LONG_S = 0.02
"""A task of this length has an event in any case: no more than a few can end in a quarter of a second."""
NOTABLE_CPU_S = 0.005
"""Used by a task that goes on, and worth telling."""
RUNNING_S = 0.5
"""Seen at work for so long, a task is told before it ends."""
RUNNING = 16
"""Of such tasks that are told at once: calls of a concurrent actor may be many."""

FUNCTIONS = 200
"""So many are kept; of more, those go that have no news."""

_PAGE = os.sysconf("SC_PAGE_SIZE")
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class _Figures:
    __slots__ = ("counts", "cpu", "errors", "longest", "memory", "seconds", "stopped", "told")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.seconds = self.longest = self.cpu = 0.0
        self.errors = self.memory = self.stopped = 0
        self.told: tuple[list[int], float, float, int, int] = ([0] * len(self.counts), 0.0, 0.0, 0, 0)

    def news(self, name: str) -> tuple[Any, ...] | None:
        before, seconds, cpu, errors, stopped = self.told
        now = self.told = list(self.counts), self.seconds, self.cpu, self.errors, self.stopped
        runs = [
            (at, count - was)
            for at, (count, was) in enumerate(zip(now[0], before, strict=True))
            if count != was
        ]
        if not runs and now[4] == stopped and now[2] - cpu < NOTABLE_CPU_S:
            self.told = (*now[:2], cpu, *now[3:])
            return None
        memory, self.memory = self.memory, 0
        spent, raised, used = now[1] - seconds, now[3] - errors, now[2] - cpu
        return tuple(Ran(name, runs, spent, raised, self.longest, used, memory, now[4] - stopped))


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
        self._leaving: list[tuple[str, _Figures]] = []
        """Those that are not there any more since the last time."""
        self._events: deque[tuple[float, float, str, str, int, int]] = deque()
        self._room = EVENTS
        self._ended = self._ended_told = 0
        self._cpu = 0.0
        self._peak = 0
        self._at_work: dict[tuple[int, int], tuple[float, float, str]] = {}
        """(when first seen, the same in seconds since the epoch, function), by client and number of the task."""
        self._long: list[tuple[float, str, str]] = []
        """(since, function, task id) of those to be told."""
        self._running: list[tuple[float, str, str]] = []
        """Of them those that were told last."""
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
        if cancelled:
            figures.stopped += 1
        else:
            figures.counts[bisect_left(SECONDS, spent)] += 1
            figures.seconds += spent
            if spent > figures.longest:
                figures.longest = spent
            if error:
                figures.errors += 1
        self._ended += 1
        if self._running:
            self._due = 0.0  # it may have been told as running: that it is over is told at the next occasion
        if self._room > 0 or spent > LONG_S or ((error or cancelled) and self._room > -EVENTS):
            self._room -= 1
            outcome = CANCELLED if cancelled else FAILED if error else OK
            self._events.append((time.time() - spent, spent, name, outcome, client, number))

    def tick(self, now: float, at_work: Callable[[], Sequence[Running]]) -> None:
        """Tell the node if that is due.

        Parameters
        ----------
        at_work: gives the tasks that run.
        """
        if now >= self._due:
            self._due = now + TELL_EVERY_S
            tasks = at_work()
            self._look_at(tasks, now)
            self.tell(bool(tasks))

    def _look_at(self, tasks: Sequence[Running], now: float) -> None:
        # That a task has begun is seen here only, up to TELL_EVERY_S late, so that it costs short tasks nothing.
        before = self._at_work
        first = now, time.time()
        self._at_work = {
            key: before.get(key) or (*first, task.name)
            for task in tasks
            if (key := (task.channel.client, task.number))[0]  # a constructor has no client, and no event
        }
        self._long = [
            (since, name, _task_id(*key))
            for key, (seen, since, name) in self._at_work.items()
            if now - seen >= RUNNING_S
        ][:RUNNING]

    def tell(self, busy: bool) -> None:
        """Tell what is new."""
        ended = self._ended - self._ended_told
        if not ended and not busy and not self._running:
            with self._charging:
                self._cpu = time.process_time()  # used by nobody
            return
        self._charge()
        self._look_at_memory()
        self._ended_told += ended
        events = []
        for _ in range(len(self._events)):
            start, spent, name, outcome, client, number = self._events.popleft()
            events.append((start, spent, name, outcome, _task_id(client, number)))
        self._room = EVENTS
        rows = self._news()
        told, over = self._running, {event[-1] for event in events}
        # A task's event and its end as one that runs are told in one message: nobody sees it twice, or not at all.
        self._running = [row for row in self._long if row[-1] not in over]
        if rows or self._running != told:
            self._tell(("ran", rows, events, max(0, ended - len(events)), self._running))

    def _news(self) -> list[tuple[Any, ...]]:
        rows = [row for name, figures in self._leaving if (row := figures.news(name)) is not None]
        self._leaving = []
        for name, figures in list(self._of.items()):
            row = figures.news(name)
            if row is not None:
                rows.append(row)
            elif len(self._of) > FUNCTIONS and name != self.name:
                # A task that ends just now may have it in hand: so it is asked for news once more.
                del self._of[name]
                self._leaving.append((name, figures))
        return rows

    def _charge(self) -> None:
        with self._charging:
            now = time.process_time()
            used, self._cpu = now - self._cpu, now
            if self.name:
                self._at_present().cpu += used

    def _look_at_memory(self) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT
        if self.name:
            figures = self._at_present()
            figures.memory = max(figures.memory, peak if peak > self._peak else _resident() or peak)
        self._peak = peak

    def _at_present(self) -> _Figures:
        figures = self._of.get(self.name)
        if figures is None:
            figures = self._of[self.name] = _Figures()
        return figures


def _task_id(client: int, number: int) -> str:
    return ids.task_of(ids.make_object_id(client, number, 0)).hex() if client else ""


def _resident() -> int:
    """Bytes of this process in memory, 0 where the system does not say."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except OSError:
        return 0
