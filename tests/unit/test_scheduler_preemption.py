"""How a lease is asked back, suspended and resumed, step by step, and what memory allows of it."""

from __future__ import annotations

from typing import Any

import pytest

from rustray.scheduler.actions import Suspend
from rustray.scheduler.events import ClientGone, JobEnded, LeaseMemory, NodeMemory, NodeRemoved
from rustray.scheduler.preemption import GRACE
from tests.unit.scheduler_env import Env, at_wake, behind_long


def test_a_lease_is_asked_back_first_and_suspended_after_a_grace() -> None:
    env = behind_long()
    assert env.said == "revoke 1 from 1"
    assert env.tick(0.005).said == ""
    assert at_wake(env).said == "suspend 1"
    assert env.now - 110.0 == pytest.approx(GRACE, abs=1e-6)
    assert env.tick(1.0).said == ""  # once
    assert env.suspended(1).said == "grant 2 of quick to 2 on n1"
    assert env.scheduler.status.suspended() == 1
    assert env.scheduler.status.queues()[3]["suspended"] == 1


def test_a_lease_that_comes_back_in_time_is_not_suspended() -> None:
    env = behind_long()
    assert env.returned(1).said == "grant 2 of quick to 2 on n1"
    assert env.scheduler.next_wake() is None or at_wake(env).said == ""


def test_a_suspended_worker_goes_on_as_soon_as_there_is_room() -> None:
    env = at_wake(behind_long()).suspended(1)
    assert env.demand("quick", 0, client=2).said == "revoke 2 from 2"  # an idle lease, at once
    assert env.returned(2).said == "resume 1"
    assert env.resumed(1).returned(1).said == "grant 3 of long to 1 on n1"


def test_the_second_time_there_is_no_grace() -> None:
    env = at_wake(behind_long()).suspended(1).demand("quick", 0, client=2).returned(2).resumed(1)
    assert env.tick(0.02).demand("quick", 1, client=2).said == "suspend 1"  # it was asked before


def test_it_goes_on_at_once_if_the_one_it_made_room_for_has_gone() -> None:
    env = at_wake(behind_long()).demand("quick", 0, client=2)
    assert env.suspended(1).said == "resume 1"


def test_nothing_is_suspended_for_a_demand_that_was_withdrawn_before() -> None:
    env = behind_long().demand("quick", 0, client=2)
    assert env.tick(5.0).said == ""


def test_a_promise_kept_elsewhere_suspends_nobody() -> None:
    env = behind_long()
    assert env.node("n2").said == "grant 2 of quick to 2 on n2"
    assert env.tick(5.0).said == ""


def test_one_that_ended_while_it_was_being_suspended() -> None:
    env = at_wake(behind_long())
    assert env.returned(1).said == "grant 2 of quick to 2 on n1"
    assert env.suspended(1).said == ""  # late word


def test_a_worker_that_waits_is_not_suspended_for_it_lends_its_cpu() -> None:
    env = behind_long().blocked(1)
    assert env.said == "grant 2 of quick to 2 on n1"
    assert env.tick(1.0).said == ""


def test_one_that_began_to_wait_while_it_was_being_suspended_goes_on() -> None:
    env = at_wake(behind_long()).blocked(1)
    assert env.said == "grant 2 of quick to 2 on n1"
    assert env.suspended(1).said == "resume 1"  # it takes nothing
    assert env.resumed(1).unblocked(1).said == ""


def test_one_that_waits_while_it_is_suspended_goes_on() -> None:
    env = at_wake(behind_long()).suspended(1)
    assert env.blocked(1).said == "resume 1"
    assert env.scheduler.status.available() == {"CPU": 0.0}


def test_idle_leases_are_counted_right_when_one_that_was_to_go_is_kept_after_all() -> None:
    env = Env().node(cpu=2).cls("f", job=1).cls("g", job=2).demand("f", 2).demand("f", 0)
    assert env.demand("g", 1, client=2).said == "revoke 1 from 1"
    assert env.suspended(1).said == "grant 3 of g to 2 on n1"
    assert env.blocked(1).said == "resume 1"  # that takes no CPU
    assert env.returned(1).said == ""
    assert env.demand("g", 2, client=2).said == "revoke 2 from 1"


def test_a_suspended_worker_that_dies_leaves_nothing() -> None:
    env = at_wake(behind_long()).suspended(1)
    assert env.returned(1).said == ""
    assert env.returned(2).scheduler.status.suspended() == 0


def test_a_worker_that_was_stopped_or_went_on_unasked() -> None:
    env = Env().node(cpu=1).cls("f").cls("g", job=2).demand("f", 1).demand("g", 1, client=2)
    env.tick(0.01)
    assert env.suspended(1).said == "grant 2 of g to 2 on n1"
    assert env.resumed(1).said == ""  # two on one CPU
    assert env.scheduler.status.available() == {"CPU": 0.0}
    assert env.tick(0.2).tick(0.2).asked_back  # which is put right


