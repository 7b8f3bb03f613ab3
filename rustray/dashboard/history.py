"""Samples of the last seconds, gathered from many small answers: each asks only for what is new. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from rustray.dashboard.answers import Reader

Sample = Mapping[str, Any]
LATE_S = 5.0
"""A node that has told nothing for so long is not waited for: what the others tell is not asked for twice on its
account."""


class History(Reader):
    """Samples in the order of their times.

    Parameters
    ----------
    span: seconds that they are kept.
    """

    def __init__(self, span: float) -> None:
        self._span = span
        self.samples: deque[Sample] = deque()

    def arguments(self, now: float) -> tuple[float]:
        """What to ask for: samples newer than this."""
        return (self.samples[-1]["time"] if self.samples else now - self._span,)

    def add(self, answer: Sequence[Sample], now: float) -> None:
        """More of them; those that are here already are passed over."""
        (newest,) = self.arguments(now)
        self.samples.extend(sample for sample in answer if sample["time"] > newest)
        while self.samples and self.samples[0]["time"] < now - self._span:
            self.samples.popleft()

    def seen(self, now: float) -> list[Sample]:
        return list(self.samples)


class NodeHistory(Reader):
    """One a node, by its name. A node that is no more in the answer is forgotten when its last sample is.

    Parameters
    ----------
    span: seconds that samples are kept.
    """

    def __init__(self, span: float) -> None:
        self._span = span
        self._nodes: dict[str, History] = {}

    def arguments(self, now: float) -> tuple[float]:
        """What to ask for, so that nothing of a node that still tells is missed."""
        times = [history.samples[-1]["time"] for history in self._nodes.values()]
        newest = max(times, default=0.0)
        return (max(min(times), newest - LATE_S) if newest > now - LATE_S else now - self._span,)

    def add(self, answer: Mapping[str, Sequence[Sample]], now: float) -> None:
        """More samples of each."""
        for name, samples in answer.items():
            self._nodes.setdefault(name, History(self._span)).add(samples, now)
        for name, history in list(self._nodes.items()):
            if name not in answer:
                history.add((), now)
            if not history.samples:
                del self._nodes[name]

    def seen(self, now: float) -> dict[str, list[Sample]]:
        """The samples of each node that has some."""
        return {name: list(history.samples) for name, history in self._nodes.items()}
