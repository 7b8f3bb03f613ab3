"""Tasks that run, or have ended of late, as the bars of a Gantt chart: those too short to be seen one by one are one.

So the number of bars is bounded by what a screen can show, however many tasks a second end.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rustray.dashboard.answers import Reader
from rustray.model.own_work import is_own_code

SPAN_S = 60.0
RESOLUTION_S = 0.08
"""About what is seen as one: a bar is at most lengthened by a gap of so much."""
BARS_OF_WORKER = 400
FIRST = -3000
"""How many of the newest events are asked for at first."""

RUNNING = "running"
"""The outcome of a task that has none yet."""

Worker = tuple[str, int]
"""(node, process id)"""


@dataclass
class Bar:
    """One task, or several short ones of the same function and outcome.

    `start` and `end` are seconds since the epoch, `busy` the sum of the tasks' own seconds.
    """

    start: float
    end: float
    busy: float
    function: str
    outcome: str
    tasks: int

    def takes(self, start: float, seconds: float, function: str, outcome: str) -> bool:
        """Whether another task is drawn as part of this one."""
        return (
            function == self.function
            and outcome == self.outcome
            and seconds < RESOLUTION_S
            and self.busy / self.tasks < RESOLUTION_S
            and self.end - RESOLUTION_S <= start <= self.end + RESOLUTION_S
        )


class TaskStream(Reader):
    """The bars of the last SPAN_S seconds, by worker, of answers to the question "task_events".

    Attributes
    ----------
    cursor: what to ask with next.
    workers: bars of tasks that have ended by worker, in the order in which they came.
    running: by worker, of those that have not: they end now.
    """

    def __init__(self) -> None:
        self.cursor = FIRST
        self.workers: dict[Worker, deque[Bar]] = {}
        self.running: dict[Worker, list[Bar]] = {}
        self._skipped: deque[tuple[float, int]] = deque()
        """(when told, tasks without an event)"""

    def arguments(self, now: float) -> tuple[int]:
        return (self.cursor,)

    def add(self, answer: Mapping[str, Any], now: float) -> None:
        """More tasks have ended, and others run."""
        self.cursor = answer["next"]
        if answer["skipped"]:
            self._skipped.append((now, answer["skipped"]))
        for start, seconds, node, pid, function, outcome, _task in answer["events"]:
            if not is_own_code(function):
                self._draw((node, pid), start, seconds, function, outcome)
        self.running = {}
        for since, node, pid, function, _task in answer["running"]:
            if not is_own_code(function):
                bar = Bar(min(since, now), now, max(0.0, now - since), function, RUNNING, 1)
                self.running.setdefault((node, pid), []).append(bar)
        self._forget(now - SPAN_S)

    def seen(self, now: float) -> TaskStream:
        return self

    def of(self, worker: Worker) -> list[Bar]:
        """All bars of one."""
        return [*self.workers.get(worker, ()), *self.running.get(worker, ())]

    def _draw(self, worker: Worker, start: float, seconds: float, function: str, outcome: str) -> None:
        bars = self.workers.setdefault(worker, deque(maxlen=BARS_OF_WORKER))
        if bars and bars[-1].takes(start, seconds, function, outcome):
            last = bars[-1]
            last.start, last.end = min(last.start, start), max(last.end, start + seconds)
            last.busy += seconds
            last.tasks += 1
        else:
            bars.append(Bar(start, start + seconds, seconds, function, outcome, 1))

    def _forget(self, before: float) -> None:
        for worker, bars in list(self.workers.items()):
            while bars and bars[0].end < before:
                bars.popleft()
            if not bars:
                del self.workers[worker]
        while self._skipped and self._skipped[0][0] < before:
            self._skipped.popleft()

    @property
    def skipped(self) -> int:
        """Tasks of the last SPAN_S seconds that no bar shows: too many and too short to be told one by one."""
        return sum(skipped for _when, skipped in self._skipped)

    def outcomes(self) -> Counter[str]:
        """How many tasks that bars show had which outcome."""
        counts: Counter[str] = Counter()
        for bar in self.bars():
            counts[bar.outcome] += bar.tasks
        return counts

    def functions(self) -> Counter[str]:
        """How many tasks of each function are shown."""
        counts: Counter[str] = Counter()
        for bar in self.bars():
            counts[bar.function] += bar.tasks
        return counts

    def bars(self) -> Iterable[Bar]:
        """All of them."""
        return (bar for worker in {**self.workers, **self.running} for bar in self.of(worker))
