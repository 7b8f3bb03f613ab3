"""Levels, suspension, and what they promise, on a virtual clock."""

from __future__ import annotations

from typing import Any

import pytest

from rustray.model.resources import Resources
from rustray.scheduler.actions import Suspend
from rustray.scheduler.events import (
    ClientGone,
    JobAdded,
    JobEnded,
    LeaseAdopted,
    LeaseMemory,
    NodeAdded,
    NodeDraining,
    NodeMemory,
    NodeRemoved,
    Recovered,
)
from rustray.scheduler.preemption import GRACE, PARKED
from tests.unit.scheduler_env import Env
from tests.unit.scheduler_world import SchedulerWorld


def p95(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)]


def test_a_quick_task_starts_at_once_where_all_slots_run_for_minutes() -> None:
    world = SchedulerWorld().node("n1", cpu=4).cls("long", job=1).cls("quick", job=2)
    world.submit("long", *[120.0] * 10)
    world.run(30.0)
    world.submit("quick", 0.001)
    world.run(30.05)
    assert world.clients[b"quick"].done == 1
    assert world.clients[b"quick"].latencies[0] < 0.03


def test_a_stream_of_quick_tasks_is_served_and_costs_the_batch_little() -> None:
    world = SchedulerWorld(checked=False).node("n1", cpu=2).cls("long", job=1).cls("quick", job=2)
    world.submit("long", *[20.0] * 20)
    world.run(5.0)
    for n in range(500):
        world.at(5.0 + n * 0.1, lambda: world.submit("quick", 0.001) and None)
    world.run(60.0)
    quick = world.clients[b"quick"]
    assert quick.done == 500
    assert p95(quick.latencies) < 0.05
    world.finish(400)
    # 400 CPU seconds on 2 CPUs, from 0 to now
    assert world.now < 200 * 1.05


# -- step by step


def at_wake(env: Env) -> Env:
    """Go to the time that the scheduler asked to be woken at."""
    wake = env.scheduler.next_wake()
    assert wake is not None
    return env.tick(max(0.0, wake - env.now))


def behind_long() -> Env:
    """One slot, taken for long, and a class that waits for it."""
    env = Env().node(cpu=1).cls("long", job=1).cls("quick", job=2, predicted=None).demand("long", 1)
    return env.tick(10.0).demand("quick", 1, client=2)


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
    assert 1 < most <= (PARKED + 1) // 2 + 1


# -- turns


def test_a_second_notebook_never_hangs_behind_the_first() -> None:
    world = SchedulerWorld().node("n1", cpu=2).cls("first", job=1, predicted=600.0)
    world.cls("second", job=2, predicted=600.0).submit("first", *[600.0] * 10)
    world.run(20.0)
    world.submit("second", *[600.0] * 10)
    world.run(20.1)
    held = [worker.client.key for worker in world.workers.values() if worker.stopped is None]
    assert sorted(held) == [b"first", b"second"]


@pytest.mark.parametrize("jobs", [2, 3, 4])
def test_long_tasks_of_many_jobs_share_one_slot(jobs: int) -> None:
    world = SchedulerWorld().node("n1", cpu=1)
    for job in range(jobs):
        world.cls(f"f{job}", job=job, predicted=60.0).submit(f"f{job}", 20.0)
    world.finish(within=20.0 * jobs * 1.05 + 1.0)
    ends = [client.latencies[0] for client in world.clients.values()]
    assert min(ends) > 20.0 * (jobs - 1) * 0.7  # all advance alike
    assert world.counts["Suspend"] <= world.now / 1.9 + jobs


@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_shares_go_by_weight(weight: float) -> None:
    world = SchedulerWorld(checked=False).node("n1", cpu=4)
    world.job(1, weight=weight).job(2)
    for job in (1, 2):
        world.cls(f"f{job}", job=job, predicted=0.3).submit(f"f{job}", *[0.3] * 1000)
    world.run(20.0)
    done = [world.clients[key].done for key in (b"f1", b"f2")]
    assert done[0] / done[1] == pytest.approx(weight, rel=0.15)


# -- what bounds the rest


