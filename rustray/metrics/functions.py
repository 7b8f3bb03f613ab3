"""What tasks have taken, by function: each number comes from who sees it.

Workers tell of what they ran (`Ran`), owners of what they wait for (`Owned`): see `worker.figures` and
`driver.figures`. A retried task has run several times, and failed only if its owner has given it up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Any, NamedTuple

from rustray.metrics.function_figures import FunctionFigures, Packed
from rustray.metrics.histogram import Sparse

FUNCTIONS = 300
"""Functions known by name at once."""
QUIET_S = 300.0
"""Seconds for which a function must not have been heard of before another may take its place."""
OTHER = "(other)"
"""The name of all that are not known by their own; no function can be called so."""
HANDED, HANDED_AGAIN = 100, 20
"""Functions handed to other heads at once: of those with news, and of the others in turn."""


class Ran(NamedTuple):
    """What workers have run of one function since they told last.

    Attributes
    ----------
    runs: by bucket of SECONDS. seconds: of all. errors: runs that raised. longest: seconds.
    cpu: seconds of processor time that the workers have used meanwhile.
    memory: bytes that a worker has at most had meanwhile, 0 if it was not looked at.
    stopped: runs that were cancelled. They are not in `runs`, `seconds`, `errors` and `longest`: when a run was stopped
        says nothing of how long the function takes.
    """

    name: str
    runs: Sparse
    seconds: float
    errors: int
    longest: float
    cpu: float
    memory: int
    stopped: int


class Owned(NamedTuple):
    """What owners have of one function. The first three are how things are, the others what has come since last time.

    Attributes
    ----------
    waiting: tasks that no worker has begun. running, suspended: workers at one, by the number of their node.
    waits: by bucket of SECONDS, from the submission of a task to its start. waited: seconds of all.
    failed, cancelled: tasks without a result. retried: runs that were in vain.
    """

    name: str
    waiting: int
    running: list[tuple[int, int]]
    suspended: list[tuple[int, int]]
    waits: Sparse
    waited: float
    failed: int
    cancelled: int
    retried: int


class Functions:
    """Figures of all functions. Times are in seconds since the epoch.

    Rule 1. A function is told by its name as long as it is heard of. A new one takes the place of the one that has been
            quiet longest, for QUIET_S at least; where there is none it is part of OTHER.
    Rule 2. What was OTHER once stays there, so its counts only go up. A function that is heard of again begins anew.
    """

    def __init__(self) -> None:
        self._figures: dict[str, FunctionFigures] = {}
        """The one that was heard of last is the last one here."""
        self._other = FunctionFigures()
        self._present: dict[str, list[Owned]] = {}
        """By the node that told it."""
        self._news: dict[str, None] = {}
        """Names to be handed on."""
        self._turn = 0

    def _of(self, name: str, now: float) -> FunctionFigures:
        figures = self._figures.pop(name, None)
        if figures is None:
            if name == OTHER or len(self._figures) >= FUNCTIONS and not self._forget_quiet(now):
                name, figures = OTHER, self._other
            else:
                figures = FunctionFigures()
        if name != OTHER:
            self._figures[name] = figures
        figures.last = now
        self._news[name] = None
        return figures

    def _forget_quiet(self, now: float) -> bool:
        """Make room; whether there was one that has been quiet for long enough."""
        name, figures = next(iter(self._figures.items()))
        if figures.last > now - QUIET_S:
            return False
        del self._figures[name]
        self._news.pop(name, None)
        self._other.add(figures)
        self._news[OTHER] = None
        return True

    def ran(self, rows: Iterable[tuple[Any, ...]], now: float) -> None:
        """Workers have told. Rows as of `Ran`."""
        for row in map(Ran._make, rows):
            figures = self._of(row.name, now)
            figures.run.merge(row.runs, row.seconds)
            figures.errors += row.errors
            figures.stopped += row.stopped
            figures.longest = max(figures.longest, row.longest)
            figures.cpu += row.cpu
            if row.memory:
                figures.memory.add(row.memory)
                figures.peak = max(figures.peak, row.memory)

    def owned(self, node: str, rows: Iterable[tuple[Any, ...]], now: float) -> None:
        """The owners on a node have told. Rows as of `Owned`; what is not there is not so any more."""
        self._present[node] = present = []
        for row in map(Owned._make, rows):
            figures = self._of(row.name, now)
            figures.wait.merge(row.waits, row.waited)
            figures.failed += row.failed
            figures.cancelled += row.cancelled
            figures.retried += row.retried
            if row.waiting or row.running or row.suspended:
                present.append(row)

    def forget(self, node: str) -> None:
        """The node has gone, and the owners on it."""
        self._present.pop(node, None)

    # -- from head to head -----------------------------------------------------------------------------

    def hand(self) -> list[tuple[str, Packed]]:
        """(name, figures) of those with news, HANDED at most, and of some others in turn: so a head that hears this
        again and again has them all in the end, whenever it began to listen."""
        names = list(islice(self._news, HANDED))
        for name in names:
            del self._news[name]
        known = list(self._figures)
        self._turn = self._turn + 1 if self._turn * HANDED_AGAIN < len(known) else 0
        again = known[self._turn * HANDED_AGAIN :][:HANDED_AGAIN]
        return [(name, self._known(name).pack()) for name in dict.fromkeys((*again, *names, OTHER))]

    def take(self, handed: Iterable[tuple[str, Packed]]) -> None:
        """Another head has handed these."""
        for name, packed in handed:
            if name == OTHER:
                self._other = FunctionFigures.unpack(packed)
            else:
                self._figures[name] = FunctionFigures.unpack(packed)
        self._figures = dict(sorted(self._figures.items(), key=lambda item: item[1].last)[-FUNCTIONS:])

    def lead(self) -> None:
        """This head leads from now on: nodes tell it anew how things are."""
        self._present.clear()
        self._news = dict.fromkeys(self._figures)

    def _known(self, name: str) -> FunctionFigures:
        return self._figures.get(name, self._other)

    # -- what people ask -------------------------------------------------------------------------------

    def rows(self, histograms: bool = True) -> list[dict[str, Any]]:
        """One row a function, the last one heard of first, and at the end OTHER where there is one.

        "name", "finished" (runs with a result), "failed", "cancelled", "retried", "running", "waiting" (tasks), "ahead"
        (runs that workers have told of and their owners not yet, below 0 the other way round), "last" (when it was
        heard of), "mean_s", "p50_s", "p95_s", "max_s" of a run, "wait_p50_s", "wait_p95_s" from submission to start
        (None before there is one), "cpu_s" (of all), "peak_memory" (bytes), and "run_histogram", "wait_histogram"
        (seconds) and "memory_histogram" (bytes): {"bounds", "counts", "sum"}, with one more count than bounds; these
        are nine tenths of it, and left out without `histograms`.
        """
        running: Counter[str] = Counter()
        waiting: Counter[str] = Counter()
        for name, row in self._now():
            running[name] += sum(count for _node, count in (*row.running, *row.suspended))
            waiting[name] += row.waiting
        known = [*reversed(self._figures.items())]
        if self._other.last:
            known.append((OTHER, self._other))
        return [figures.row(name, running[name], waiting[name], histograms) for name, figures in known]

    def tasks(self, names: dict[int, str]) -> list[dict[str, Any]]:
        """How many tasks of which function are in which state where: "function", "state" ("running", "suspended" or
        "waiting"), "node" ("" of those that wait) and "count".

        Parameters
        ----------
        names: of nodes by number.
        """
        counts: Counter[tuple[str, str, str]] = Counter()
        for name, row in self._now():
            for state, places in (("running", row.running), ("suspended", row.suspended)):
                for node, count in places:
                    counts[name, state, names.get(node, "")] += count
            counts[name, "waiting", ""] += row.waiting
        return [
            {"function": name, "state": state, "node": node, "count": count}
            for (name, state, node), count in sorted(counts.items())
            if count
        ]

    def _now(self) -> Iterable[tuple[str, Owned]]:
        rows = (row for rows in self._present.values() for row in rows)
        return ((row.name if row.name in self._figures else OTHER, row) for row in rows)
