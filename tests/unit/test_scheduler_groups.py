"""The room of placement groups in the scheduler: found, given up, lost and found again."""

from __future__ import annotations

import pytest

from rustray.model.labels import parse_selector
from rustray.model.resources import Resources
from rustray.scheduler.constraints import Constraint
from rustray.scheduler.events import (
    ClassAdded,
    Demand,
    JobEnded,
    LeaseAdopted,
    NodeAdded,
    NodeRemoved,
    Recovered,
    Tick,
)
from tests.unit.groups_env import CPU, Env


def test_a_group_that_fits_has_its_room_at_once() -> None:
    env = Env(n1=4, n2=4).group("g", [1, 2])
    assert env.where("g") in (["n1", "n1"], ["n2", "n2"]) and env.free() == 5


@pytest.mark.parametrize(
    ("strategy", "nodes"), [("PACK", 1), ("STRICT_PACK", 1), ("SPREAD", 2), ("STRICT_SPREAD", 2)]
)
def test_strategies(strategy: str, nodes: int) -> None:
    env = Env(n1=4, n2=4).group("g", [1, 1], strategy)
    assert len(set(env.where("g") or ())) == nodes


def test_a_group_that_does_not_fit_takes_nothing_until_a_node_comes() -> None:
    env = Env(n1=2).group("g", [2, 2]).ticks()
    assert env.where("g") is None and env.free() == 2
    env.step(NodeAdded("n2", Resources.of(cpu=2)))
    assert sorted(env.where("g") or ()) == ["n1", "n2"] and env.free() == 0


@pytest.mark.parametrize(("strategy", "open_on", "nodes"), [("PACK", (1, 1), 1), ("SPREAD", (2, 0), 2)])
def test_idle_leases_are_asked_for_before_a_strategy_is_met_less_well(
    strategy: str, open_on: tuple[int, int], nodes: int
) -> None:
    env = Env(n1=2, n2=2)
    env.ask("f", 4)
    env.step(Demand(b"f", 1, 0))
    for name, count in zip(("n1", "n2"), open_on, strict=True):
        env.back(*[lease for lease, (_key, node) in env.at.items() if node == name][:count])
    env.group("g", [1, 1], strategy)
    assert env.where("g") is None and env.revoked
    env.back(*env.revoked)
    assert len(set(env.where("g") or ())) == nodes


def test_a_group_waits_for_the_room_of_one_that_is_removed() -> None:
    env = Env(n1=2, n2=2).group("first", [1, 1])
    env.ask("f", 2, "first")
    env.remove("first").group("g", [1, 1], "SPREAD")
    assert env.where("g") is None
    env.back(*env.evicted)
    assert len(set(env.where("g") or ())) == 2


def test_a_group_settles_for_less_when_what_seemed_idle_does_not_come_back() -> None:
    env = Env(n1=2, n2=2)
    env.ask("f", 4)
    env.step(Demand(b"f", 1, 1))
    env.back(*[lease for lease, (_key, node) in env.at.items() if node == "n1"])
    env.group("g", [1, 1], "SPREAD")
    assert env.where("g") is None and len(env.revoked) == 1
    wake = env.scheduler.next_wake()
    assert wake is not None and 0.0 < wake <= 0.25
    env.now = wake
    assert env.step(Tick()).where("g") == ["n1", "n1"]
    assert env.scheduler.next_wake() is None


def test_a_group_does_not_wait_for_leases_in_use() -> None:
    env = Env(n1=2, n2=2)
    env.ask("f", 4)
    env.step(Demand(b"f", 1, 2))
    env.back(*[lease for lease, (_key, node) in env.at.items() if node == "n1"])
    assert env.group("g", [1, 1], "SPREAD").where("g") == ["n1", "n1"]