def test_jobs_clients_and_nodes_that_go_take_their_suspended_workers_with_them() -> None:
    for end in (JobEnded(1), ClientGone(1), NodeRemoved("n1")):
        env = at_wake(behind_long()).suspended(1)
        env.step(end)
        assert env.scheduler.status.suspended() == 0


@pytest.mark.parametrize(
    "options",
    [{"preemptible": False}, {"gpu": 0.5}, {"pinned": True}],
    ids=["not preemptible", "holds a GPU", "an actor"],
)
def test_opt_outs(options: dict[str, Any]) -> None:
    env = Env().node(cpu=1, gpu=1).cls("long", job=1, **options).cls("quick", job=2, predicted=None)
    env.demand("long", 1).tick(10.0).demand("quick", 1, client=2)
    for _ in range(100):
        assert "suspend" not in env.tick(0.1).said
    assert env.returned(1).said == "grant 2 of quick to 2 on n1"


def test_an_actor_gets_a_slot_by_suspension_where_another_is_left_to_go_on_in() -> None:
    env = Env().node(cpu=2).cls("long", job=1).cls("actor", job=2, pinned=True).demand("long", 2).tick(10.0)
    assert env.demand("actor", 1, client=2).said == "revoke 1 from 1"
    assert at_wake(env).said == "suspend 1"
    assert env.suspended(1).said == "grant 3 of actor to 2 on n1"
    assert env.demand("actor", 2, client=2).said == ""  # the other is the last slot for both
    assert "suspend" not in env.tick(0.01).said
    assert env.returned(2).said == "resume 1"
    env.resumed(1).tick(10.0)
    assert env.returned(1).said == "grant 4 of actor to 2 on n1"


def test_an_actor_takes_no_slot_that_a_suspended_worker_needs() -> None:
    env = at_wake(behind_long()).suspended(1).cls("actor", job=3, pinned=True).demand("actor", 1, client=3)
    assert env.demand("quick", 0, client=2).returned(2).said == "resume 1"
    assert env.resumed(1).tick(0.1).tick(0.1).returned(1).said == "grant 3 of actor to 3 on n1"


# -- memory


def small(**options: Any) -> Env:
    """Two slots, taken for long, and memory for one suspended worker."""
    env = Env().node(cpu=2).step(NodeMemory("n1", 100))
    env.cls("long", job=1, predicted_memory=60, **options).cls("quick", job=2, predicted=0.1)
    return env.demand("long", 2).tick(10.0)


def test_what_does_not_fit_into_memory_is_left_alone() -> None:
    env = at_wake(small().demand("quick", 2, client=2))
    assert env.said == "suspend 1"
    assert env.suspended(1).said == "grant 3 of quick to 2 on n1"
    for _ in range(50):
        assert "suspend" not in env.tick(0.01).said


def test_or_run_anew_if_it_may_be() -> None:
    env = at_wake(small(retriable=True).demand("quick", 2, client=2))
    assert env.said == "suspend 1; requeue 2"
    assert env.returned(2).said == "grant 3 of quick to 2 on n1"


def test_what_a_lease_was_found_to_hold_counts() -> None:
    env = small().step(LeaseMemory(1, 101)).step(LeaseMemory(2, 10))
    assert at_wake(env.demand("quick", 1, client=2)).said == ""  # it is lease 1 that was asked
    env = small().step(LeaseMemory(1, 10)).step(LeaseMemory(2, 10))
    assert at_wake(env.demand("quick", 2, client=2)).said == "suspend 1; suspend 2"


def test_memory_that_gets_short_later_ends_what_may_be_run_anew() -> None:
    env = at_wake(small(retriable=True).demand("quick", 1, client=2)).suspended(1)
    assert env.step(NodeMemory("n1", 50)).said == ""
    assert env.step(NodeMemory("n1", -1)).said == "requeue 1"
    assert env.step(NodeMemory("n1", -1)).said == ""  # once
    assert env.returned(1).scheduler.status.suspended() == 0


def test_without_word_of_memory_there_is_a_bound_all_the_same() -> None:
    env = Env().node(cpu=1)
    for n in range(20):
        env.cls(f"f{n}", job=n).demand(f"f{n}", 1, client=n)
    most = 0
    for _ in range(600):
        env.tick(0.1)
        for action in env.actions:
            if isinstance(action, Suspend):
                env.suspended(action.lease)
        most = max(most, env.scheduler.status.suspended())
    assert 1 < most <= 4  # docs/scheduling.md: six and one for the CPU, and half of that for turns
