"""How far each function is: what was done of what was asked for since it last had nothing to do, how fast, and how long
that will go on. Pure: the counters of "function_metrics" and the time come in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rustray.dashboard.answers import Reader
from rustray.model.own_work import is_own_code

RATE_S = 10.0
"""Seconds over which a rate is taken."""
QUIET_S = 3.0
"""A function that has had nothing to do for so long begins anew with its next task."""
SHOWN_S = 300.0
"""Seconds for which a function that has nothing to do any more is shown."""

ENDS = ("finished", "failed", "cancelled")
"""Counters of the ends of tasks."""
TOLD_S = 2.5
"""Seconds within which workers and owners both have told of a task that has ended."""


@dataclass(frozen=True)
class Row:
    """One function. `rate` is tasks a second that have ended by themselves, `remaining_s` None where nothing can be
    said yet; `stopped` tasks were cancelled."""

    name: str
    done: int
    failed: int
    stopped: int
    running: int
    waiting: int
    rate: float
    remaining_s: float | None
    mean_s: float | None
    active: bool
    since: float
    """When it last did something, seconds since the epoch."""

    @property
    def total(self) -> int:
        """All tasks of this go."""
        return self.done + self.failed + self.stopped + self.running + self.waiting


@dataclass
class _Function:
    worked: float
    """When it last had something to do."""
    before: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ENDS, 0))
    """The counters when this go began."""
    ahead: int = 0
    """What "ahead" was when this go began: owners that have died leave such a difference."""
    points: deque[tuple[float, int]] = field(default_factory=deque)
    """(when, ended by themselves in this go)"""
    counters: Mapping[str, Any] = field(default_factory=dict)

    def ended(self, name: str) -> int:
        return int(self.counters[name]) - self.before[name]

    def left(self, now: float) -> tuple[int, int]:
        """(running, waiting), with each task counted once: workers tell what has ended, and owners, a moment earlier or
        later, what has not."""
        running, waiting = int(self.counters["running"]), int(self.counters["waiting"])
        before = next((ended for at, ended in reversed(self.points) if at < now - TOLD_S), self.points[0][1])
        recent = max(0, self.points[-1][1] - before)
        twice = max(-recent, min(recent, int(self.counters["ahead"]) - self.ahead))
        if twice < 0:
            return running, waiting - twice  # not running: there may be no slot for so many
        return max(0, running - max(0, twice - waiting)), max(0, waiting - twice)


class Progress(Reader):
    """All functions of one cluster."""

    def __init__(self) -> None:
        self._functions: dict[str, _Function] = {}

    def arguments(self, now: float) -> tuple[bool]:
        """Without histograms."""
        return (False,)

    def add(self, answer: Iterable[Mapping[str, Any]], now: float) -> None:
        """The rows of "function_metrics" as they are now."""
        known, self._functions = self._functions, {}
        for row in answer:
            if not is_own_code(row["name"]):
                function = known.get(row["name"]) or _Function(min(now, row["last"]))
                self._functions[row["name"]] = function
                _count(function, row, now)

    def seen(self, now: float) -> list[Row]:
        """Those that have something to do first, then those that had it last; no more those that had it long ago."""
        rows = [_row(name, function, now) for name, function in self._functions.items()]
        shown = (row for row in rows if row.active or now - row.since < SHOWN_S)
        return sorted(shown, key=lambda row: (not row.active, -row.since, row.name))


def _count(function: _Function, row: Mapping[str, Any], now: float) -> None:
    last = function.counters or row
    moved = any(row[name] != last[name] for name in ENDS)
    if row["running"] or row["waiting"] or moved:
        if now - function.worked > QUIET_S:
            function.before = {name: last[name] for name in ENDS}
            function.ahead = last["ahead"]
            function.points.clear()
            function.points.append((now, 0))
        function.worked = now
    for name in ENDS:
        if row[name] < last[name]:  # others count now, from less than those before: what was done stays done
            function.before[name] += row[name] - last[name]
    function.counters = row
    function.points.append((now, function.ended("finished") + function.ended("failed")))
    while len(function.points) > 2 and function.points[1][0] < now - RATE_S:
        function.points.popleft()


def _row(name: str, function: _Function, now: float) -> Row:
    counters, points = function.counters, function.points
    rate = 0.0
    if points[-1][0] > points[0][0] and now - function.worked < RATE_S:
        rate = max(0.0, (points[-1][1] - points[0][1]) / (points[-1][0] - points[0][0]))
    running, waiting = function.left(now)
    left = running + waiting
    mean = counters["mean_s"]
    remaining: float | None = None
    if left and rate:
        remaining = left / rate
    elif left and running and mean:
        remaining = left * mean / running
    return Row(
        name,
        function.ended("finished"),
        function.ended("failed"),
        function.ended("cancelled"),
        running,
        waiting,
        rate,
        remaining,
        mean,
        bool(left),
        function.worked,
    )
