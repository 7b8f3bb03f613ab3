"""Placement groups in the scheduler, and a random history of them under load."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from rustray.model.labels import parse_selector
from rustray.model.resources import Resources
from rustray.scheduler.actions import Evict, Grant, GroupPlaced, GroupRescheduling, Infeasible, Revoke
from rustray.scheduler.constraints import ANYWHERE, Constraint
from rustray.scheduler.core import Scheduler
from rustray.scheduler.events import (
    ClassAdded,
    ClientGone,
    Demand,
    JobEnded,
    LeaseAdopted,
    LeaseBlocked,
    LeaseReturned,
    LeaseUnblocked,
    NodeAdded,
    NodeRemoved,
    PlacementGroupAdded,
    PlacementGroupRemoved,
    Recovered,
    Tick,
)

CPU = Resources.of(cpu=1)
SOON = 40  # ticks in which what is owed is given


class Env:
    """A cluster that does what the scheduler says; `lazy` clients keep leases that they are asked for."""

    def __init__(self, recovering: bool = False, **nodes: float) -> None:
        self.scheduler = Scheduler(recovering=recovering)
        self.now = 0.0
        self.at: dict[int, tuple[bytes, str]] = {}
        self.placed: dict[bytes, list[str]] = {}
        self.infeasible: dict[str, str] = {}
        self.evicted: list[int] = []
        self.rescheduled: list[tuple[bytes, list[int]]] = []
        self.revoked: list[int] = []
        for name, cpus in nodes.items():
            self.step(NodeAdded(name, Resources.of(cpu=cpus)))

    def step(self, event: Any) -> Env:
        for action in self.scheduler.step(event, self.now):
            if isinstance(action, Grant):
                assert action.lease not in self.at
                self.at[action.lease] = action.key, action.node
            elif isinstance(action, GroupPlaced):
                self.placed[action.group] = action.nodes
            elif isinstance(action, GroupRescheduling):
                del self.placed[action.group]
                self.rescheduled.append((action.group, action.lost))
            elif isinstance(action, Infeasible):
                self.infeasible[action.key.decode()] = action.reason
            elif isinstance(action, Evict):
                assert self.at[action.lease][1] == action.node
                self.evicted.append(action.lease)
            elif isinstance(action, Revoke):
                self.revoked.append(action.lease)
        self.scheduler.sanity_check()
        return self

    def group(
        self, name: str, bundles: list[float], strategy: str = "PACK", job: int = 1, **more: Any
    ) -> Env:
        requests = tuple(Resources.of(cpu=cpus) for cpus in bundles)
        self.step(PlacementGroupAdded(name.encode(), job, requests, strategy, **more))
        return self

    def where(self, name: str) -> list[str] | None:
        return self.placed.get(name.encode())

    def remove(self, name: str) -> Env:
        self.placed.pop(name.encode(), None)
        return self.step(PlacementGroupRemoved(name.encode()))

    def ask(
        self,
        key: str,
        count: int,
        group: str = "",
        bundle: int = -1,
        cpu: float = 1,
        job: int = 1,
        pinned: bool = False,
    ) -> Counter[str]:
        constraint = Constraint(group=group.encode(), bundle=bundle) if group else ANYWHERE
        request = Resources.of(cpu=cpu)
        self.step(ClassAdded(key.encode(), job, key, request, pinned=pinned, constraint=constraint))
        self.step(Demand(key.encode(), 1, count))
        return self.nodes(key)

    def nodes(self, key: str) -> Counter[str]:
        return Counter(node for of, node in self.at.values() if of == key.encode())

    def back(self, *leases: int) -> None:
        for lease in leases:
            if self.at.pop(lease, None) is not None:
                self.step(LeaseReturned(lease))

    def gone(self, name: str) -> Env:
        self.at = {lease: at for lease, at in self.at.items() if at[1] != name}
        return self.step(NodeRemoved(name))

    def ticks(self, count: int = SOON) -> Env:
        """Time passes, and what is asked back or evicted comes back."""
        for _ in range(count):
            self.now += 0.2
            self.step(Tick())
            due, self.revoked, self.evicted = [*self.revoked, *self.evicted], [], []
            self.back(*due)
        return self

    def free(self) -> float:
        return self.scheduler.status.available().get("CPU", 0.0)


# -- room


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


def test_a_class_of_a_group_runs_in_its_bundles_only() -> None:
    env = Env(n1=4, n2=4).group("g", [1, 1], "STRICT_SPREAD")
    assert env.ask("f", 5, "g") == {"n1": 1, "n2": 1}
    assert env.ask("other", 20).total() == 6


def test_a_bundle_is_chosen_by_its_index() -> None:
    env = Env(n1=4, n2=4).group("g", [1, 2], "STRICT_SPREAD")
    small, big = env.where("g") or ["", ""]
    assert env.ask("f", 5, "g", bundle=1) == {big: 2}
    assert env.ask("f", 5, "g", bundle=1) == {big: 2}
    assert env.ask("h", 5, "g", bundle=0) == {small: 1}


def test_what_waits_for_a_group_runs_when_it_is_placed() -> None:
    env = Env(n1=1)
    assert not env.ask("f", 1, "g"), "the group is not even known"
    env.group("g", [2])
    assert not env.nodes("f") and not env.infeasible
    env.step(NodeAdded("n2", Resources.of(cpu=2)))
    assert env.nodes("f") == {"n2": 1}


def test_what_is_too_big_for_every_bundle_is_told_so() -> None:
    env = Env(n1=4).group("g", [1, 1])
    env.ask("f", 1, "g", cpu=2)
    env.ask("h", 1, "g", bundle=7)
    assert env.infeasible["f"] == f"in placement group {b'g'.hex()}"
    assert env.infeasible["h"] == f"placement group {b'g'.hex()} has no bundle 7"


def test_tasks_that_ask_for_nothing_run_in_a_bundle_too() -> None:
    env = Env(n1=4).group("g", [1])
    assert env.ask("f", 9, "g", cpu=0) == {"n1": 4}


def test_a_worker_that_waits_lends_its_cpu_to_the_bundle() -> None:
    env = Env(n1=4).group("g", [1])
    env.ask("parent", 1, "g")
    (parent,) = env.at
    assert not env.ask("child", 1, "g")
    env.step(LeaseBlocked(parent))
    assert env.nodes("child") == {"n1": 1}
    env.step(Demand(b"child", 1, 0))
    assert env.free() == 3, "what lies idle in a bundle is not for everybody"
    env.back(*[lease for lease in env.at if lease != parent])
    env.step(LeaseUnblocked(parent))
    assert env.free() == 3


def test_classes_share_a_bundle_by_turns() -> None:
    env = Env(n1=4).group("g", [2])
    env.ask("f", 5, "g")
    env.ask("h", 5, "g")
    env.ticks(5)
    assert (env.nodes("f").total(), env.nodes("h").total()) == (1, 1)


def test_the_bundle_is_charged_to_its_job_and_not_what_runs_in_it_again() -> None:
    env = Env(n1=8).group("g", [2])
    env.ask("in", 2, "g")
    env.ask("more", 9, job=1)
    env.ask("others", 9, job=2)
    env.ticks()
    assert (env.nodes("more").total(), env.nodes("others").total()) == (2, 4)


# -- the end


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


@pytest.mark.parametrize("seed", range(25))
def test_all_invariants_hold_through_a_random_history(seed: int) -> None:
    chance = random.Random(seed)
    env = Env(n1=4, n2=4, n3=2)
    made, alive = 0, set[str]()
    for step in range(400):
        dice = chance.random()
        if dice < 0.15:
            made += 1
            strategy = chance.choice(["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"])
            bundles = [chance.choice([1, 1, 2, 0.5]) for _ in range(chance.randint(1, 3))]
            env.group(f"g{made}", bundles, strategy, job=chance.randrange(3))
            alive.add(f"g{made}")
        elif dice < 0.27 and alive:
            removed = chance.choice(sorted(alive))
            alive.discard(removed)
            env.remove(removed)
        elif dice < 0.6:
            group = chance.choice([*sorted(alive), ""]) if made else ""
            env.ask(
                f"c{step}" if chance.random() < 0.5 else f"shared{group}",
                chance.randint(0, 4),
                group,
                bundle=chance.choice([-1, -1, 0, 1]),
                cpu=chance.choice([0, 0.5, 1, 2]),
                job=chance.randrange(3),
                pinned=chance.random() < 0.1,
            )
        elif dice < 0.75 and env.at:
            env.back(chance.choice(sorted(env.at)))
        elif dice < 0.8 and env.at:
            env.step(chance.choice([LeaseBlocked, LeaseUnblocked])(chance.choice(sorted(env.at))))
        elif dice < 0.83:
            env.gone(f"n{chance.randint(1, 3)}")
        elif dice < 0.88:
            name = f"n{chance.randint(1, 3)}"
            env.gone(name).step(NodeAdded(name, Resources.of(cpu=chance.choice([2, 4]))))
        elif dice < 0.89:
            job = chance.randrange(3)
            env.step(JobEnded(job))
            held = {row["lease"] for row in env.scheduler.status.leases()}
            env.at = {lease: at for lease, at in env.at.items() if lease in held}
        else:
            env.ticks(2)
    for name in alive:
        env.remove(name)
    env.step(ClientGone(1))
    env.at.clear()
    env.ticks(2)
    rest = [row for row in env.scheduler.status.leases() if not row["class"].startswith("c")]
    assert not rest, "room that nobody has a use for is not given back"
