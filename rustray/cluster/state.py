"""The replicated facts of a cluster: who leads, nodes, jobs, actors and placement groups with their names,
key-value pairs.

Rule 1. Only `apply` changes anything, and what it does depends on nothing but the state and the command:
        every head that applies the same log has the same state.
Rule 2. A command is checked in full before anything is changed; a refused one changes nothing and returns
        {"error": code, "message": text}.
Rule 3. An actor moves only along `facts.TRANSITIONS`. Each restart is a new incarnation, and word from an
        older one is refused.
Rule 4. What is over (jobs, nodes, dead actors, removed groups, results of identified operations) is remembered
        in bounded number, the oldest forgotten first.
Rule 5. Numbers of nodes, jobs and terms of office (epochs) count up from 1 and are never given twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from rustray.cluster import actors, groups, key_values, nodes_jobs
from rustray.cluster.facts import DEAD, REMOVED, Actor, Job, Node, PlacementGroup, plain
from rustray.cluster.operation import Operation, Refused, Result, check_fields, forget_oldest

RESULTS_KEPT = 50_000
"""More than the heads commit in the seconds in which a node may find its way to another leader."""

_OPERATIONS: dict[str, Operation] = {
    **nodes_jobs.OPERATIONS,
    **actors.OPERATIONS,
    **groups.OPERATIONS,
    **key_values.OPERATIONS,
}


class ClusterState:
    """Read the facts from the attributes; change them by `apply`, with commands from `commands`."""

    def __init__(self) -> None:
        self.epoch = 0
        self.leader = ""
        self.leads_since = 0.0  # seconds since the Unix epoch
        self.last_node = 0
        self.last_job = 0
        self.jobs: dict[int, Job] = {}
        self.nodes: dict[str, Node] = {}
        self.actors: dict[bytes, Actor] = {}
        self.names: dict[tuple[str, str], bytes] = {}  # (namespace, name) of living actors
        self.groups: dict[bytes, PlacementGroup] = {}
        self.group_names: dict[tuple[str, str], bytes] = {}  # (namespace, name) of those not removed
        self.kv: dict[str, dict[bytes, bytes]] = {}
        # what is over, oldest first
        self.ended_jobs: dict[int, None] = {}
        self.removed_nodes: dict[str, None] = {}
        self.dead_actors: dict[bytes, None] = {}
        self.removed_groups: dict[bytes, None] = {}
        self.swept: list[bytes] = []  # groups that went with what the present command ended
        self._results: dict[str, Result] = {}

    def apply(self, op: str, payload: Mapping[str, Any]) -> Result:
        """Carry out one command; never raises. See `commands` for results and errors."""
        operation = payload.get("operation")
        if isinstance(operation, str) and operation in self._results:
            return deepcopy(self._results[operation])
        try:
            if operation is not None and not isinstance(operation, str):
                raise Refused("bad_payload", f"{op}: operation is {type(operation).__name__}, not str")
            if op not in _OPERATIONS:
                raise Refused("unknown_op", f"no operation is called {op!r}")
            apply, fields = _OPERATIONS[op]
            check_fields(op, payload, fields)
            result = apply(self, {name: payload[name] for name in fields})
        except Refused as refused:
            result = refused.result
        if self.swept:
            result["groups_removed"], self.swept = self.swept, []
        if isinstance(operation, str) and op not in key_values.READS:
            self._results[operation] = deepcopy(result)
            forget_oldest(self._results, RESULTS_KEPT)
        return result

    def actor_named(self, namespace: str, name: str) -> Actor | None:
        """The living actor of that name."""
        actor = self.names.get((namespace, name))
        return self.actors[actor] if actor is not None else None

    def group_named(self, namespace: str, name: str) -> PlacementGroup | None:
        """The placement group of that name, unless it is removed."""
        group = self.group_names.get((namespace, name))
        return self.groups[group] if group is not None else None

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values (bytes among them), sharing nothing with the state."""
        return {
            "epoch": self.epoch,
            "leader": self.leader,
            "leads_since": self.leads_since,
            "last_node": self.last_node,
            "last_job": self.last_job,
            "jobs": [plain(job) for job in self.jobs.values()],
            "nodes": [plain(node) for node in self.nodes.values()],
            "actors": [plain(actor) for actor in self.actors.values()],
            "groups": [plain(group) for group in self.groups.values()],
            "kv": {namespace: dict(pairs) for namespace, pairs in self.kv.items()},
            "results": deepcopy(self._results),
            "ended_jobs": list(self.ended_jobs),
            "removed_nodes": list(self.removed_nodes),
            "dead_actors": list(self.dead_actors),
            "removed_groups": list(self.removed_groups),
        }

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> ClusterState:
        state = cls()
        for name in ("epoch", "leader", "leads_since", "last_node", "last_job"):
            setattr(state, name, facts[name])
        state.jobs = {job["id"]: Job(**deepcopy(job)) for job in facts["jobs"]}
        state.nodes = {node["name"]: Node(**deepcopy(node)) for node in facts["nodes"]}
        state.actors = {actor["id"]: Actor(**actor) for actor in facts["actors"]}
        state.groups = {group["id"]: PlacementGroup(**deepcopy(group)) for group in facts["groups"]}
        living = [actor for actor in state.actors.values() if actor.name and actor.state != DEAD]
        state.names = {(actor.namespace, actor.name): actor.id for actor in living}
        named = [group for group in state.groups.values() if group.name and group.state != REMOVED]
        state.group_names = {(group.namespace, group.name): group.id for group in named}
        state.kv = {namespace: dict(pairs) for namespace, pairs in facts["kv"].items()}
        state._results = deepcopy(facts["results"])
        for name in ("ended_jobs", "removed_nodes", "dead_actors", "removed_groups"):
            setattr(state, name, dict.fromkeys(facts[name]))
        return state
