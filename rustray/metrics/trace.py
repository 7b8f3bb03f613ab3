"""Tasks that have run as a trace that chrome://tracing and ui.perfetto.dev show.

The JSON of Google's "Trace Event Format": one complete event ("ph": "X") a task, in microseconds. A node is a
process of the trace, a worker a thread of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rustray.metrics.task_events import OK, Event

MICROSECONDS = 1e6
_COLOURS = {OK: "good", "failed": "terrible", "cancelled": "grey"}
"""Of outcomes: names of Chrome's own palette."""


def chrome_trace(events: Iterable[Event]) -> list[dict[str, Any]]:
    """The events of a trace, names of nodes and workers first.

    Parameters
    ----------
    events: as of `task_events`.
    """
    nodes: dict[str, int] = {}
    workers: dict[tuple[str, int], None] = {}
    spans = []
    for start, seconds, node, pid, function, outcome, task in events:
        number = nodes.setdefault(node, len(nodes) + 1)
        workers[node, pid] = None
        spans.append(
            {
                "name": function,
                "cat": "task",
                "ph": "X",
                "ts": start * MICROSECONDS,
                "dur": seconds * MICROSECONDS,
                "pid": number,
                "tid": pid,
                "cname": _COLOURS[outcome],
                "args": {"outcome": outcome, "task_id": task, "node": node},
            }
        )
    named = [_named("process_name", number, 0, node) for node, number in nodes.items()]
    named += [_named("thread_name", nodes[node], pid, f"worker {pid}") for node, pid in workers]
    return named + spans


def _named(what: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": process, "tid": thread, "args": {"name": name}}
