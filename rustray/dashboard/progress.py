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


@dataclass(frozen=True)
class Row:
    """One function. `rate` is ended tasks a second, `remaining_s` None where nothing can be said yet."""

    name: str
    done: int
    failed: int
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
        return self.done + self.failed + self.running + self.waiting


@dataclass
class _Function:
    done_before: int = 0
    failed_before: int = 0
    points: deque[tuple[float, int]] = field(default_factory=deque)
    """(when, ended in all)"""
    worked: float = 0.0
    counters: Mapping[str, Any] = field(default_factory=dict)


class Progress(Reader):
    """All functions of one cluster."""

    def __init__(self) -> None:
        self._functions: dict[str, _Function] = {}

    def add(self, answer: Iterable[Mapping[str, Any]], now: float) -> None:
        """The rows of "function_metrics" as they are now."""
        known, self._functions = self._functions, {}
        for row in answer:
            if is_own_code(row["name"]):
                continue
            function = known.get(row["name"])
            if function is None or row["finished"] < function.counters["finished"]:
                function = _Function(worked=now)  # a new one, or a new head has begun to count
            self._functions[row["name"]] = function
            self._count(function, row, now)

    def _count(self, function: _Function, row: Mapping[str, Any], now: float) -> None:
        ended = row["finished"] + row["failed"]
        before = function.counters
        moved = bool(before) and ended != before["finished"] + before["failed"]
        if row["running"] or row["waiting"] or moved:
            if now - function.worked > QUIET_S:
                function.done_before, function.failed_before = before["finished"], before["failed"]
                function.points.clear()
                function.points.append((now, before["finished"] + before["failed"]))
            function.worked = now
        function.counters = row
        function.points.append((now, ended))
        while len(function.points) > 2 and function.points[1][0] < now - RATE_S:
            function.points.popleft()

    def seen(self, now: float) -> list[Row]:
        """Those that have something to do first, then those that had it last."""
        rows = [_row(name, function, now) for name, function in self._functions.items()]
        return sorted(rows, key=lambda row: (not row.active, -row.since, row.name))


def _row(name: str, function: _Function, now: float) -> Row:
    counters, points = function.counters, function.points
    rate = 0.0
    if points[-1][0] > points[0][0] and now - function.worked < RATE_S:
        rate = max(0.0, (points[-1][1] - points[0][1]) / (points[-1][0] - points[0][0]))
    running, waiting = counters["running"], counters["waiting"]
    left = running + waiting
    mean = counters["mean_s"]
    remaining: float | None = None
    if left and rate:
        remaining = left / rate
    elif left and running and mean:
        remaining = left * mean / running
    return Row(
        name,
        counters["finished"] - function.done_before,
        max(0, counters["failed"] - function.failed_before),
        running,
        waiting,
        rate,
        remaining,
        mean,
        bool(left),
        function.worked,
    )
