"""What a cluster has and does, as lists of rows: the names of `ray.util.state`, and those of its fields that there are.

    from rustray.util.state import list_actors
    list_actors(filters=[("state", "=", "ALIVE")])

Each row has its fields as items and as attributes. All functions raise SessionError when there is no cluster, or no
head answers in time, and OptionError for an argument that is not allowed.

Parameters of all
-----------------
filters: rows to keep: (field, "=" or "!=", value), all of which must hold. Text is compared without regard to case.
limit: how many rows to give at most.
timeout: seconds to wait for the answer.
detail: show all fields, which are in the rows in any case; and what RustRay itself runs, the keepers of notebooks'
    cells, which is left out otherwise.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rustray.driver.current import current
from rustray.errors import OptionError
from rustray.model.option_checks import unknown_name
from rustray.model.own_work import is_own_code
from rustray.model.quantities import amounts, byte_size, duration
from rustray.model.table import Column, Row, Table
from rustray.util import task_states

LIMIT = 100
TIMEOUT_S = 30.0
EVENTS = 2_000
"""Events of tasks that are looked at, at least: some may be of RustRay's own tasks, or not what the filters want."""

Filters = Sequence[tuple[str, str, Any]]


def list_nodes(
    *, filters: Filters = (), limit: int = LIMIT, timeout: float = TIMEOUT_S, detail: bool = False
) -> Table:
    """The nodes of the cluster, and those that have left it of late.

    "node_id" (its name), "node_name" (its host), "state" ("ALIVE", "DEAD"), "resources_total" and
    "resources_available" (memory in bytes), "labels", "death_cause", "end_time" (seconds since the epoch).
    """
    rows = [
        {
            "node_id": row["name"],
            "node_name": row.get("hostname", ""),
            "state": "ALIVE" if row.get("alive", True) else "DEAD",
            "resources_total": row["resources"],
            "resources_available": row["available"],
            "labels": row["labels"],
            "death_cause": "",
            "end_time": None,
        }
        for row in _ask(timeout, "nodes")
    ]
    rows += [
        {
            "node_id": row["name"],
            "node_name": row["hostname"],
            "state": "DEAD",
            "resources_total": {},
            "resources_available": {},
            "labels": row["labels"],
            "death_cause": row["cause"],
            "end_time": row["removed"],
        }
        for row in _ask(timeout, "gone_nodes")
    ]
    return _table(rows, NODE_COLUMNS, filters, limit, detail, "No node belongs to the cluster.")


def list_tasks(
    *, filters: Filters = (), limit: int = LIMIT, timeout: float = TIMEOUT_S, detail: bool = False
) -> Table:
    """Tasks one by one: those of this process that have not ended, then those of the cluster that have, newest first.

    Of the ended there are as many as the cluster has events of: up to 500 a second of each node, in the last
    minutes. Of the tasks of other programs that wait or run there are only numbers: see `summarize_tasks`.

    "task_id", "name", "state" ("PENDING_ARGS_AVAIL", "PENDING_NODE_ASSIGNMENT", "SUBMITTED_TO_WORKER", "RUNNING",
    "FINISHED", "FAILED", "CANCELLED"), "node_id", "worker_pid", "start_time_ms" (milliseconds since the epoch),
    "duration_s"; None where that is not known.
    """
    session = current()
    nodes = {row["number"]: row["name"] for row in _ask(timeout, "nodes", True)}
    rows = task_states.unfinished_rows(session, limit, nodes, time.time(), detail)
    events = _ask(timeout, "task_events", -max(limit, EVENTS))["events"]
    rows += task_states.ended_rows(events, detail)
    return _table(rows, TASK_COLUMNS, filters, limit, detail, "No task is known.")


def summarize_tasks(*, timeout: float = TIMEOUT_S, detail: bool = False) -> Table:
    """The tasks of the whole cluster by function, the last that ran first.

    "name", "running", "waiting", "finished", "failed", "cancelled", "retried", "mean_s", "p95_s" (seconds of a run),
    "peak_memory" (bytes of a worker), and what else `docs/metrics.md` says of functions.
    """
    rows = [row for row in _ask(timeout, "function_metrics") if detail or not is_own_code(row["name"])]
    return Table(rows, FUNCTION_COLUMNS, "No task is known yet; of what runs the cluster is told twice a second.")


