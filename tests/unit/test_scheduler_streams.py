"""Streams of quick tasks beside long ones: who uses less than its share passes, who uses it sinks."""

from __future__ import annotations

import pytest

from tests.unit.scheduler_world import SchedulerWorld

LONG = 600.0


def batch(cpus: int, **terms: float) -> SchedulerWorld:
    """Long tasks on all slots for a while, and as many again that wait: job 1, "long"."""
    world = SchedulerWorld(checked=False).node("n1", cpu=cpus).job(1, **terms).cls("long", job=1)
    world.submit("long", *[LONG] * (3 * cpus))
    world.run(5.0)
    return world


def stream(world: SchedulerWorld, key: str, task: float, pause: float, seconds: float) -> list[float]:
    """One task after another, with a pause between two; how long each waited, in seconds."""
    client, end = world.clients[key.encode()], world.now + seconds
    first = len(client.latencies)
    while world.now < end:
        done = client.done
        world.submit(key, task)
        world.run(end, lambda done=done: client.done > done)  # type: ignore[misc]
        if world.now < end:
            world.run(min(end, world.now + pause))
    return client.latencies[first:]


def p95(waits: list[float]) -> float:
    return sorted(waits)[int(0.95 * len(waits))]


@pytest.mark.parametrize("cpus", [1, 2, 16])
@pytest.mark.parametrize("job", [1, 2])
@pytest.mark.parametrize(
    ("task", "pause"), [(0.01, 0.03), (0.01, 0.1), (0.05, 0.15), (0.0, 0.3), (0.05, 1.0)]
)
def test_a_light_stream_never_waits_for_slices(cpus: int, job: int, task: float, pause: float) -> None:
    world = batch(cpus).cls("quick", job=job)
    waits = stream(world, "quick", task, pause, 60.0)
    assert p95(waits) < 0.1 and len(waits) > 0.6 * 60.0 / (task + pause)
    lost = 65.0 * cpus - world.busy_of("long") - world.busy_of("quick")
    assert lost < 0.05 * 60.0 + len(waits) * 0.005  # a few milliseconds each time that a worker is stopped


@pytest.mark.parametrize("cpus", [1, 2])
def test_also_beside_several_functions_of_its_job(cpus: int) -> None:
    world = batch(cpus).cls("other").cls("quick")
    world.submit("other", *[LONG] * cpus)
    assert p95(stream(world, "quick", 0.01, 0.03, 60.0)) < 0.1


@pytest.mark.parametrize("task", [0.01, 0.2])
@pytest.mark.parametrize("cpus", [1, 2])
def test_who_never_pauses_gets_no_more_than_its_share(cpus: int, task: float) -> None:
    world = batch(cpus).cls("heavy", job=2)
    world.submit("heavy", *[task] * int(300 * cpus / task))
    world.run(30.0)  # it is new for a moment
    before = world.busy_of("heavy")
    world.run(130.0)
    part = (world.busy_of("heavy") - before) / (100.0 * cpus)
    assert part == pytest.approx(0.5, rel=0.15)
    assert world.scheduler._book.classes[b"heavy"].level == 3


@pytest.mark.parametrize("pause", [0.001, 0.005, 0.02])
def test_nor_does_who_pauses_for_a_moment(pause: float) -> None:
    world = batch(1).cls("heavy", job=2)
    stream(world, "heavy", 0.05, pause, 60.0)
    assert world.busy_of("heavy") < 0.55 * 60.0
    assert world.busy_of("long") > 0.4 * 60.0


def test_one_that_has_sunk_comes_back_when_it_uses_less() -> None:
    world = batch(2).cls("f", job=2)
    world.submit("f", *[0.1] * 200)
    world.run(20.0)
    assert world.scheduler._book.classes[b"f"].level == 3
    world.finish_of("f", 60.0)
    stream(world, "f", 0.01, 0.03, 10.0)
    assert p95(stream(world, "f", 0.01, 0.03, 20.0)) < 0.1


def test_many_light_streams_pass_one_batch() -> None:
    world = batch(4)
    waits: list[float] = []
    for user in range(4):  # 10 ms each 80 ms
        world.cls(f"quick{user}", job=10 + user)
    for at in range(300):
        for user in range(4):
            world.submit(f"quick{user}", 0.01)
            world.run(5.0 + at * 0.08 + (user + 1) * 0.02)
    for user in range(4):
        waits += world.clients[b"quick%d" % user].latencies
    assert len(waits) >= 1190 and p95(waits) < 0.1


@pytest.mark.parametrize("users", [2, 4, 8, 12])
def test_a_stream_of_many_users_that_never_pauses_passes_in_a_large_cluster(users: int) -> None:
    """Each a quarter of a slot, of which the share is eight."""
    world = batch(16).cls("quick", job=2, predicted=0.01)
    for at in range(500):
        for user in range(users):
            world.run(5.0 + 0.04 * (at + user / users))
            world.submit("quick", 0.01)
    waits = world.clients[b"quick"].latencies
    assert len(waits) > 490 * users and p95(waits) < 0.1


def test_but_not_one_of_as_many_tasks_as_half_its_share_or_of_long_ones() -> None:
    world = batch(8).cls("many", job=2, predicted=0.01).cls("long2", job=3)
    world.submit("many", *[0.01] * 30_000).submit("long2", LONG)
    world.run(15.0)
    classes = world.scheduler._book.classes
    assert classes[b"many"].level == 3 and classes[b"long2"].level == 3


def test_a_stream_in_a_small_group_of_a_large_cluster_passes_too() -> None:
    """A share of the whole cluster is worth nothing where a class may not go everywhere, or where others stay."""
    world = batch(1)
    world.node("n2", cpu=31).cls("actors", job=3, pinned=True).submit("actors", *[LONG] * 31)
    world.run(10.0)
    world.cls("quick")
    assert p95(stream(world, "quick", 0.01, 0.03, 30.0)) < 0.1


def test_batches_that_take_turns_do_not_become_urgent_to_each_other() -> None:
    world = SchedulerWorld(checked=False).node("n1", cpu=1)
    for job in range(4):
        world.cls(f"f{job}", job=job).submit(f"f{job}", *[LONG] * 2)
    world.run(40.0)
    before = [world.busy_of(f"f{job}") for job in range(4)]
    stops = world.counts.get("Suspend", 0)
    world.run(200.0)
    for job in range(4):
        assert world.busy_of(f"f{job}") - before[job] == pytest.approx(40.0, rel=0.2)
    assert (
        world.counts["Suspend"] - stops < 220
    )  # slices of two seconds, and of 0.2 for who had nothing for five


def test_brief_tasks_that_never_end_sink_when_others_come_and_their_share_becomes_less() -> None:
    """Nothing happens to the class itself meanwhile."""
    world = SchedulerWorld(checked=False).node("n1", cpu=8).cls("brief", job=1, predicted=0.01)
    world.submit("brief", *[LONG] * 3)
    world.run(5.0)
    assert world.scheduler._book.classes[b"brief"].level == 0
    for job in range(2, 9):
        world.cls(f"f{job}", job=job, predicted=LONG).submit(f"f{job}", *[LONG] * 8)
    world.run(20.0)
    before = world.busy_of("brief")
    world.run(40.0)
    assert world.busy_of("brief") - before == pytest.approx(20.0, rel=0.25)
