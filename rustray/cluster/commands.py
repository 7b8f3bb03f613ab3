"""The commands that change the cluster's facts, one constructor each.

A command is plain data: an operation's name and a payload of plain values. Whoever makes one takes the time
(seconds since the epoch) with it, for the state that applies it has no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Command(NamedTuple):
    op: str
    payload: dict[str, Any]

    def once(self, operation: str) -> Command:
        """The command with an id: applied again under the same id it returns the first result."""
        return Command(self.op, {**self.payload, "operation": operation})


def start_job(job: int, name: str, namespace: str, time: float) -> Command:
    """-> {}. Errors: job_exists."""
    return Command("start_job", {"job": job, "name": name, "namespace": namespace, "time": time})


def end_job(job: int, time: float, cause: str = "") -> Command:
    """End a job and kill its actors, those that are detached excepted.

    -> {"killed": [actor, ...]}. Errors: unknown_job, job_ended.
    """
    return Command("end_job", {"job": job, "time": time, "cause": cause})


def add_node(
    node: str, address: str, total: Mapping[str, int], labels: Mapping[str, str], time: float
) -> Command:
    """A node joined; `total` is in resource units. -> {}. Errors: node_exists."""
    return Command(
        "add_node",
        {"node": node, "address": address, "total": dict(total), "labels": dict(labels), "time": time},
    )


def remove_node(node: str, time: float, cause: str = "") -> Command:
    """A node left or died; its actors restart or die with it.

    -> {"restarting": [actor, ...], "dead": [actor, ...]}. Errors: unknown_node, node_removed.
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
) -> Command:
    """A new actor, PENDING.

    Parameters: actor: 16 bytes. spec: opaque, kept to start it again until it is dead. name: unique among
    the living of its namespace, "" for none. max_restarts: -1 for any number.

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
        },
    )


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


def kv_put(namespace: str, key: bytes, value: bytes, overwrite: bool = True) -> Command:
    """-> {"added": whether the key is new}. Not overwriting keeps an old value and is no error."""
    return Command("kv_put", {"namespace": namespace, "key": key, "value": value, "overwrite": overwrite})


def kv_delete(namespace: str, key: bytes) -> Command:
    """-> {"deleted": whether there was one}."""
    return Command("kv_delete", {"namespace": namespace, "key": key})


def kv_get(namespace: str, key: bytes) -> Command:
    """-> {"value": bytes or None}. Read through the log, so it sees every write acknowledged before."""
    return Command("kv_get", {"namespace": namespace, "key": key})


def kv_keys(namespace: str, prefix: bytes = b"") -> Command:
    """-> {"keys": sorted list}. Read through the log, so it sees every write acknowledged before."""
    return Command("kv_keys", {"namespace": namespace, "prefix": prefix})
