"""Quick tasks beside long ones, and long ones of several jobs, on a virtual clock: who waits how long, at what cost."""

from __future__ import annotations

import pytest

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