def list_actors(
    *, filters: Filters = (), limit: int = LIMIT, timeout: float = TIMEOUT_S, detail: bool = False
) -> Table:
    """Actors, those that died of late included.

    "actor_id", "class_name", "state" ("PENDING", "ALIVE", "RESTARTING", "DEAD"), "name" and "ray_namespace" ("name" is
    "" of one without), "job_id", "node_id", "pid", "num_restarts", "is_detached", "death_cause", "start_time" (seconds
    since the epoch).
    """
    rows = [
        {
            "actor_id": row["id"],
            "class_name": row["class_name"],
            "state": row["state"],
            "name": row["name"],
            "ray_namespace": row["namespace"],
            "job_id": f"{row['job']:08x}",
            "node_id": row["node"],
            "pid": row["pid"] or None,
            "num_restarts": row["restarts"],
            "is_detached": row["detached"],
            "death_cause": row["cause"],
            "start_time": row["created"],
        }
        for row in _ask(timeout, "actors")
        if detail or not is_own_code(row["class_name"])
    ]
    rows.sort(key=lambda row: row["state"] == "DEAD")
    return _table(rows, ACTOR_COLUMNS, filters, limit, detail, "There is no actor.")


def list_objects(
    *, filters: Filters = (), limit: int = LIMIT, timeout: float = TIMEOUT_S, detail: bool = False
) -> Table:
    """The largest objects of the stores. Small values are in no store.

    "object_id", "object_size" (bytes), "node_id", "place" ("memory" or "disk"), "owner" (client that made it),
    "references" (clients and nodes that hold it, and values that contain it).
    """
    rows = [
        {
            "object_id": one["id"],
            "object_size": one["size"],
            "node_id": row["node"],
            "place": one["place"],
            "owner": one["owner"],
            "references": one["references"],
        }
        for row in _ask(timeout, "objects", limit)
        for one in row["objects"]
    ]
    rows.sort(key=lambda row: -row["object_size"])
    return _table(rows, OBJECT_COLUMNS, filters, limit, detail, "No object lies in a store.")


def list_jobs(
    *, filters: Filters = (), limit: int = LIMIT, timeout: float = TIMEOUT_S, detail: bool = False
) -> Table:
    """Programs and notebooks that use the cluster, and those that did of late, the newest first.

    "job_id", "status" ("RUNNING", "ENDED"), "name", "namespace", "detached_actors", "start_time", "end_time" (seconds
    since the epoch, None while it runs), "message" (why it has ended).
    """
    own = Counter(
        row["job"]
        for row in ([] if detail else _ask(timeout, "actors"))
        if row["detached"] and row["state"] != "DEAD" and is_own_code(row["class_name"])
    )
    rows = [
        {
            "job_id": f"{row['id']:08x}",
            "status": "RUNNING" if row["end"] is None else "ENDED",
            "name": row["name"],
            "namespace": row["namespace"],
            "detached_actors": row["detached"] - own[row["id"]],
            "start_time": row["start"],
            "end_time": row["end"],
            "message": row["cause"],
        }
        for row in _ask(timeout, "jobs")
    ]
    rows.sort(key=lambda row: -row["start_time"])
    return _table(rows, JOB_COLUMNS, filters, limit, detail, "There is no job.")


def list_placement_groups(
    *, filters: Filters = (), limit: int = LIMIT, timeout: float = TIMEOUT_S, detail: bool = False
) -> Table:
    """Placement groups, those removed of late included.

    "placement_group_id", "name", "namespace", "strategy", "state" ("PENDING", "CREATED", "RESCHEDULING", "REMOVED"),
    "bundles" (how many it has), "is_detached", "reason" (what it waits for, or why it was removed).
    """
    rows = [
        {
            "placement_group_id": row["id"].hex(),
            "name": row["name"],
            "namespace": row["namespace"],
            "strategy": row["strategy"],
            "state": row["state"],
            "bundles": len(row["bundles"]),
            "is_detached": row["detached"],
            "reason": row["reason"],
        }
        for row in _ask(timeout, "group_table", None)
    ]
    return _table(rows, GROUP_COLUMNS, filters, limit, detail, "There is no placement group.")


# -- one by its id --------------------------------------------------------------------------------------------


def get_node(id: str, *, timeout: float = TIMEOUT_S) -> Row | None:
    """The row of `list_nodes` of this node, None if there is none."""
    return _one(list_nodes, "node_id", id, timeout)


def get_task(id: str, *, timeout: float = TIMEOUT_S) -> Row | None:
    """The row of `list_tasks` of this task, None if there is none (any more)."""
    return _one(list_tasks, "task_id", id, timeout)


def get_actor(id: str, *, timeout: float = TIMEOUT_S) -> Row | None:
    """The row of `list_actors` of this actor, None if there is none."""
    return _one(list_actors, "actor_id", id, timeout)


def get_job(id: str, *, timeout: float = TIMEOUT_S) -> Row | None:
    """The row of `list_jobs` of this job, None if there is none."""
    return _one(list_jobs, "job_id", id, timeout)


