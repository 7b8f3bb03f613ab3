"""The commands of `%rustray` that look: each gives what its twin in plain Python gives."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import rustray
import rustray.clusters
from rustray import dashboard as live_panels
from rustray.clusters import Cluster
from rustray.driver.current import current
from rustray.driver.refs import ObjectRef
from rustray.driver.task_logs import TaskLog
from rustray.errors import OptionError
from rustray.explanation import Explanation
from rustray.jupyter.console.opening import attached
from rustray.jupyter.replaying import printed
from rustray.model.option_checks import unknown_name
from rustray.model.table import Table
from rustray.status import ClusterStatus
from rustray.util import state

LOG_LINES = 50

Evaluate = Callable[[str], Any]


def check_cluster(action: str) -> None:
    """OptionError where the notebook has no cluster."""
    if not rustray.is_initialized():
        raise OptionError(f"%rustray {action} needs a cluster, and there is none: %rustray init starts one.")


def status() -> ClusterStatus:
    """The cluster at a glance."""
    check_cluster("status")
    return rustray.status()


def dashboard(panels: tuple[str, ...] = ()) -> Any:
    """A live view of these panels."""
    check_cluster("dashboard")
    return live_panels.show(*panels)


def nodes(all: bool = False) -> Table:
    """The nodes; with `all` those that have left as well."""
    check_cluster("nodes")
    return state.list_nodes(filters=() if all else (("state", "=", "ALIVE"),))


def tasks(all: bool = False) -> Table:
    """Tasks by function; with `all` one by one, and RustRay's own too."""
    check_cluster("tasks")
    return state.list_tasks(detail=True) if all else state.summarize_tasks()


def actors(all: bool = False) -> Table:
    """The actors; with `all` those that have died, and RustRay's own, as well."""
    check_cluster("actors")
    return state.list_actors(detail=True) if all else state.list_actors(filters=(("state", "!=", "DEAD"),))


def objects() -> Table:
    """The largest objects."""
    check_cluster("objects")
    return state.list_objects()


def jobs(all: bool = False) -> Table:
    """The programs that use the cluster; with `all` those that have ended as well."""
    check_cluster("jobs")
    return state.list_jobs(filters=() if all else (("status", "=", "RUNNING"),))


class Text(str):
    """Text that a notebook shows as it is, line by line."""

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f"<pre>{escape(self)}</pre>"


def logs(process: str = "", lines: int = LOG_LINES) -> Text | TaskLog:
    """The last lines of what the cluster's processes have written, or one of them; or what a cell or task has shown."""
    if process and (shown := printed(process)) is not None:
        return shown
    cluster = _cluster_with_logs()
    if process:
        known = [name for one in cluster.processes for name in (one.name, str(one.pid))]
        if process not in known:
            raise unknown_name(f"process of the cluster {cluster.name}", process, known)
    return Text(cluster.logs(process or None, lines) or "There is nothing in the logs.")


def _cluster_with_logs() -> Cluster:
    cluster = attached()
    if cluster is None and rustray.is_initialized():
        raise OptionError(
            "%rustray logs is for clusters with names, and this notebook's own has none: it is written to "
            f"{current().info['folder']}/logs."
        )
    return cluster or rustray.clusters.find()


def timeline(file: str = "timeline.json") -> None:
    """Write a trace of the tasks. Says where."""
    check_cluster("timeline")
    rustray.timeline(file)
    print(f"The tasks of the last minutes are in {file}: open it at ui.perfetto.dev or chrome://tracing.")


def explain(evaluate: Evaluate, what: str = "") -> Explanation:
    """Why a task, a call or an actor waits; of a list of refs the first that is not done."""
    check_cluster("explain")
    if not what:
        raise OptionError(
            "%rustray explain needs what to explain: a variable with a ref, refs or an actor, or an id."
        )
    found = evaluate(what)
    if not isinstance(found, list | tuple) or not all(isinstance(ref, ObjectRef) for ref in found):
        return rustray.explain(found)
    if not found:
        raise OptionError(f"%rustray explain: {what} is empty.")
    _done, left = rustray.wait(list(dict.fromkeys(found)), num_returns=len(set(found)), timeout=0)
    if left:
        print(f"{len(left)} of {len(set(found))} are not done; this is the first of them:")
    else:
        print(f"All {len(set(found))} are done; this is the first of them:")
    return rustray.explain((left or found)[0])
