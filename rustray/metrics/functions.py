"""What tasks have taken, by function: each number comes from who sees it.

Workers tell of what they ran (`Ran`), owners of what they wait for (`Owned`): see `worker.figures` and
`driver.figures`. A retried task has run several times, and failed only if its owner has given it up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from rustray.metrics.histogram import BYTES, SECONDS, Histogram, Sparse

FUNCTIONS = 1000
"""Functions known at once; of more the one that was heard of longest ago is forgotten."""


class Ran(NamedTuple):
    """What workers have run of one function since they told last.

    Attributes
    ----------
    runs: by bucket of SECONDS. seconds: of all. errors: runs that raised. longest: seconds.
    cpu: seconds of processor time that the workers have used meanwhile.
    memory: bytes that a worker has at most had meanwhile, 0 if it was not looked at.
    """

    name: str
    runs: Sparse
    seconds: float
    errors: int
    longest: float
    cpu: float
    memory: int


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


class Figures:
    """All that is known of one function."""

    def __init__(self) -> None:
        self.run = Histogram(SECONDS)
        self.wait = Histogram(SECONDS)
        self.memory = Histogram(BYTES)
        self.errors = self.failed = self.cancelled = self.retried = 0
        self.longest = self.cpu = 0.0
        self.peak = 0


class Functions:
    """Figures of all functions since this head began to lead."""

    def __init__(self) -> None:
        self._figures: dict[str, Figures] = {}
        self._present: dict[str, list[Owned]] = {}
        """By the node that told it."""

    def _of(self, name: str) -> Figures:
        figures = self._figures.pop(name, None) or Figures()
        self._figures[name] = figures  # the last one heard of is the last one here
        while len(self._figures) > FUNCTIONS:
            del self._figures[next(iter(self._figures))]
        return figures

    def ran(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Workers have told. Rows as of `Ran`."""
        for row in map(Ran._make, rows):
            figures = self._of(row.name)
            figures.run.merge(row.runs, row.seconds)
            figures.errors += row.errors
            figures.longest = max(figures.longest, row.longest)
            figures.cpu += row.cpu
            if row.memory:
                figures.memory.add(row.memory)
                figures.peak = max(figures.peak, row.memory)

    def owned(self, node: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """The owners on a node have told. Rows as of `Owned`; what is not there is not so any more."""
        self._present[node] = present = []
        for row in map(Owned._make, rows):
            figures = self._of(row.name)
            figures.wait.merge(row.waits, row.waited)
            figures.failed += row.failed
            figures.cancelled += row.cancelled
            figures.retried += row.retried
            if row.waiting or row.running or row.suspended:
                present.append(row)

    def forget(self, node: str) -> None:
        """The node has gone, and the owners on it."""
        self._present.pop(node, None)

    # -- what people ask -------------------------------------------------------------------------------

    def rows(self) -> list[dict[str, Any]]:
        """One row a function, the last one heard of first.

        "name", "finished" (runs with a result), "failed", "cancelled", "retried", "running", "waiting" (tasks),
        "mean_s", "p50_s", "p95_s", "max_s" of a run, "wait_p50_s", "wait_p95_s" from submission to start (None before
        there is one), "cpu_s" (of all), "peak_memory" (bytes), and "run_histogram", "wait_histogram" (seconds) and
        "memory_histogram" (bytes): {"bounds", "counts", "sum"}, with one more count than bounds.
        """
        running: Counter[str] = Counter()
        waiting: Counter[str] = Counter()
        for row in self._now():
            running[row.name] += sum(count for _node, count in (*row.running, *row.suspended))
            waiting[row.name] += row.waiting
        return [
            _row(name, figures, running[name], waiting[name])
            for name, figures in reversed(self._figures.items())
        ]

    def tasks(self, names: dict[int, str]) -> list[dict[str, Any]]:
        """How many tasks of which function are in which state where: "function", "state" ("running", "suspended" or
        "waiting"), "node" ("" of those that wait) and "count".

        Parameters
        ----------
        names: of nodes by number.
        """
        counts: Counter[tuple[str, str, str]] = Counter()
        for row in self._now():
            for state, places in (("running", row.running), ("suspended", row.suspended)):
                for node, count in places:
                    counts[row.name, state, names.get(node, "")] += count
            counts[row.name, "waiting", ""] += row.waiting
        return [
            {"function": name, "state": state, "node": node, "count": count}
            for (name, state, node), count in sorted(counts.items())
            if count
        ]

    def _now(self) -> Iterable[Owned]:
        return (row for rows in self._present.values() for row in rows)


def _row(name: str, figures: Figures, running: int, waiting: int) -> dict[str, Any]:
    run, wait = figures.run, figures.wait
    longest = figures.longest or None

    def within(seconds: float | None) -> float | None:
        return seconds if seconds is None or longest is None else min(seconds, longest)

    return {
        "name": name,
        "finished": run.count - figures.errors,
        "failed": figures.failed,
        "cancelled": figures.cancelled,
        "retried": figures.retried,
        "running": running,
        "waiting": waiting,
        "mean_s": run.mean,
        "p50_s": within(run.quantile(0.5)),
        "p95_s": within(run.quantile(0.95)),
        "max_s": longest,
        "wait_p50_s": wait.quantile(0.5),
        "wait_p95_s": wait.quantile(0.95),
        "cpu_s": figures.cpu,
        "peak_memory": figures.peak,
        "run_histogram": _plain(run),
        "wait_histogram": _plain(wait),
        "memory_histogram": _plain(figures.memory),
    }


def _plain(histogram: Histogram) -> dict[str, Any]:
    return {"bounds": list(histogram.bounds), "counts": list(histogram.counts), "sum": histogram.sum}