def test_what_never_fits_says_why() -> None:
    env = Env(n1=2, n2=2)
    env.group("apart", [1, 1, 1], "STRICT_SPREAD").group("together", [2, 2], "STRICT_PACK").group("big", [3])
    env.group("all", [2, 2, 1]).group("zone", [1], selectors=(tuple(parse_selector({"zone": "a"})),))
    reasons = [
        env.scheduler.status.group_waits_for(g) for g in (b"apart", b"together", b"big", b"all", b"zone")
    ]
    assert reasons == [
        "it needs 3 nodes that each have room for a bundle",
        "no node has room for all of its bundles",
        "no node has 3 CPU for bundle 0",
        "all nodes together have no room for its bundles, even if they were empty",
        "no node has label zone=a",
    ]
    env.step(NodeAdded("n3", Resources.of(cpu=2), {"zone": "a"}))
    assert env.where("zone") == ["n3"] and env.scheduler.status.group_waits_for(b"zone") == ""


def test_a_group_waits_for_actors_and_other_groups_to_end() -> None:
    env = Env(n1=2)
    env.ask("actor", 1, pinned=True)
    env.group("g", [2]).ticks()
    assert env.where("g") is None
    env.step(Demand(b"actor", 1, 0))
    env.back(*env.at)
    assert env.ticks(1).where("g") == ["n1"]


def test_a_big_group_gets_room_under_a_load_of_small_tasks() -> None:
    env = Env(n1=4, n2=4)
    env.ask("batch", 100, job=2)
    env.group("g", [4, 2]).ticks()
    assert sorted(env.where("g") or ()) == ["n1", "n2"]
    assert env.nodes("batch").total() == 2


def test_a_big_group_is_not_starved_by_small_ones() -> None:
    env = Env(n1=2, n2=2)
    env.group("s1", [1]).group("s2", [1]).group("s3", [1]).group("s4", [1])
    env.group("big", [2, 2])
    for n in range(1, 5):  # as each ends there is another one
        env.remove(f"s{n}").group(f"t{n}", [1]).ticks(3)
    for n in range(1, 5):
        env.remove(f"t{n}").ticks(3)
    assert env.where("big") is not None


def test_two_groups_that_gather_do_not_lock_each_other_out() -> None:
    env = Env(n1=2, n2=2)
    env.ask("batch", 100, job=2)
    env.group("g", [2, 2]).group("h", [2, 2]).ticks()
    first = "g" if env.where("g") else "h"
    assert env.where(first) is not None
    env.remove(first).ticks()
    assert env.where("h" if first == "g" else "g") is not None


def test_bundles_go_to_nodes_with_the_labels_they_ask_for() -> None:
    env = Env(n1=8).step(NodeAdded("a1", CPU, {"zone": "a"}))
    zone_a = tuple(parse_selector({"zone": "a"}))
    assert env.group("g", [1, 1], selectors=(zone_a, ())).where("g") == ["a1", "n1"]


# -- what runs in a group


def test_removal_kills_what_runs_in_it_and_then_gives_the_room_back() -> None:
    env = Env(n1=2).group("g", [2])
    env.ask("f", 2, "g")
    inside = list(env.at)
    env.remove("g")
    assert env.evicted == inside and env.free() == 0
    env.back(inside[0])
    assert env.free() == 0, "the other task still runs there"
    env.back(inside[1])
    assert env.free() == 2
    assert env.infeasible["f"] == f"placement group {b'g'.hex()} has been removed"


def test_what_waits_for_a_removed_group_runs_nowhere() -> None:
    env = Env(n1=1).group("g", [2])
    env.ask("f", 1, "g")
    env.remove("g")
    assert "has been removed" in env.infeasible["f"]
    env.ask("late", 1, "g")
    assert "has been removed" in env.infeasible["late"]


def test_a_job_that_ends_gives_its_groups_up() -> None:
    env = Env(n1=4).group("g", [2]).group("kept", [1], job=0)
    env.ask("f", 2, "g")
    env.ask("guest", 1, "kept", job=1)
    env.step(JobEnded(1))
    assert env.free() == 3


