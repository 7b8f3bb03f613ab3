"""Placement groups at the head: questions of clients, facts, and what nodes are told."""

from __future__ import annotations

from typing import Any

import pytest

from rustray.cluster import facts
from rustray.driver import failures
from rustray.errors import OptionError, PlacementGroupNotFoundError, SessionError
from rustray.head.log import LocalLog
from rustray.head.reactor import Head
from rustray.model import ids

DRIVER = ids.node_client(1) + 1
G, H = b"g" * 16, b"h" * 16


class Bench:
    """A head with nodes of two CPUs; `said` has what it told each."""

    def __init__(self, *nodes: str, log: LocalLog | None = None) -> None:
        self.log = log or LocalLog()
        self.now = 100.0
        self.head = Head(lambda: self.now, lambda: self.now, self.log)
        self.said: dict[str, list[tuple[Any, ...]]] = {}
        for name in nodes:
            self.node(name)

    def node(self, name: str, **report: Any) -> None:
        self.said[name] = []
        self.head.members.on_node_up(name, {"CPU": 2.0}, {}, {}, self.said[name].append, report=report or None)

    def say(self, *message: Any, node: str = "n1") -> None:
        self.head.from_node(node, message)
        self.head.scheduling.scheduler.sanity_check()

    def driver(self) -> None:
        self.say("job_start", DRIVER, {"namespace": "ns", "env": {}})

    def query(self, what: str, *args: Any) -> Any:
        """The answer to a client's question; raises what it raises."""
        self.said["n1"].clear()
        self.say("query", DRIVER, 7, what, args)
        (answer,) = [message for message in self.said["n1"] if message[0] == "answer"]
        ok, value = answer[3:]
        if not ok:
            raise failures.unpack(value)
        return value

    def create(self, group: bytes = G, *cpus: float, **more: Any) -> facts.PlacementGroup:
        spec = {
            "bundles": [{"CPU": amount} for amount in cpus or (1.0,)],
            "selectors": [],
            "strategy": "PACK",
            "name": "",
            "namespace": "ns",
            "detached": False,
            "actor": b"",
            **more,
        }
        self.query("group_create", group, 1, spec)
        return self.head.state.groups[group]

    def run_in(self, group: bytes, key: bytes = b"f") -> int:
        """The number of a lease of a class that runs in the group."""
        spec = {"name": "f", "resources": {"CPU": 1.0}, "constraint": {"group": group}}
        self.say("class", key, 1, spec)
        self.said["n1"].clear()
        self.say("demand", key, DRIVER, 1)
        ((_op, lease, _key, _client),) = [message for message in self.said["n1"] if message[0] == "grant"]
        return int(lease)

    def ops(self, node: str = "n1") -> list[str]:
        return [message[0] for message in self.said[node]]


@pytest.fixture
def bench() -> Bench:
    bench = Bench("n1")
    bench.driver()
    return bench


def test_a_group_with_room_becomes_a_fact_at_once(bench: Bench) -> None:
    group = bench.create(G, 1.0, 0.5, name="mine")
    assert (group.state, group.nodes, group.bundles) == (
        "CREATED",
        ["n1", "n1"],
        [{"CPU": 10_000}, {"CPU": 5_000}],
    )
    assert bench.query("group_named", "mine", "ns") == (G, [{"CPU": 1.0}, {"CPU": 0.5}])
    (row,) = bench.query("group_table", None)
    assert (row["id"], row["state"], row["bundles"][1], row["reason"]) == (G, "CREATED", {"CPU": 0.5}, "")
    assert bench.head.status.available()["CPU"] == 0.5


def test_a_group_without_room_says_what_it_waits_for(bench: Bench) -> None:
    assert bench.create(G, 3.0).state == "PENDING"
    assert bench.query("group_table", G)[0]["reason"] == "no node has 3 CPU for bundle 0"
    bench.head.members.on_node_up("big", {"CPU": 3.0}, {}, {}, lambda _message: None)
    assert bench.head.state.groups[G].nodes == ["big"]


def test_what_is_refused(bench: Bench) -> None:
    bench.create(G, name="mine")
    with pytest.raises(OptionError, match="'mine' is taken"):
        bench.create(H, name="mine")
    with pytest.raises(PlacementGroupNotFoundError, match="'other'"):
        bench.query("group_named", "other", "ns")
    bench.say("job_end", 1)
    with pytest.raises(SessionError, match="has ended"):
        bench.create(H)


def test_removal_kills_what_runs_in_it(bench: Bench) -> None:
    bench.create()
    lease = bench.run_in(G)
    bench.query("group_remove", G)
    assert ("evict", lease, "its placement group was removed") in bench.said["n1"]
    assert bench.head.state.groups[G].state == "REMOVED" and bench.head.status.available()["CPU"] == 1
    bench.said["n1"].clear()
    bench.say("returned", lease)
    assert bench.head.status.available()["CPU"] == 2
    assert bench.ops() == ["infeasible"] and "has been removed" in bench.said["n1"][0][3]
    bench.query("group_remove", G)


def test_a_group_ends_with_its_job_unless_detached(bench: Bench) -> None:
    bench.create(G)
    bench.create(H, detached=True)
    bench.say("job_end", 1)
    assert [bench.head.state.groups[g].state for g in (G, H)] == ["REMOVED", "CREATED"]
    assert bench.head.status.available()["CPU"] == 1


def test_a_lost_nodes_bundles_are_placed_anew() -> None:
    bench = Bench("n1", "n2")
    bench.driver()
    bench.create(G, 1.0, 1.0, strategy="STRICT_SPREAD")
    bench.head.members.on_node_lost("n2", "silent")
    assert bench.head.state.groups[G].state == "RESCHEDULING"
    bench.node("n3")
    group = bench.head.state.groups[G]
    assert group.state == "CREATED" and sorted(group.nodes) == ["n1", "n3"]


def test_a_node_that_was_cut_off_finds_the_bundles_as_they_were(bench: Bench) -> None:
    bench.create()
    lease = bench.run_in(G)
    row = (lease, b"f", DRIVER, False, False)
    bench.node("n1", number=1, clients=[(DRIVER, 1)], jobs=[1], leases=[row], demands=[(b"f", DRIVER, 1)])
    bench.head.scheduling.scheduler.sanity_check()
    assert bench.head.status.leases_on("n1") == [lease] and bench.head.status.available()["CPU"] == 1


def test_a_new_leader_knows_the_groups(bench: Bench) -> None:
    bench.create(G)
    bench.create(H)
    bench.query("group_remove", H)
    lease = bench.run_in(G)
    spec = {"name": "f", "resources": {"CPU": 1.0}, "constraint": {"group": G}}
    successor = Bench(log=bench.log)
    successor.node(
        "n1",
        clients=[(DRIVER, 1)],
        jobs=[1],
        classes=[(b"f", 1, spec, True)],
        leases=[(lease, b"f", DRIVER, False, False)],
        demands=[(b"f", DRIVER, 1)],
    )
    successor.head.scheduling.scheduler.sanity_check()
    assert successor.head.status.leases_on("n1") == [lease]
    assert successor.head.status.available()["CPU"] == 1
    assert [row["state"] for row in successor.query("group_table", None)] == ["CREATED", "REMOVED"]
    successor.query("group_remove", G)
    assert ("evict", lease, "its placement group was removed") in successor.said["n1"]
