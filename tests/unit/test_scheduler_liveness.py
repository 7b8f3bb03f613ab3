"""Random work on random clusters, in full: everything is served in the end, whoever is preempted on the way.

Each history is replayed from its seed.
"""

from __future__ import annotations

import random

import pytest

from tests.unit.scheduler_world import SchedulerWorld

QUICK, MEDIUM, LONG = 0.002, 0.15, 4.0


def random_world(seed: int, checked: bool = True) -> SchedulerWorld:
    """Some nodes, jobs and classes, and their tasks, submitted over a few seconds."""
    dice = random.Random(seed)
    world = SchedulerWorld(latency=dice.choice([0.0002, 0.001, 0.005]), checked=checked, seed=seed)
    for n in range(dice.randint(1, 3)):
        world.node(f"n{n}", cpu=dice.choice([1, 2, 4]), memory=dice.choice([None, None, 2**28, 10**8]))
    for job in range(dice.randint(1, 4)):
        world.job(
            job,
            weight=dice.choice([1.0, 1.0, 2.0, 0.5]),
            min_cpus=dice.choice([0, 0, 0, 1]),
            max_cpus=dice.choice([None, None, None, 1, 2]),
        )
        for _ in range(dice.randint(1, 4)):
            typical = dice.choice([QUICK, QUICK, MEDIUM, LONG])
            key = f"c{len(world.clients)}"
            world.cls(
                key,
                job,
                cpu=dice.choice([1, 1, 1, 0.5, 0]),
                predicted=dice.choice([None, None, typical]),
                predicted_memory=dice.choice([0, 10**7, 10**8]),
                priority=dice.choice([0, 0, 0, 1, -1]),
                preemptible=dice.random() < 0.9,
                retriable=dice.random() < 0.5,
            )
            for _ in range(dice.randint(1, 5)):
                tasks = [typical * dice.uniform(0.5, 2.0) for _ in range(dice.randint(1, 4))]
                world.at(dice.uniform(0, 8), lambda k=key, t=tasks: world.submit(k, *t) and None)  # type: ignore[misc]
            if dice.random() < 0.2:
                client = world.clients[key.encode()]
                client.block = lambda: world.random.choice([0.0, 0.01, 0.3])
    return world


@pytest.mark.parametrize("seed", range(50))
def test_all_that_was_asked_for_is_done(seed: int) -> None:
    world = random_world(seed)
    world.run(8.01)
    work = sum(sum(c.queue) + c.running * 2 * LONG for c in world.clients.values())
    world.finish(within=30.0 + 3 * work)
    assert not world.scheduler.status.suspended()
    world.run(world.now + 1.0)
    assert world.counts.get("Suspend", 0) >= world.counts.get("Resume", 0)


def test_a_slot_that_only_ends_of_tasks_would_bring_newcomers_goes_round_meanwhile() -> None:
    """Eight users of eight slots: each gets one, though no more workers may be suspended for those who want more."""
    world = SchedulerWorld(checked=False).node("n1", cpu=8).cls("f0", job=1)
    world.submit("f0", *[600.0] * 3)
    world.run(5.0)
    for number in range(1, 8):
        world.cls(f"f{number}", job=number + 1).submit(f"f{number}", *[600.0] * 8)
    world.run(20.0)
    before = [world.busy_of(f"f{number}") for number in range(8)]
    world.run(40.0)
    for number in range(8):
        assert world.busy_of(f"f{number}") - before[number] == pytest.approx(20.0, rel=0.25)
