"""Levels, suspension, and what they promise, on a virtual clock."""

from __future__ import annotations

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
