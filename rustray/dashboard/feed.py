"""Asks a cluster what panels show, and makes their tables of it.

Answers that grow (samples, events) are asked for piece by piece, and put together by the readers here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock
from typing import Any

from rustray.dashboard.answers import Answers, Latest, Reader
from rustray.dashboard.head_strips import HeadStrips
from rustray.dashboard.history import History, NodeHistory
from rustray.dashboard.panels import PANELS
from rustray.dashboard.progress import Progress
from rustray.dashboard.tables.samples import SPAN_S
from rustray.dashboard.task_stream import TaskStream
from rustray.model.colours import Colours

Query = Callable[..., Any]

PACE_S = {"objects": 2.0, "nodes": 1.0, "gone_nodes": 1.0, "network": 1.0}
"""Seconds between two questions, where that is more than between two pictures: what changes slowly, or costs much."""


def new_readers() -> dict[str, Reader]:
    """By question, of those whose answers are put together; of others the latest is what counts."""
    return {
        "metrics": History(SPAN_S),
        "node_metrics": NodeHistory(SPAN_S),
        "task_events": TaskStream(),
        "function_metrics": Progress(),
        "heads": HeadStrips(),
    }


class Feed:
    """What has been asked of one cluster. May be used by several threads.

    Parameters
    ----------
    clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = Lock()
        self._readers = new_readers()
        self._due: dict[str, float] = {}
        self._colours, self._node_colours = Colours(), Colours()

    def take(self, query: Query, panels: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The tables of these panels as they are now: {panel: {source: columns}}.

        Parameters
        ----------
        query: asks the cluster, as `Session.query` does; what it raises is raised here.
        panels: names in PANELS; KeyError for others.
        """
        chosen = {name: PANELS[name] for name in panels}
        with self._lock:
            answers = Answers(self._colours, self._node_colours)
            for question in dict.fromkeys(one for panel in chosen.values() for one in panel.questions):
                answers[question] = self._ask(query, question)
            now = self._clock()
            return {name: panel.tables(answers, now) for name, panel in chosen.items()}

    def _ask(self, query: Query, question: str) -> Any:
        reader = self._readers.setdefault(question, Latest())
        now = self._clock()
        if now >= self._due.get(question, 0.0) or now < self._due[question] - PACE_S[question]:
            reader.add(query(question, *reader.arguments(now)), now)
            if question in PACE_S:
                self._due[question] = now + PACE_S[question]
        return reader.seen(now)


def empty_tables(panel: str) -> dict[str, Any]:
    """What a panel has before anything was asked."""
    readers = new_readers()
    answers = Answers(Colours(), Colours())
    for question in PANELS[panel].questions:
        answers[question] = readers[question].seen(0.0) if question in readers else []
    return PANELS[panel].tables(answers, 0.0)
