"""Names that exist at the moment, for completion: of clusters, panels, tasks, variables. None waits for long."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable
from typing import Any

import rustray.clusters
from rustray.driver.actor_handle import ActorHandle
from rustray.driver.current import current_or_none
from rustray.driver.generator import ObjectRefGenerator
from rustray.driver.refs import ObjectRef
from rustray.driver.session import Session
from rustray.driver.stopping import unfinished
from rustray.errors import RustRayError
from rustray.jupyter.console.opening import attached
from rustray.jupyter.named_cells import CELLS
from rustray.model.ids import make_object_id, task_of
from rustray.model.own_work import is_own_code, is_own_name

CLUSTERS, PANELS, LOGS, TASKS, VALUES, FILES = "clusters", "panels", "logs", "tasks", "values", "files"
ASK_S = 0.3
"""Seconds for which a head is asked."""
MOST = 20
"""Ids of tasks that are offered."""

Space = dict[str, Any]


def _clusters(_session: Session | None, _space: Space, _prefix: str) -> Iterable[str]:
    return [cluster.name for cluster in reversed(rustray.clusters.list())]


def _panels(_session: Session | None, _space: Space, _prefix: str) -> Iterable[str]:
    from rustray.dashboard.panels import PANELS as panels

    return list(panels)


def _logs(_session: Session | None, space: Space, _prefix: str) -> Iterable[str]:
    shown = [*_variables(space, ObjectRef), *_cells(space)]
    try:
        cluster = attached() or rustray.clusters.find()
    except RustRayError:
        return shown
    return [*shown, *(process.name for process in cluster.processes)]


def _tasks(session: Session | None, space: Space, _prefix: str) -> Iterable[str]:
    return [*_variables(space, ObjectRef, ObjectRefGenerator), *_cells(space), *_task_ids(session)]


def _cells(space: Space) -> list[str]:
    """Background cells, by name."""
    return [str(name) for name in space.get(CELLS, {})]


def _values(session: Session | None, space: Space, _prefix: str) -> Iterable[str]:
    variables = _variables(space, ObjectRef, ObjectRefGenerator, ActorHandle)
    return [*variables, *_actors(session), *_task_ids(session)]


def _actors(session: Session | None) -> list[str]:
    if session is None:
        return []
    found = session.requests.query_within(ASK_S, "actor_names", session.info["namespace"])
    return sorted(name for _namespace, name in found if not is_own_name(name))


def _files(_session: Session | None, _space: Space, prefix: str) -> Iterable[str]:
    return glob.glob(f"{glob.escape(prefix)}*")[:MOST]


def _variables(space: Space, *types: type) -> list[str]:
    """Variables of the notebook with such values, or lists of them; IPython's own (as _3) are left out."""
    found = []
    for name, value in list(space.items()):
        first = value[0] if isinstance(value, list) and value else value
        if not name.startswith("_") and isinstance(first, types):
            found.append(name)
    return found


def _task_ids(session: Session | None) -> list[str]:
    if session is None:
        return []
    tasks = [task for task in unfinished(session, 0) if not is_own_code(task.target.name)][:MOST]
    return [task_of(make_object_id(session.client, task.number, 0)).hex() for task in tasks]


KINDS: dict[str, Callable[[Session | None, Space, str], Iterable[str]]] = {
    CLUSTERS: _clusters,
    PANELS: _panels,
    LOGS: _logs,
    TASKS: _tasks,
    VALUES: _values,
    FILES: _files,
}


def names(kind: str, space: Space, prefix: str) -> list[str]:
    """Those of a kind; none where they cannot be had.

    Parameters
    ----------
    space: the variables of the notebook.
    prefix: what has been typed of it.
    """
    session = current_or_none()
    if session is not None and session.ended is not None:
        session = None
    try:
        return list(KINDS[kind](session, space, prefix))
    except (RustRayError, OSError, ImportError):
        return []  # a key that was pressed is no place for an error
