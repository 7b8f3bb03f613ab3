"""Placement groups among the replicated facts."""

from __future__ import annotations

from typing import Any

import pytest

from rustray.cluster import commands
from rustray.cluster.commands import Command
from rustray.cluster.facts import CREATED, PENDING, REMOVED, RESCHEDULING
from rustray.cluster.state import ClusterState

A, G, H = (bytes([n]) * 16 for n in (1, 2, 3))
TWO_CPUS = [{"CPU": 10_000}, {"CPU": 10_000}]


def cluster(*more: Command) -> ClusterState:
    """A cluster with job 1 and nodes n1 and n2, and what `more` makes of it."""
    facts = ClusterState()
    for command in (
        commands.start_job(1 << 28 | 1, "job", "ns", b"", 1.0),
        commands.add_node("n1", "", {"CPU": 10_000}, {}, 1.0),
        commands.add_node("n2", "", {"CPU": 10_000}, {}, 1.0),
        *more,
    ):
        result = facts.apply(*command)
        assert "error" not in result, result
    return facts


def create(group: bytes = G, **more: Any) -> Command:
    return commands.create_group(
        group, 1, more.pop("bundles", TWO_CPUS), more.pop("strategy", "PACK"), 2.0, **more
    )


def register(**more: Any) -> Command:
    return commands.register_actor(A, 1, "Maker", b"", 2.0, **more)


def error(facts: ClusterState, command: Command) -> str:
    before = facts.to_dict()
    result = facts.apply(*command)
    assert result["message"] and facts.to_dict() == before, "a refused command changed something"
    return str(result["error"])


def test_a_group_is_made_placed_and_removed() -> None:
    facts = cluster(create(name="g", namespace="ns"))
    group = facts.groups[G]
    assert (group.state, group.nodes) == (PENDING, ["", ""]) and facts.group_named("ns", "g") is group
    placed = commands.group_placed(G, ["n1", "n2"])
    assert facts.apply(*placed) == facts.apply(*placed) == {}
    assert (group.state, group.nodes) == (CREATED, ["n1", "n2"])
    facts.apply(*commands.group_placed(G, ["n2", "n1"]))
    assert (group.state, group.nodes) == (CREATED, ["n2", "n1"])
    remove = commands.remove_group(G, "asked for", 3.0)
    assert facts.apply(*remove) == {"removed": True}
    assert (group.state, group.nodes, group.removed) == (REMOVED, ["", ""], 3.0)
    assert facts.apply(*remove) == {"removed": False} and facts.group_named("ns", "g") is None
    assert error(facts, placed) == "illegal_transition"


def test_a_lost_node_takes_its_bundles_and_the_rest_stay() -> None:
    facts = cluster(create(), commands.group_placed(G, ["n1", "n2"]), create(H))
    assert facts.apply(*commands.remove_node("n2", 3.0, "silent"))["rescheduling"] == [G]
    assert (facts.groups[G].state, facts.groups[G].nodes) == (RESCHEDULING, ["n1", ""])
    assert facts.groups[H].state == PENDING
    assert error(facts, commands.group_placed(G, ["n1", "n2"])) == "node_removed"
    facts.apply(*commands.group_placed(G, ["n1", "n1"]))
    assert facts.groups[G].state == CREATED and facts.groups[G].cause == ""


def test_a_group_ends_with_the_job_that_made_it_unless_detached() -> None:
    facts = cluster(create(), create(H, detached=True))
    assert facts.apply(*commands.end_job(1, 3.0)) == {"killed": [], "groups_removed": [G]}
    assert (facts.groups[G].state, facts.groups[H].state) == (REMOVED, PENDING)


def test_a_group_ends_with_the_actor_that_made_it() -> None:
    facts = cluster(register(detached=True, max_restarts=1), create(actor=A), create(H))
    assert facts.apply(*commands.end_job(1, 3.0))["groups_removed"] == [H]
    failed = [commands.actor_failed(A, n, "segfault", 4.0) for n in (0, 1)]
    assert "groups_removed" not in facts.apply(*failed[0])
    once = failed[1].once("op-1")
    assert facts.apply(*once)["groups_removed"] == facts.apply(*once)["groups_removed"] == [G]


def test_a_name_is_unique_in_its_namespace() -> None:
    facts = cluster(create(name="g", namespace="ns"))
    again = create(H, name="g", namespace="ns")
    assert facts.apply(*again)["group"] == G and error(facts, again) == "name_taken"
    facts.apply(*commands.remove_group(G, "", 3.0))
    assert facts.apply(*again) == {}


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (create(b"short"), "bad_payload"),
        (create(bundles=[]), "bad_payload"),
        (create(strategy="STRICT"), "bad_payload"),
        (create(selectors=[{"zone": "a"}]), "bad_payload"),
        (commands.create_group(G, 9, TWO_CPUS, "PACK", 1.0), "unknown_job"),
        (commands.remove_group(G, "", 1.0), "unknown_group"),
        (commands.group_placed(H, ["n1"]), "bad_payload"),
        (commands.group_placed(H, ["n1", "n9"]), "unknown_node"),
    ],
)
def test_what_is_refused(command: Command, code: str) -> None:
    assert error(cluster(create(H)), command) == code
