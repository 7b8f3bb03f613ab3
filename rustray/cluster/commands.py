"""The commands that change the cluster's facts, one constructor each.

A command is plain data: an operation's name and a payload of plain values. Whoever makes one takes the time
(seconds since the epoch) with it, for the state that applies it has no clock.

Each says what it returns (-> ...). Placement groups that went with what a command ended are told besides, as
"groups_removed": [group, ...].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Command(NamedTuple):
    op: str
    payload: dict[str, Any]

    def once(self, operation: str) -> Command:
        """The command with an id: applied again under the same id it returns the first result."""
        return Command(self.op, {**self.payload, "operation": operation})


def take_office(head: str, time: float) -> Command:
    """A head has become the leader. -> {"epoch": the number of its term}."""
    return Command("take_office", {"head": head, "time": time})


def start_job(
    client: int,
    name: str,
    namespace: str,
    place: bytes,
    time: float,
    options: Mapping[str, Any] | None = None,
) -> Command:
    """A driver has come. Give it an operation id (`once`): each new one is another job.

    Parameters: namespace: "" for one of its own, "job-N". place: what workers of the job need to know of the
    driver; kept while the job is active. options: plain values, what `init` was told.

    -> {"job": its number, "namespace": the one it has}.
    """
    return Command(
        "start_job",
        {
            "client": client,
            "name": name,
            "namespace": namespace,
            "place": place,
            "options": dict(options or {}),
            "time": time,
        },
    )


def end_job(job: int, time: float, cause: str = "") -> Command:
    """End a job and kill its actors, those that are detached excepted.

    -> {"killed": [actor, ...]}. Errors: unknown_job, job_ended.
    """
    return Command("end_job", {"job": job, "time": time, "cause": cause})


def add_node(
    node: str,
    address: str,
    total: Mapping[str, int],
    labels: Mapping[str, str],
    time: float,
    number: int = 0,
) -> Command:
    """A node joins; `total` is in resource units.

    Parameters: number: 0 for a node that is new; with the number that it was given, one that belongs to the
    cluster is told anew.

    -> {"number": n}. Errors: node_exists (number 0), node_removed (it does not belong to the cluster any more).
    """
    return Command(
        "add_node",
        {
            "node": node,
            "address": address,
            "total": dict(total),
            "labels": dict(labels),
            "time": time,
            "number": number,
        },
    )


NODE_LEFT = "it has left the cluster"
"""The cause of a node that was told to end, and has said so."""


def remove_node(node: str, time: float, cause: str = "") -> Command:
    """A node left or died; its actors restart or die with it, and bundles on it are to be placed anew.

    -> {"restarting": [actor, ...], "dead": [actor, ...], "rescheduling": [group, ...]}.
    Errors: unknown_node, node_removed.
    """
    return Command("remove_node", {"node": node, "time": time, "cause": cause})


def register_actor(
    actor: bytes,
    job: int,
    class_name: str,
    spec: bytes,
    time: float,
    *,
    name: str = "",
    namespace: str = "",
    detached: bool = False,
    max_restarts: int = 0,
    complete: bool = True,
) -> Command:
    """A new actor, PENDING.

    Parameters: actor: 16 bytes. spec: opaque, kept to start it again until it is dead. name: unique among
    the living of its namespace, "" for none. max_restarts: -1 for any number. complete: False if its
    constructor's arguments are not known yet: `actor_arguments` follows.

    -> {"incarnation": 0}. Errors: actor_exists, unknown_job, job_ended, bad_payload, and name_taken, which
    tells the ``actor`` that has the name.
    """
    return Command(
        "register_actor",
        {
            "actor": actor,
            "job": job,
            "class_name": class_name,
            "spec": spec,
            "time": time,
            "name": name,
            "namespace": namespace,
            "detached": detached,
            "max_restarts": max_restarts,
            "complete": complete,
        },
    )


def actor_arguments(actor: bytes, arguments: bytes) -> Command:
    """The arguments of its constructor, opaque; the first that are told stay. -> {}.

    Errors: unknown_actor, illegal_transition (it is dead).
    """
    return Command("actor_arguments", {"actor": actor, "arguments": arguments})


def actor_alive(actor: bytes, incarnation: int, node: str, worker: int, pid: int) -> Command:
    """The actor's constructor has returned on a worker of a node.

    -> {}. Errors: unknown_actor, illegal_transition, stale_incarnation, unknown_node, node_removed.
    """
    return Command(
        "actor_alive",
        {
            "actor": actor,
            "incarnation": incarnation,
            "node": node,
            "worker": worker,
            "pid": pid,
        },
    )


def actor_failed(actor: bytes, incarnation: int, cause: str, time: float, restart: bool = True) -> Command:
    """This incarnation of the actor is gone; it restarts if it may.

    Parameters: restart: False where another try cannot help: its constructor raised, or it left by itself.

    -> {"state": "RESTARTING" or "DEAD", "incarnation": the next or last one}.
    Errors: unknown_actor, illegal_transition, stale_incarnation.
    """
    return Command(
        "actor_failed",
        {"actor": actor, "incarnation": incarnation, "cause": cause, "time": time, "restart": restart},
    )


def kill_actor(actor: bytes, cause: str, time: float, no_restart: bool = True) -> Command:
    """Kill whatever incarnation there is. -> as actor_failed. Errors: unknown_actor, illegal_transition."""
    return Command("kill_actor", {"actor": actor, "cause": cause, "time": time, "no_restart": no_restart})


def create_group(
    group: bytes,
    job: int,
    bundles: Sequence[Mapping[str, int]],
    strategy: str,
    time: float,
    *,
    selectors: Sequence[Mapping[str, str]] = (),
    actor: bytes = b"",
    name: str = "",
    namespace: str = "",
    detached: bool = False,
) -> Command:
    """A new placement group, PENDING.

    Parameters: group: 16 bytes. bundles: in resource units, at least one. strategy: of `facts.STRATEGIES`.
    selectors: label selectors of the bundles, one each or none at all. actor: who made it, b"" if not an actor;
    with its maker it ends, unless detached. name: unique in its namespace, "" for none.

    -> {}. Errors: group_exists, unknown_job, job_ended, bad_payload, and name_taken, which tells the ``group``
    that has the name.
    """
    return Command(
        "create_group",
        {
            "group": group,
            "job": job,
            "actor": actor,
            "bundles": [dict(bundle) for bundle in bundles],
            "selectors": [dict(selector) for selector in selectors],
            "strategy": strategy,
            "name": name,
            "namespace": namespace,
            "detached": detached,
            "time": time,
        },
    )


def group_placed(group: bytes, nodes: Sequence[str]) -> Command:
    """All bundles have room, for the first time or anew: CREATED. `nodes`: where each bundle lies.

    -> {}. Errors: unknown_group, illegal_transition, bad_payload, unknown_node, node_removed.
    """
    return Command("group_placed", {"group": group, "nodes": list(nodes)})


def remove_group(group: bytes, cause: str, time: float) -> Command:
    """-> {"removed": whether it was there}. Errors: unknown_group."""
    return Command("remove_group", {"group": group, "cause": cause, "time": time})


def kv_put(namespace: str, key: bytes, value: bytes, overwrite: bool = True) -> Command:
    """-> {"added": whether the key is new}. Not overwriting keeps an old value and is no error."""
    return Command("kv_put", {"namespace": namespace, "key": key, "value": value, "overwrite": overwrite})


def kv_delete(namespace: str, key: bytes) -> Command:
    """-> {"deleted": whether there was one}."""
    return Command("kv_delete", {"namespace": namespace, "key": key})


def kv_get(namespace: str, key: bytes) -> Command:
    """-> {"value": bytes or None}. Read through the log, so it sees every write acknowledged before."""
    return Command("kv_get", {"namespace": namespace, "key": key})


def kv_exists(namespace: str, key: bytes) -> Command:
    """-> {"exists": whether there is one}. Read through the log, as `kv_get`."""
    return Command("kv_exists", {"namespace": namespace, "key": key})


def kv_keys(namespace: str, prefix: bytes = b"") -> Command:
    """-> {"keys": sorted list}. Read through the log, so it sees every write acknowledged before."""
    return Command("kv_keys", {"namespace": namespace, "prefix": prefix})
