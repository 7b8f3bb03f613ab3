"""Tasks that have run as a trace that chrome://tracing and ui.perfetto.dev show.

The JSON of Google's "Trace Event Format": one complete event ("ph": "X") a task, in microseconds. A node is a process
of the trace, a worker a thread of it. Events of one thread must not overlap, for what begins within another is drawn as
called by it: so calls that ran at once in one worker, of a concurrent actor, have threads of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rustray.metrics.task_events import CANCELLED, FAILED, OK, Event

RUNNING = "running"
"""The outcome of a task that has none yet."""
CLOCK_S = 1e-3
"""By so much tasks one after another may seem to overlap, for a start is the end less what it took: they are moved."""
THREADS = 1 << 23
"""Thread n of a worker is n times this and its process id, of which Linux has 2**22."""

_COLOURS = {OK: "good", FAILED: "terrible", CANCELLED: "grey", RUNNING: "thread_state_running"}
"""Of outcomes: names of Chrome's own palette. Perfetto colours by name, and so has a word."""


def chrome_trace(events: Iterable[Event]) -> list[dict[str, Any]]:
    """The events of a trace, names of nodes and workers first.

    Parameters
    ----------
    events: as of `task_events`; the outcome of one that has not ended is RUNNING.
    """
    nodes: dict[str, int] = {}
    threads: dict[tuple[str, int], list[int]] = {}
    """By worker, when what was last put on each of its threads ends, in microseconds."""
    spans = []
    for start, seconds, node, pid, function, outcome, task in sorted(events, key=lambda event: event[0]):
        process = nodes.setdefault(node, len(nodes) + 1)
        took = _microseconds(seconds)
        thread, begin = _place(threads.setdefault((node, pid), []), _microseconds(start), took)
        spans.append(
            {
                "name": function if outcome == OK else f"{function} ({outcome})",
                "cat": "task" if outcome == OK else f"task,{outcome}",
                "ph": "X",
                "ts": begin,
                "dur": took,
                "pid": process,
                "tid": thread * THREADS + pid,
                "cname": _COLOURS[outcome],
                "args": {"function": function, "outcome": outcome, "task_id": task, "node": node},
            }
        )
    named = [_named("process_name", number, 0, node) for node, number in nodes.items()]
    for (node, pid), ends in threads.items():
        for thread in range(len(ends)):
            name = f"worker {pid}" + (f", call {thread + 1} at once" if thread else "")
            named.append(_named("thread_name", nodes[node], thread * THREADS + pid, name))
    return named + spans


def _place(ends: list[int], begin: int, took: int) -> tuple[int, int]:
    """(the first thread that is free, when the event begins there)."""
    for thread, free in enumerate(ends):
        if free - begin <= _microseconds(CLOCK_S):
            begin = max(begin, free)
            ends[thread] = begin + took
            return thread, begin
    ends.append(begin + took)
    return len(ends) - 1, begin


def _microseconds(seconds: float) -> int:
    return round(seconds * 1e6)


def _named(what: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": process, "tid": thread, "args": {"name": name}}