@pytest.mark.parametrize("cpus", [1, 2, 8])
@pytest.mark.parametrize("jobs", [1, 3])
def test_quick_tasks_are_quick_wherever(cpus: int, jobs: int) -> None:
    world = SchedulerWorld(checked=False).node("n1", cpu=cpus)
    for job in range(jobs):
        world.cls(f"long{job}", job=job).submit(f"long{job}", *[300.0] * 20)
    world.cls("quick", job=99)
    for n in range(100):
        world.at(10.0 + n * 0.5, lambda: world.submit("quick", 0.005) and None)
    world.run(62.0)
    quick = world.clients[b"quick"]
    assert quick.done == 100
    assert p95(quick.latencies) < 0.05


def test_a_burst_of_quick_tasks_does_not_stop_the_whole_cluster() -> None:
    world = SchedulerWorld(checked=False).node("n1", cpu=16).cls("long", job=1, predicted=60.0)
    world.submit("long", *[60.0] * 100)
    world.run(5.0)
    world.cls("quick", job=1)  # of the same job: no share of its own is owed to it
    world.submit("quick", *[0.002] * 100)
    world.run(5.1)
    assert world.clients[b"quick"].done > 10
    assert world.counts["Suspend"] <= 8


def test_one_that_has_had_nothing_for_long_runs_for_a_moment_whoever_is_more_urgent() -> None:
    world = SchedulerWorld(checked=False).node("n1", cpu=1)
    world.cls("high", job=1, priority=10, predicted=60.0).cls("low", job=2, predicted=60.0)
    world.submit("high", *[1000.0] * 2)
    world.run(1.0)
    world.submit("low", 1.0)
    world.run(8.0)
    assert any(worker.client.key == b"low" for worker in world.workers.values())
    world.finish_of("low", within=60.0)
    assert world.busy_of("high") > 0.85 * (world.now - 1.0)


# -- guarantees and caps


def test_a_guarantee_is_served_at_once_whatever_its_level() -> None:
    env = Env().node(cpu=2).cls("a", job=1, predicted=None).cls("b", job=2).step(JobAdded(2, min_cpus=1))
    env.demand("a", 2).tick(0.001)
    assert env.demand("b", 2, client=2).said == "revoke 1 from 1"
    assert env.tick(GRACE + 0.001).said == "suspend 1"


def test_nobody_takes_what_is_guaranteed() -> None:
    env = Env().node(cpu=2).cls("a", job=1).cls("b", job=2, predicted=None).step(JobAdded(1, min_cpus=2))
    env.demand("a", 2).demand("b", 2, client=2)
    for _ in range(20):
        assert env.tick(0.1).said == ""


def test_guarantees_that_are_more_than_there_is_shrink_alike() -> None:
    env = Env().node(cpu=4).step(JobAdded(1, min_cpus=6)).step(JobAdded(2, min_cpus=2))
    book = env.scheduler._book
    assert [book.jobs[n].floor for n in (1, 2)] == [30_000, 10_000]
    env.node("n2", cpu=4)
    assert [book.jobs[n].floor for n in (1, 2)] == [60_000, 20_000]


def test_a_capped_job_has_never_more() -> None:
    env = Env().node(cpu=8).cls("a", job=1).step(JobAdded(1, max_cpus=3)).demand("a", 9)
    assert env.held() == {"a": 3}
    assert env.returned(1).held() == {"a": 3}
    assert "may have" in env.scheduler.status.explain(b"a", 1)["reason"]
    assert env.step(JobAdded(1, max_cpus=5)).held() == {"a": 5}
    assert env.step(JobAdded(1)).held() == {"a": 8}


def test_classes_of_a_capped_job_take_turns_under_its_cap() -> None:
    env = Env().node(cpu=8).step(JobAdded(1, max_cpus=1))
    for n in range(3):
        env.cls(f"f{n}", job=1).demand(f"f{n}", 9)
    granted = env.run(30)
    assert len(granted) == 3 and max(granted.values()) - min(granted.values()) <= 1


def test_a_worker_that_waits_does_not_count_for_the_cap() -> None:
    env = Env().node(cpu=8).step(JobAdded(1, max_cpus=1)).cls("outer").cls("inner")
    env.demand("outer", 1).demand("inner", 1, client=2)
    assert env.blocked(1).said == "grant 2 of inner to 2 on n1"


# -- draining, and a new leader


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
