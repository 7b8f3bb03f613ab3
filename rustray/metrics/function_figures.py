"""What is known of one function: how long its runs took and waited, and what became of its tasks."""

from __future__ import annotations

from typing import Any

from rustray.metrics.histogram import BYTES, SECONDS, Histogram

Packed = tuple[Any, ...]
"""As figures travel from head to head."""

_HISTOGRAMS = ("run", "wait", "memory")
_COUNTS = ("errors", "stopped", "failed", "cancelled", "retried", "cpu")
_MOST = ("longest", "peak", "last")


class FunctionFigures:
    """See the module.

    Attributes
    ----------
    run, wait: seconds. memory: bytes of workers.
    errors: runs that raised. stopped: runs that were cancelled, which are not in `run`.
    failed, cancelled: tasks. retried: runs in vain. cpu: seconds.
    longest: seconds of a run. peak: bytes. last: when it was heard of last, seconds since the epoch.
    """

    __slots__ = (*_HISTOGRAMS, *_COUNTS, *_MOST)

    def __init__(self) -> None:
        self.run = Histogram(SECONDS)
        self.wait = Histogram(SECONDS)
        self.memory = Histogram(BYTES)
        self.errors = self.stopped = self.failed = self.cancelled = self.retried = 0
        self.longest = self.cpu = self.last = 0.0
        self.peak = 0

    def add(self, other: FunctionFigures) -> None:
        """Those of another function, so that they are of both."""
        for name in _HISTOGRAMS:
            histogram = getattr(other, name)
            getattr(self, name).merge(histogram.sparse(), histogram.sum)
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _MOST:
            setattr(self, name, max(getattr(self, name), getattr(other, name)))

    def pack(self) -> Packed:
        """See `unpack`."""
        histograms = [(one.sparse(), one.sum) for one in (self.run, self.wait, self.memory)]
        return (*histograms, *(getattr(self, name) for name in (*_COUNTS, *_MOST)))

    @classmethod
    def unpack(cls, packed: Packed) -> FunctionFigures:
        """The figures that were packed."""
        figures = cls()
        for name, (counts, total) in zip(_HISTOGRAMS, packed, strict=False):
            getattr(figures, name).merge(counts, total)
        for name, value in zip((*_COUNTS, *_MOST), packed[len(_HISTOGRAMS) :], strict=True):
            setattr(figures, name, value)
        return figures

    def row(self, name: str, running: int, waiting: int, histograms: bool) -> dict[str, Any]:
        """As of `Functions.rows`."""
        run, wait = self.run, self.wait
        longest = self.longest or None

        def within(seconds: float | None) -> float | None:
            return seconds if seconds is None or longest is None else min(seconds, longest)

        row = {
            "name": name,
            "finished": run.count - self.errors,
            "failed": self.failed,
            "cancelled": self.cancelled,
            "retried": self.retried,
            "running": running,
            "waiting": waiting,
            "ahead": run.count + self.stopped - wait.count,
            "last": self.last,
            "mean_s": run.mean,
            "p50_s": within(run.quantile(0.5)),
            "p95_s": within(run.quantile(0.95)),
            "max_s": longest,
            "wait_p50_s": wait.quantile(0.5),
            "wait_p95_s": wait.quantile(0.95),
            "cpu_s": self.cpu,
            "peak_memory": self.peak,
        }
        if histograms:
            row |= {f"{name}_histogram": _plain(getattr(self, name)) for name in _HISTOGRAMS}
        return row


def _plain(histogram: Histogram) -> dict[str, Any]:
    return {"bounds": list(histogram.bounds), "counts": list(histogram.counts), "sum": histogram.sum}