def test_a_removed_group_stops_gathering() -> None:
    env = Env(n1=2, n2=2)
    env.ask("batch", 4, job=2)
    env.group("g", [2, 2]).ticks(2).remove("g").ticks()
    assert env.ask("batch", 4, job=2).total() == 4


# -- what is told of it


def test_a_node_knows_the_leases_in_bundles_and_not_the_bundles() -> None:
    env = Env(n1=4).group("g", [1])
    env.ask("f", 1, "g")
    env.ask("other", 1)
    assert env.scheduler.status.leases_on("n1") == [lease for lease, _at in sorted(env.at.items())][::-1]


def test_what_waits_for_a_group_is_told_what_the_group_waits_for() -> None:
    env = Env(n1=1).group("g", [2])
    env.ask("f", 1, "g")
    told = env.scheduler.status.explain(b"f", 1)
    assert told["state"] == "waiting"
    assert told["reason"] == "its placement group has no room: no node has 2 CPU for bundle 0"
    env.remove("g")
    assert "has been removed" in env.scheduler.status.explain(b"f", 1)["reason"]


# -- nodes that are lost


def test_the_lost_bundles_are_placed_anew_and_the_others_go_on() -> None:
    env = Env(n1=2, n2=2).group("g", [1, 1], "STRICT_SPREAD")
    env.ask("f", 2, "g")
    first, second = env.where("g") or ["", ""]
    env.gone(second)
    assert env.rescheduled == [(b"g", [1])] and env.where("g") is None
    assert env.nodes("f") == {first: 1}, "what is on the other node goes on"
    env.step(NodeAdded("n3", Resources.of(cpu=2)))
    assert env.where("g") == [first, "n3"] and env.nodes("f") == {first: 1, "n3": 1}


def test_a_node_lost_while_a_group_gathers() -> None:
    env = Env(n1=2, n2=2, n3=2)
    env.ask("batch", 6, job=2)
    env.group("g", [2, 2])
    env.now += 0.2
    env.step(Tick())
    env.gone("n1").ticks()
    assert sorted(env.where("g") or ()) == ["n2", "n3"] and not env.rescheduled


# -- a new leader


def test_a_new_leader_finds_groups_where_they_were() -> None:
    env = Env(recovering=True)
    env.group("g", [1, 1], "STRICT_SPREAD", nodes=("n1", "n2"))
    env.step(ClassAdded(b"f", 1, "f", CPU, constraint=Constraint(group=b"g")))
    env.step(NodeAdded("n1", Resources.of(cpu=2)))
    env.step(LeaseAdopted(9, b"f", 1, "n1"))
    env.step(NodeAdded("n2", Resources.of(cpu=2)))
    env.at[9] = b"f", "n1"
    env.step(Demand(b"f", 1, 2)).step(Recovered())
    assert env.nodes("f") == {"n1": 1, "n2": 1} and not env.placed, "nothing to be said anew"
    assert env.free() == 2


def test_a_new_leader_places_anew_what_was_on_a_node_that_does_not_come_back() -> None:
    env = Env(recovering=True)
    env.group("g", [1, 1], nodes=("n1", "n2"))
    env.placed[b"g"] = ["n1", "n2"]
    env.step(NodeAdded("n1", Resources.of(cpu=2))).step(Recovered())
    assert not env.rescheduled
    env.step(NodeRemoved("n2"))
    assert env.rescheduled == [(b"g", [1])] and env.where("g") == ["n1", "n1"]


def test_a_new_leader_places_what_had_no_room() -> None:
    env = Env(recovering=True).group("g", [1, 1], nodes=("n1", ""))
    env.step(NodeAdded("n1", Resources.of(cpu=2)))
    assert not env.placed
    assert env.step(Recovered()).where("g") == ["n1", "n1"]


# -- chance