def get_placement_group(id: str, *, timeout: float = TIMEOUT_S) -> Row | None:
    """The row of `list_placement_groups` of this group, None if there is none."""
    return _one(list_placement_groups, "placement_group_id", id, timeout)


# -- what they have in common --------------------------------------------------------------------------------


def _one(listed: Callable[..., Table], field: str, id: str, timeout: float) -> Row | None:
    rows = listed(filters=[(field, "=", id)], limit=EVENTS, timeout=timeout, detail=True)
    return rows[0] if rows else None


def _ask(timeout: float, what: str, *args: Any) -> Any:
    return current().requests.query_within(timeout, what, *args)


def _table(
    rows: Iterable[dict[str, Any]],
    columns: Mapping[str, Column],
    filters: Filters,
    limit: int,
    detail: bool,
    nothing: str,
) -> Table:
    kept = list(rows)
    for one in filters:
        kept = _kept(kept, one)
    shown = {field: column for field, column in columns.items() if detail or not column.detail}
    return Table(kept[:limit], shown, nothing)


def _kept(rows: list[dict[str, Any]], one: tuple[str, str, Any]) -> list[dict[str, Any]]:
    try:
        field, relation, value = one
    except (TypeError, ValueError):
        raise OptionError(f"filters: {one!r} is not (field, '=' or '!=', value).") from None
    if relation not in ("=", "!="):
        raise OptionError(f"filters: {relation!r} is not a relation: give '=' or '!='.")
    if rows and field not in rows[0]:
        raise unknown_name("field of these rows", field, rows[0])
    return [row for row in rows if (_plain(row[field]) == _plain(value)) == (relation == "=")]


def _plain(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _time(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds))


def _count(number: int) -> str:
    return f"{number:,}"


def _if_any(show: Callable[[Any], str]) -> Callable[[Any], str]:
    """Nothing in place of 0."""
    return lambda number: show(number) if number else ""


def _labels(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in labels.items())


def _of(columns: Mapping[str, str | tuple[Any, ...]]) -> dict[str, Column]:
    return {
        field: Column(told) if isinstance(told, str) else Column(*told) for field, told in columns.items()
    }


NODE_COLUMNS = _of(
    {
        "node_id": "node",
        "node_name": "host",
        "state": "state",
        "resources_total": ("has", amounts),
        "resources_available": ("free", amounts),
        "labels": ("labels", _labels, True),
        "end_time": ("left", _time, True),
        "death_cause": "cause",
    }
)
TASK_COLUMNS = _of(
    {
        "task_id": "task",
        "name": "function",
        "state": "state",
        "node_id": "node",
        "worker_pid": "pid",
        "start_time_ms": ("started", lambda milliseconds: _time(milliseconds / 1000)),
        "duration_s": ("took", duration),
    }
)
FUNCTION_COLUMNS = _of(
    {
        "name": "function",
        "running": ("running", _count),
        "waiting": ("waiting", _count),
        "finished": ("finished", _count),
        "failed": ("failed", _count),
        "cancelled": ("cancelled", _count),
        "mean_s": ("mean", duration),
        "p95_s": ("95 %", duration),
        "peak_memory": ("memory", _if_any(byte_size)),
    }
)
ACTOR_COLUMNS = _of(
    {
        "actor_id": "actor",
        "class_name": "class",
        "state": "state",
        "name": "name",
        "node_id": "node",
        "pid": "pid",
        "num_restarts": ("restarts", _if_any(_count)),
        "start_time": ("created", _time, True),
        "job_id": ("job", str, True),
        "is_detached": ("detached", _if_any(lambda _yes: "yes"), True),
        "ray_namespace": ("namespace", str, True),
        "death_cause": "cause",
    }
)
GROUP_COLUMNS = _of(
    {
        "placement_group_id": "group",
        "name": "name",
        "strategy": "strategy",
        "state": "state",
        "bundles": ("bundles", _count),
        "namespace": ("namespace", str, True),
        "is_detached": ("detached", _if_any(lambda _yes: "yes"), True),
        "reason": "because",
    }
)
OBJECT_COLUMNS = _of(
    {
        "object_id": "object",
        "object_size": ("size", byte_size),
        "node_id": "node",
        "place": "in",
        "owner": ("made by client", _count, True),
        "references": "references",
    }
)
JOB_COLUMNS = _of(
    {
        "job_id": "job",
        "status": "status",
        "name": "name",
        "namespace": "namespace",
        "start_time": ("started", _time),
        "end_time": ("ended", _time),
        "detached_actors": ("detached actors", _if_any(_count)),
        "message": "ended because",
    }
)
