"""Rows of single tasks, with the names that Ray has for their states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from rustray.driver.session import Session
from rustray.driver.stopping import unfinished
from rustray.metrics.task_events import CANCELLED, FAILED, OK, Event
from rustray.model.ids import node_of
from rustray.model.own_work import is_own_code

STATES = {
    "arguments": "PENDING_ARGS_AVAIL",
    "queued": "PENDING_NODE_ASSIGNMENT",
    "actor": "PENDING_NODE_ASSIGNMENT",
    "interrupted": "PENDING_NODE_ASSIGNMENT",
    "sent": "SUBMITTED_TO_WORKER",
    "running": "RUNNING",
}
"""By state as of `driver.explaining`."""
OUTCOMES = {OK: "FINISHED", FAILED: "FAILED", CANCELLED: "CANCELLED"}


def unfinished_rows(
    session: Session, limit: int, nodes: Mapping[int, str], now: float, own: bool
) -> list[dict[str, Any]]:
    """Of the tasks of this process that have not ended, the first ones.

    Parameters
    ----------
    nodes: their names, by number.
    now: seconds since the epoch.
    own: whether RustRay's own are among them.
    """
    rows = []
    tasks = (task for task in unfinished(session, 0) if own or not is_own_code(task.target.name))
    for task in islice(tasks, limit):
        with session.objects.lock:
            about = session.explaining.of_task(task)
        since = about.get("since_s") if about["state"] == "running" else None
        rows.append(
            {
                "task_id": about["task"],
                "name": about["function"],
                "state": STATES.get(about["state"], about["state"].upper()),
                "node_id": nodes.get(node_of(about["worker"]), "") if "worker" in about else "",
                "worker_pid": about.get("pid") or None,
                "start_time_ms": None if not since else int((now - since) * 1000),
                "duration_s": None,
            }
        )
    return rows


def ended_rows(events: Iterable[Event], own: bool) -> list[dict[str, Any]]:
    """Of tasks that have ended, from events of theirs, oldest first; the newest comes first. `own`: as above."""
    return [
        {
            "task_id": task,
            "name": function,
            "state": OUTCOMES.get(outcome, outcome.upper()),
            "node_id": node,
            "worker_pid": pid,
            "start_time_ms": int(start * 1000),
            "duration_s": seconds,
        }
        for start, seconds, node, pid, function, outcome, task in reversed(list(events))
        if own or not is_own_code(function)
    ]
