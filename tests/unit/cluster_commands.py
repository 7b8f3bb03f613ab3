"""Replicated facts to begin with, and commands to change them."""

from __future__ import annotations

from typing import Any

from rustray.cluster import commands
from rustray.cluster.commands import Command
from rustray.cluster.state import ClusterState

DRIVER = 1 << 28 | 1
A, B, C = (bytes([n]) * 16 for n in (1, 2, 3))


def cluster(*more: Command) -> ClusterState:
    """A cluster with job 1 and node n1, and what `more` makes of it."""
    facts = ClusterState()
    for command in (
        commands.start_job(DRIVER, "job", "ns", b"place", 1.0),
        commands.add_node("n1", "10.0.0.1:1", {"CPU": 10_000}, {"zone": "a"}, 1.0),
        *more,
    ):
        result = facts.apply(*command)
        assert "error" not in result, result
    return facts


def start(**more: Any) -> Command:
    return commands.start_job(DRIVER, "job", more.pop("namespace", "ns"), b"place", 1.0, **more)


def register(actor: bytes = A, **more: Any) -> Command:
    return commands.register_actor(
        actor, more.pop("job", 1), "Counter", b"spec", more.pop("time", 2.0), **more
    )


def alive(actor: bytes = A, incarnation: int = 0, node: str = "n1") -> Command:
    return commands.actor_alive(actor, incarnation, node, worker=7, pid=77)


def failed(actor: bytes = A, incarnation: int = 0, restart: bool = True) -> Command:
    return commands.actor_failed(actor, incarnation, "segfault", 3.0, restart)


def error(facts: ClusterState, command: Command) -> str:
    before = facts.to_dict()
    result = facts.apply(*command)
    assert result["message"] and facts.to_dict() == before, "a refused command changed something"
    return str(result["error"])
