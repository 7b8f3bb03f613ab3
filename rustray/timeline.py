"""What ran when and where, as a trace for chrome://tracing or ui.perfetto.dev."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

from rustray.driver.current import current
from rustray.metrics.task_events import Event
from rustray.metrics.trace import RUNNING, chrome_trace

Query = Callable[..., Any]


def timeline(filename: str | os.PathLike[str] | None = None) -> list[dict[str, Any]] | None:
    """The tasks that have ended in the last minutes, up to 500 a second of each node, those that took longest; and
    those that have run for half a second now.

    Parameters
    ----------
    filename: where to write them as JSON, for chrome://tracing or ui.perfetto.dev.

    Returns
    -------
    The events of the trace, or None if they were written.

    Raises
    ------
    SessionError: there is no cluster. OSError: the file cannot be written.
    """
    trace = chrome_trace(task_events(current().requests.query))
    if filename is None:
        return trace
    write(trace, filename)
    return None


def task_events(query: Query) -> list[Event]:
    """All that the cluster has, oldest first, and what runs now: that is RUNNING."""
    events: list[Event] = []
    cursor = 0
    while True:
        answer = query("task_events", cursor)
        events += answer["events"]
        if not answer["events"] or answer["next"] == cursor:
            now = time.time()
            events += [
                (since, max(0.0, now - since), node, pid, function, RUNNING, task)
                for since, node, pid, function, task in answer["running"]
            ]
            return events
        cursor = answer["next"]


def write(trace: list[dict[str, Any]], filename: str | os.PathLike[str]) -> None:
    """Write a trace as JSON."""
    with open(filename, "w", encoding="utf-8") as file:
        json.dump({"traceEvents": trace, "displayTimeUnit": "ms"}, file, separators=(",", ":"))
