"""Where leases go: constraints and arguments, on nodes whose state is known."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import Any

import pytest

from rustray.model.labels import EXISTS, IN, NOT_IN
from rustray.model.resources import Resources
from rustray.scheduler.actions import Grant, Infeasible, Revoke
from rustray.scheduler.constraints import ANYWHERE, Constraint
from rustray.scheduler.core import Scheduler
from rustray.scheduler.events import (
    ClassAdded,
    Demand,
    LeaseReturned,
    NodeAdded,
    NodeDraining,
    NodeRemoved,
    Tick,
)

CPU = Resources.of(cpu=1)


class Env:
    """A scheduler, and where it put the leases of each class."""

    def __init__(self, **nodes: float) -> None:
        self.scheduler = Scheduler()
        self.now = 0.0
        self.at: dict[int, tuple[bytes, str]] = {}
        self.infeasible: list[Infeasible] = []
        self.revoked: list[int] = []
        for name, cpus in nodes.items():
            self.node(name, cpus)

    def step(self, event: Any) -> None:
        for action in self.scheduler.step(event, self.now):
            if isinstance(action, Grant):
                self.at[action.lease] = action.key, action.node
            elif isinstance(action, Infeasible):
                self.infeasible.append(action)
            elif isinstance(action, Revoke):
                self.revoked.append(action.lease)
        self.scheduler.sanity_check()

    def node(self, name: str, cpus: float = 1, **labels: str) -> Env:
        self.step(NodeAdded(name, Resources.of(cpu=cpus), labels))
        return self

    def gone(self, name: str) -> None:
        self.at = {lease: at for lease, at in self.at.items() if at[1] != name}
        self.step(NodeRemoved(name))

    def ask(
        self,
        key: str,
        count: int = 1,
        constraint: Constraint = ANYWHERE,
        near: dict[str, int] | None = None,
        **more: Any,
    ) -> Counter[str]:
        """Demand `count` leases of a class; on which nodes it has them then."""
        request = more.pop("request", CPU)
        self.step(ClassAdded(key.encode(), 1, key, request, constraint=constraint, **more))
        self.step(Demand(key.encode(), 1, count, near))
        return self.nodes(key)

    def nodes(self, key: str) -> Counter[str]:
        return Counter(node for of, node in self.at.values() if of == key.encode())

    def give_back(self, key: str, node: str = "") -> None:
        lease = next(n for n, at in self.at.items() if at[0] == key.encode() and node in ("", at[1]))
        del self.at[lease]
        self.step(LeaseReturned(lease))


# -- affinity to a node


def test_an_affinity_holds_to_its_node_and_waits_for_it() -> None:
    env = Env(n1=1, n2=4)
    assert env.ask("f", 2, Constraint(node="n1")) == {"n1": 1}
    env.give_back("f")
    assert env.nodes("f") == {"n1": 1} and not env.infeasible


def test_a_hard_affinity_to_a_node_that_is_not_there_is_infeasible_until_it_comes() -> None:
    env = Env(n1=1)
    assert not env.ask("f", 1, Constraint(node="n9"))
    assert (env.infeasible[0].reason, env.infeasible[0].missing) == ("there is no node n9", {})
    env.node("n9")
    assert env.nodes("f") == {"n9": 1}


def test_without_a_node_but_gateways_it_is_said_what_is_missing_not_that_nodes_leave() -> None:
    env = Env(n1=1)
    env.step(NodeAdded("gateway", Resources(), {}))
    env.step(NodeDraining("gateway"))
    env.step(NodeDraining("n1"))
    env.ask("f")
    env.gone("n1")
    env.ask("g")
    told = [(one.missing, one.reason) for one in env.infeasible]
    assert told == [({}, "every node is leaving the cluster"), ({"CPU": 1.0}, "")]


def test_a_hard_affinity_to_a_node_that_is_too_small_says_what_it_lacks() -> None:
    env = Env(n1=1, n2=4)
    assert not env.ask("f", 1, Constraint(node="n1"), request=Resources.of(cpu=3))
    told = env.infeasible[0]
    assert (told.missing, told.have, told.reason) == ({"CPU": 2.0}, {"CPU": 1.0}, "on node n1")


def test_a_soft_affinity_waits_for_its_node_while_it_is_there() -> None:
    env = Env(n1=1, n2=4)
    soft = Constraint(node="n1", soft=True)
    assert env.ask("f", 2, soft) == {"n1": 1}
    env.gone("n1")
    assert env.nodes("f") == {"n2": 2}, "the node is gone, any other will do"
    env.node("n1", 4)
    assert env.ask("f", 4, soft) == {"n1": 2, "n2": 2}, "the node is back"


def test_a_soft_affinity_to_a_node_that_could_never_run_it_goes_elsewhere() -> None:
    env = Env(n1=1, n2=4)
    assert env.ask("f", 1, Constraint(node="n1", soft=True), request=Resources.of(cpu=3)) == {"n2": 1}


def test_a_lost_node_makes_what_is_bound_to_it_infeasible() -> None:
    env = Env(n1=1, n2=1)
    env.ask("f", 2, Constraint(node="n1"))
    env.gone("n1")
    assert [told.reason for told in env.infeasible] == ["there is no node n1"]


# -- labels


def labelled() -> Env:
    return Env().node("a1", 2, zone="a", disk="ssd").node("a2", 2, zone="a").node("b1", 4, zone="b")


def test_hard_labels() -> None:
    env = labelled()
    assert env.ask("f", 9, Constraint(hard=(("zone", IN, ("a",)),))) == {"a1": 2, "a2": 2}
    assert env.ask("g", 9, Constraint(hard=(("zone", NOT_IN, ("a",)),))) == {"b1": 4}


def test_labels_that_no_node_has_are_named() -> None:
    env = labelled()
    env.ask("f", 1, Constraint(hard=(("zone", IN, ("c",)), ("disk", EXISTS, ()))))
    env.ask("g", 1, Constraint(hard=(("zone", IN, ("b",)), ("disk", EXISTS, ()))))
    env.ask("h", 1, Constraint(node="b1", hard=(("disk", EXISTS, ()),)))
    assert [told.reason for told in env.infeasible] == [
        "no node has label zone=c",
        "no node has label zone=b and label disk",
        "node b1 does not have label disk",
    ]
    env.ask("i", 1, Constraint(hard=(("zone", IN, ("a",)),)), request=Resources.of(cpu=3))
    assert (env.infeasible[-1].missing, env.infeasible[-1].reason) == (
        {"CPU": 1.0},
        "on nodes with label zone=a",
    )


def test_preferred_labels_come_first_and_are_not_waited_for() -> None:
    env = labelled()
    rather_a = Constraint(preferred=(("zone", IN, ("a",)),))
    assert env.ask("f", 3, rather_a) == {"a1": 2, "a2": 1}
    assert env.ask("f", 6, rather_a) == {"a1": 2, "a2": 2, "b1": 2}
    env.give_back("f", "a2")
    assert env.nodes("f")["a2"] == 2


def test_a_preference_among_nodes_with_hard_labels() -> None:
    both = Constraint(hard=(("zone", IN, ("a",)),), preferred=(("disk", IN, ("ssd",)),))
    assert labelled().ask("f", 3, both) == {"a1": 2, "a2": 1}


# -- spreading


def test_spreading_counts_the_leases_of_the_kind_and_not_the_load() -> None:
    env = Env(n1=8, n2=8, n3=2)
    env.ask("busy", 4, Constraint(node="n1"))
    assert env.ask("f", 6, Constraint(spread=True)) == {"n1": 2, "n2": 2, "n3": 2}
    assert env.ask("f", 8, Constraint(spread=True)) == {"n1": 3, "n2": 3, "n3": 2}


def test_without_constraint_the_least_loaded_node_is_taken() -> None:
    env = Env(n1=8, n2=8)
    env.ask("busy", 4, Constraint(node="n1"))
    assert env.ask("f", 4) == {"n2": 4}


# -- near the arguments


def test_the_node_with_most_bytes_of_the_arguments_is_taken_while_it_has_room() -> None:
    env = Env(n1=8, n2=2, n3=2)
    assert env.ask("f", 5, near={"n3": 500, "n2": 900}) == {"n2": 2, "n3": 2, "n1": 1}


def test_the_last_word_on_where_arguments_lie_counts() -> None:
    env = Env(n1=8, n2=8, n3=8)
    env.ask("f", 2, near={"n3": 5})
    assert env.ask("f", 4, near={"n2": 5, "n9": 9}) == {"n3": 2, "n2": 2}


def test_a_constraint_goes_before_nearness() -> None:
    env = Env(n1=4, n2=4)
    assert env.ask("f", 1, Constraint(node="n1"), near={"n2": 9}) == {"n1": 1}
    assert env.ask("g", 2, Constraint(spread=True), near={"n2": 9}) == {"n1": 1, "n2": 1}


# -- asking back


def test_a_claim_with_a_constraint_takes_from_the_nodes_that_will_do_only() -> None:
    env = Env(n1=2, n2=2)
    env.ask("batch", 4)
    env.step(ClassAdded(b"f", 2, "f", CPU, constraint=Constraint(node="n2")))
    env.step(Demand(b"f", 2, 1))
    for _ in range(20):
        env.now += 0.2
        env.step(Tick())
    assert env.revoked and {env.at[lease][1] for lease in env.revoked} == {"n2"}
    for lease in env.revoked:
        env.at.pop(lease)
        env.step(LeaseReturned(lease))
    assert env.nodes("f") == {"n2": 1}


def test_constraint_values_travel_as_plain_ones() -> None:
    assert Constraint.of(None) is Constraint.of({}) is ANYWHERE
    plain = {"node": "n1", "soft": True, "hard": [["zone", "in", ["a", "b"]]]}
    assert Constraint.of(plain) == Constraint(node="n1", soft=True, hard=(("zone", IN, ("a", "b")),))


# -- speed


@pytest.mark.parametrize(
    "constraint",
    [
        ANYWHERE,
        Constraint(spread=True),
        Constraint(node="n7"),
        Constraint(hard=(("rack", IN, ("3",)),)),
        Constraint(preferred=(("rack", IN, ("3",)),)),
    ],
)
def test_a_decision_does_not_look_at_all_nodes(constraint: Constraint) -> None:
    """Ten times the nodes, less than three times the cost of a lease that goes and comes back."""
    costs = []
    for nodes in (100, 1000):
        scheduler, chance, held = Scheduler(), random.Random(1), []
        for n in range(nodes):
            scheduler.step(NodeAdded(f"n{n}", Resources.of(cpu=4), {"rack": str(n % 10)}), 0.0)
        scheduler.step(ClassAdded(b"f", 1, "f", CPU, constraint=constraint), 0.0)
        for action in scheduler.step(Demand(b"f", 1, nodes * 8), 0.0):
            if isinstance(action, Grant):
                held.append(action.lease)
        best = 1e9
        for _ in range(3):
            start = time.process_time()
            for _ in range(200):
                at = chance.randrange(len(held))
                for action in scheduler.step(LeaseReturned(held[at]), 1.0):
                    assert isinstance(action, Grant)
                    held[at] = action.lease
            best = min(best, time.process_time() - start)
        costs.append(best)
    assert costs[1] < 3 * costs[0], costs
