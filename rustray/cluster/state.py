"""The replicated facts of a cluster: jobs, nodes, actors and their names, key-value pairs.

Rule 1. Only `apply` changes anything, and what it does depends on nothing but the state and the command:
        every head that applies the same log has the same state.
Rule 2. A command is checked in full before anything is changed; a refused one changes nothing and returns
        {"error": code, "message": text}.
Rule 3. An actor moves only along `facts.TRANSITIONS`. Each restart is a new incarnation, and word from an
        older one is refused.
Rule 4. What is over (jobs, nodes, dead actors, results of identified operations) is remembered in bounded
        number, the oldest forgotten first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from rustray.cluster.facts import (
    ACTOR_ID_BYTES,
    ALIVE,
    DEAD,
    RESTARTING,
    TRANSITIONS,
    Actor,
    Job,
    Node,
    plain,
)

RESULTS_KEPT = 10_000
DEAD_ACTORS_KEPT = 10_000
ENDED_JOBS_KEPT = 1_000
REMOVED_NODES_KEPT = 1_000

Result = dict[str, Any]


class _Refused(Exception):
    """A command that cannot be carried out; never leaves `apply`."""

    def __init__(self, code: str, message: str, **more: Any) -> None:
        self.result: Result = {"error": code, "message": message, **more}


class ClusterState:
    """Read the facts from the attributes; change them by `apply`, with commands from `commands`."""

    def __init__(self) -> None:
        self.jobs: dict[int, Job] = {}
        self.nodes: dict[str, Node] = {}
        self.actors: dict[bytes, Actor] = {}
        self.names: dict[tuple[str, str], bytes] = {}  # (namespace, name) of living actors
        self.kv: dict[str, dict[bytes, bytes]] = {}
        self._results: dict[str, Result] = {}
        # what is over, oldest first
        self._ended: dict[int, None] = {}
        self._removed: dict[str, None] = {}
        self._dead: dict[bytes, None] = {}

    def apply(self, op: str, payload: Mapping[str, Any]) -> Result:
        """Carry out one command; never raises. See `commands` for results and errors."""
        operation = payload.get("operation")
        if isinstance(operation, str) and operation in self._results:
            return deepcopy(self._results[operation])
        try:
            if operation is not None and not isinstance(operation, str):
                raise _Refused("bad_payload", f"{op}: operation is {type(operation).__name__}, not str")
            if op not in _OPERATIONS:
                raise _Refused("unknown_op", f"no operation is called {op!r}")
            apply, fields = _OPERATIONS[op]
            _check_fields(op, payload, fields)
            result = apply(self, {name: payload[name] for name in fields})
        except _Refused as refused:
            result = refused.result
        if isinstance(operation, str):
            self._results[operation] = deepcopy(result)
            _forget_oldest(self._results, RESULTS_KEPT)
        return result

    def actor_named(self, namespace: str, name: str) -> Actor | None:
        """The living actor of that name."""
        actor = self.names.get((namespace, name))
        return self.actors[actor] if actor is not None else None

    # -- jobs and nodes

    def _start_job(self, p: dict[str, Any]) -> Result:
        if p["job"] in self.jobs:
            raise _Refused("job_exists", f"job {p['job']} has been started already")
        self.jobs[p["job"]] = Job(p["job"], p["name"], p["namespace"], p["time"])
        return {}

    def _end_job(self, p: dict[str, Any]) -> Result:
        job = self._running_job(p["job"])
        job.end, job.cause = p["time"], p["cause"]
        killed = [
            actor
            for actor in self.actors.values()
            if actor.job == job.id and not actor.detached and actor.state != DEAD
        ]
        for actor in killed:
            self._die(actor, f"its job {job.id} has ended", p["time"])
        self._ended[job.id] = None
        for old in _forget_oldest(self._ended, ENDED_JOBS_KEPT):
            del self.jobs[old]
        return {"killed": [actor.id for actor in killed]}

    def _add_node(self, p: dict[str, Any]) -> Result:
        known = self.nodes.get(p["node"])
        if known is not None and known.removed is None:
            raise _Refused("node_exists", f"node {p['node']!r} is in the cluster already")
        self._removed.pop(p["node"], None)
        self.nodes[p["node"]] = Node(p["node"], p["address"], dict(p["total"]), dict(p["labels"]), p["time"])
        return {}

    def _remove_node(self, p: dict[str, Any]) -> Result:
        node = self._member_node(p["node"])
        node.removed, node.cause = p["time"], p["cause"]
        result: Result = {"restarting": [], "dead": []}
        for actor in [a for a in self.actors.values() if a.state == ALIVE and a.node == node.name]:
            self._lose(actor, f"its node {node.name} is gone: {p['cause']}", p["time"], restart=True)
            result["restarting" if actor.state == RESTARTING else "dead"].append(actor.id)
        self._removed[node.name] = None
        for old in _forget_oldest(self._removed, REMOVED_NODES_KEPT):
            del self.nodes[old]
        return result

    def _running_job(self, number: int) -> Job:
        job = self.jobs.get(number)
        if job is None:
            raise _Refused("unknown_job", f"there is no job {number}")
        if job.end is not None:
            raise _Refused("job_ended", f"job {number} has ended")
        return job

    def _has_detached(self, job: int) -> bool:
        """Whether a detached actor goes on with the job, whether or not its driver has ended."""
        return any(a.job == job and a.detached and a.state != DEAD for a in self.actors.values())

    def _member_node(self, name: str) -> Node:
        node = self.nodes.get(name)
        if node is None:
            raise _Refused("unknown_node", f"there is no node {name!r}")
        if node.removed is not None:
            raise _Refused("node_removed", f"node {name!r} has left the cluster: {node.cause}")
        return node

    # -- actors

    def _register_actor(self, p: dict[str, Any]) -> Result:
        actor, namespace, name = p["actor"], p["namespace"], p["name"]
        if len(actor) != ACTOR_ID_BYTES:
            raise _Refused("bad_payload", f"an actor's id has {ACTOR_ID_BYTES} bytes, not {len(actor)}")
        if p["max_restarts"] < -1:
            raise _Refused("bad_payload", f"max_restarts={p['max_restarts']}: -1 or more")
        if actor in self.actors:
            raise _Refused("actor_exists", f"actor {actor.hex()} has been registered already")
        if not self._has_detached(p["job"]):
            self._running_job(p["job"])
        if name and (namespace, name) in self.names:
            holder = self.names[namespace, name]
            text = f"an actor named {name!r} lives in namespace {namespace!r} already"
            raise _Refused("name_taken", text, actor=holder)
        self.actors[actor] = Actor(
            id=actor,
            job=p["job"],
            name=name,
            namespace=namespace,
            class_name=p["class_name"],
            detached=p["detached"],
            max_restarts=p["max_restarts"],
            spec=p["spec"],
            created=p["time"],
        )
        if name:
            self.names[namespace, name] = actor
        return {"incarnation": 0}

    def _actor_alive(self, p: dict[str, Any]) -> Result:
        actor = self._actor(p["actor"], ALIVE, p["incarnation"])
        self._member_node(p["node"])
        actor.state = ALIVE
        actor.node, actor.worker, actor.pid = p["node"], p["worker"], p["pid"]
        return {}

    def _actor_failed(self, p: dict[str, Any]) -> Result:
        actor = self._actor(p["actor"], DEAD, p["incarnation"])
        self._lose(actor, p["cause"], p["time"], p["restart"])
        return {"state": actor.state, "incarnation": actor.incarnation}

    def _kill_actor(self, p: dict[str, Any]) -> Result:
        actor = self._actor(p["actor"], DEAD, None)
        self._lose(actor, p["cause"], p["time"], not p["no_restart"])
        return {"state": actor.state, "incarnation": actor.incarnation}

    def _actor(self, identity: bytes, becomes: str, incarnation: int | None) -> Actor:
        """The actor, if it may become that, and if the word is of its present incarnation."""
        actor = self.actors.get(identity)
        if actor is None:
            raise _Refused("unknown_actor", f"there is no actor {identity.hex()}")
        if incarnation is not None and incarnation != actor.incarnation:
            text = (
                f"incarnation {incarnation} of actor {identity.hex()} is not its present {actor.incarnation}"
            )
            raise _Refused("stale_incarnation", text)
        if becomes not in TRANSITIONS[actor.state]:
            text = f"actor {identity.hex()} is {actor.state} and cannot become {becomes}: {actor.cause}"
            raise _Refused("illegal_transition", text)
        return actor

    def _lose(self, actor: Actor, cause: str, time: float, restart: bool) -> None:
        """The actor's incarnation is gone."""
        if not (restart and actor.may_restart):
            self._die(actor, cause, time)
            return
        actor.state, actor.cause = RESTARTING, cause
        actor.restarts += 1
        actor.incarnation += 1
        actor.node, actor.worker, actor.pid = "", 0, 0

    def _die(self, actor: Actor, cause: str, time: float) -> None:
        actor.state, actor.cause, actor.died = DEAD, cause, time
        actor.node, actor.worker, actor.pid = "", 0, 0
        actor.spec = b""
        if actor.name:
            del self.names[actor.namespace, actor.name]
        self._dead[actor.id] = None
        for old in _forget_oldest(self._dead, DEAD_ACTORS_KEPT):
            del self.actors[old]

    # -- key-value pairs

    def _kv_put(self, p: dict[str, Any]) -> Result:
        pairs = self.kv.setdefault(p["namespace"], {})
        added = p["key"] not in pairs
        if added or p["overwrite"]:
            pairs[p["key"]] = p["value"]
        return {"added": added}

    def _kv_delete(self, p: dict[str, Any]) -> Result:
        pairs = self.kv.get(p["namespace"], {})
        deleted = pairs.pop(p["key"], None) is not None
        if deleted and not pairs:
            del self.kv[p["namespace"]]
        return {"deleted": deleted}

    def _kv_get(self, p: dict[str, Any]) -> Result:
        return {"value": self.kv.get(p["namespace"], {}).get(p["key"])}

    def _kv_keys(self, p: dict[str, Any]) -> Result:
        return {"keys": sorted(key for key in self.kv.get(p["namespace"], {}) if key.startswith(p["prefix"]))}

    # -- snapshots

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values (bytes among them), sharing nothing with the state."""
        return {
            "jobs": [plain(job) for job in self.jobs.values()],
            "nodes": [plain(node) for node in self.nodes.values()],
            "actors": [plain(actor) for actor in self.actors.values()],
            "kv": {namespace: dict(pairs) for namespace, pairs in self.kv.items()},
            "results": deepcopy(self._results),
            "ended": list(self._ended),
            "removed": list(self._removed),
            "dead": list(self._dead),
        }

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> ClusterState:
        state = cls()
        state.jobs = {job["id"]: Job(**job) for job in facts["jobs"]}
        state.nodes = {node["name"]: Node(**deepcopy(node)) for node in facts["nodes"]}
        state.actors = {actor["id"]: Actor(**actor) for actor in facts["actors"]}
        living = [actor for actor in state.actors.values() if actor.name and actor.state != DEAD]
        state.names = {(actor.namespace, actor.name): actor.id for actor in living}
        state.kv = {namespace: dict(pairs) for namespace, pairs in facts["kv"].items()}
        state._results = deepcopy(facts["results"])
        state._ended = dict.fromkeys(facts["ended"])
        state._removed = dict.fromkeys(facts["removed"])
        state._dead = dict.fromkeys(facts["dead"])
        return state


def _check_fields(op: str, payload: Mapping[str, Any], fields: Mapping[str, tuple[type, ...]]) -> None:
    for name, types in fields.items():
        if name not in payload:
            raise _Refused("bad_payload", f"{op}: {name} is missing")
        if not isinstance(payload[name], types):
            text = f"{op}: {name} is {type(payload[name]).__name__}, not {types[0].__name__}"
            raise _Refused("bad_payload", text)
    for name in payload:
        if name not in fields and name != "operation":
            raise _Refused("bad_payload", f"{op} has no field {name!r}")


def _forget_oldest(remembered: dict[Any, Any], keep: int) -> list[Any]:
    """Forget the oldest entries beyond `keep`; return their keys."""
    forgotten = []
    while len(remembered) > keep:
        oldest = next(iter(remembered))
        del remembered[oldest]
        forgotten.append(oldest)
    return forgotten


_INT, _STR, _BYTES, _BOOL, _DICT = (int,), (str,), (bytes,), (bool,), (dict,)
_TIME = (float, int)

_OPERATIONS: dict[
    str, tuple[Callable[[ClusterState, dict[str, Any]], Result], dict[str, tuple[type, ...]]]
] = {
    "start_job": (
        ClusterState._start_job,
        {"job": _INT, "name": _STR, "namespace": _STR, "time": _TIME},
    ),
    "end_job": (ClusterState._end_job, {"job": _INT, "time": _TIME, "cause": _STR}),
    "add_node": (
        ClusterState._add_node,
        {"node": _STR, "address": _STR, "total": _DICT, "labels": _DICT, "time": _TIME},
    ),
    "remove_node": (ClusterState._remove_node, {"node": _STR, "time": _TIME, "cause": _STR}),
    "register_actor": (
        ClusterState._register_actor,
        {
            "actor": _BYTES,
            "job": _INT,
            "class_name": _STR,
            "spec": _BYTES,
            "time": _TIME,
            "name": _STR,
            "namespace": _STR,
            "detached": _BOOL,
            "max_restarts": _INT,
        },
    ),
    "actor_alive": (
        ClusterState._actor_alive,
        {"actor": _BYTES, "incarnation": _INT, "node": _STR, "worker": _INT, "pid": _INT},
    ),
    "actor_failed": (
        ClusterState._actor_failed,
        {"actor": _BYTES, "incarnation": _INT, "cause": _STR, "time": _TIME, "restart": _BOOL},
    ),
    "kill_actor": (
        ClusterState._kill_actor,
        {"actor": _BYTES, "cause": _STR, "time": _TIME, "no_restart": _BOOL},
    ),
    "kv_put": (
        ClusterState._kv_put,
        {"namespace": _STR, "key": _BYTES, "value": _BYTES, "overwrite": _BOOL},
    ),
    "kv_delete": (ClusterState._kv_delete, {"namespace": _STR, "key": _BYTES}),
    "kv_get": (ClusterState._kv_get, {"namespace": _STR, "key": _BYTES}),
    "kv_keys": (ClusterState._kv_keys, {"namespace": _STR, "prefix": _BYTES}),
}
