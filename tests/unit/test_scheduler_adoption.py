"""A new leader adopts the leases of an earlier one, and grants nothing before all of them are known."""

from __future__ import annotations

from rustray.model.resources import Resources
from rustray.scheduler.events import LeaseAdopted, NodeAdded, Recovered
from tests.unit.scheduler_env import Env


def test_leases_of_an_earlier_leader_are_adopted() -> None:
    env = Env(first_lease=5 << 32, recovering=True)
    env.cls("f").demand("f", 3).node("n1", cpu=4)
    assert env.said == ""
    env.step(LeaseAdopted(3 << 32, b"f", 1, "n1"))
    env.step(LeaseAdopted(3 << 32 | 1, b"f", 1, "n1", blocked=True))
    env.step(LeaseAdopted(3 << 32, b"f", 1, "n1")).step(LeaseAdopted(7, b"ghost", 1, "n1"))
    env.step(LeaseAdopted(8, b"f", 1, "ghost"))
    assert env.tick(1.0).said == ""
    assert env.step(Recovered()).said == f"grant {5 << 32} of f to 1 on n1"
    assert env.scheduler.status.leases_on("n1") == [3 << 32, 3 << 32 | 1, 5 << 32]


def test_a_node_can_bring_what_it_runs() -> None:
    env = Env().cls("f").demand("f", 2)
    env.step(NodeAdded("n1", Resources.of(cpu=2), leases=(LeaseAdopted(77, b"f", 1, "n1"),)))
    assert env.said == "grant 1 of f to 1 on n1"


def test_an_adopted_suspended_lease_goes_on() -> None:
    env = Env(recovering=True).cls("f").node("n1").step(LeaseAdopted(9, b"f", 1, "n1", suspended=True))
    assert env.step(Recovered()).said == "resume 9"
