"""Service over time goes by weight, also where slots are fewer than shares."""

from __future__ import annotations

import pytest

from rustray.model.resources import CPU, UNIT
from tests.unit.scheduler_world import SchedulerWorld


def world(cpus: int, *weights: float, nodes: int = 1) -> SchedulerWorld:
    """Jobs 0, 1, ... of these weights, each with one class: f0, f1, ..."""
    world = SchedulerWorld(checked=False)
    for n in range(nodes):
        world.node(f"n{n}", cpu=cpus)
    for job, weight in enumerate(weights):
        world.job(job, weight=weight).cls(f"f{job}", job=job)
    return world


def fill(world: SchedulerWorld, task: float, seconds: float) -> None:
    """Every class has tasks for so long, had it the cluster alone."""
    cpus = sum(total[CPU] for total in world.nodes.values()) // UNIT
    for client in world.clients.values():
        world.submit(client.key.decode(), *[task] * int(seconds * cpus / task))


def had(world: SchedulerWorld, seconds: float) -> list[float]:
    """What each class gets of the CPU seconds of the time that follows."""
    keys = [key.decode() for key in world.clients]
    before = [world.busy_of(key) for key in keys]
    world.run(world.now + seconds)
    more = [world.busy_of(key) - start for key, start in zip(keys, before, strict=True)]
    return [one / sum(more) for one in more]


@pytest.mark.parametrize("cpus", [1, 2, 3, 4])
@pytest.mark.parametrize("weights", [(1, 3), (1, 1), (1, 2, 3)])
def test_quick_tasks_go_by_weight_however_few_slots_there_are(cpus: int, weights: tuple[float, ...]) -> None:
    there = world(cpus, *weights)
    fill(there, 0.05, 75.0)
    there.run(10.0)
    for part, weight in zip(had(there, 60.0), weights, strict=True):
        assert part == pytest.approx(weight / sum(weights), rel=0.15)


@pytest.mark.parametrize("cpus", [1, 2, 3, 4])
def test_one_of_little_weight_gets_little_and_does_not_starve(cpus: int) -> None:
    there = world(cpus, 1, 50)
    fill(there, 0.05, 135.0)
    there.run(10.0)
    small, large = had(there, 120.0)
    assert small >= 1 / 51 * 0.85
    assert (
        large >= 50 / 51 * 0.9
    )  # a class that uses little stays urgent, see levels; and nobody waits more than 5 s


@pytest.mark.parametrize(("cpus", "nodes"), [(1, 1), (2, 1), (3, 1), (1, 4)])
def test_long_tasks_go_by_weight_in_slices(cpus: int, nodes: int) -> None:
    there = world(cpus, 1, 3, nodes=nodes)
    fill(there, 20.0, 400.0)
    there.run(10.0)
    small, _large = had(there, 200.0)
    assert small == pytest.approx(
        0.25, rel=0.4
    )  # slices are two seconds long, and nobody waits more than five


def test_an_hour_of_rest_is_no_credit() -> None:
    there = world(2, 1, 1, 1)
    there.submit("f0", *[0.05] * 10)
    there.submit("f1", *[1.0] * 7400)
    there.submit("f2", *[1.0] * 7400)
    there.run(3600.0)
    fill(there, 1.0, 60.0)
    there.run(3605.0)  # f0 is new for a moment: see levels
    for part in had(there, 30.0):
        assert part == pytest.approx(1 / 3, rel=0.15)


def test_what_was_had_while_nobody_waited_is_no_debt() -> None:
    there = world(1, 1, 1)
    there.submit("f0", *[1.0] * 1000)
    there.run(1000.0)
    fill(there, 1.0, 60.0)
    there.run(1005.0)
    for part in had(there, 40.0):
        assert part == pytest.approx(1 / 2, rel=0.15)


def test_a_new_weight_counts_from_then_on() -> None:
    there = world(1, 1, 3)
    fill(there, 0.05, 130.0)
    there.run(60.0)
    there.job(0, weight=3.0).job(1, weight=1.0)
    there.run(65.0)
    assert had(there, 40.0)[0] == pytest.approx(0.75, rel=0.15)


def test_quick_tasks_pass_long_ones_of_greater_weight() -> None:
    there = world(2, 1, 50)
    there.submit("f1", *[600.0] * 10)
    there.run(20.0)
    for _ in range(20):
        there.run(there.now + 1.0)
        there.submit("f0", 0.002)
    there.run(41.0)
    assert max(there.clients[b"f0"].latencies) < 0.1


def test_a_job_with_an_actor_has_turns_for_its_tasks() -> None:
    there = world(2, 1, 1).cls("actor", job=0, pinned=True)
    there.submit("actor", 1e6)
    there.run(1.0)
    for key in ("f0", "f1"):
        there.submit(key, *[0.05] * 5000)
    there.run(10.0)
    served = had(there, 60.0)
    assert served[0] / served[1] > 0.25
