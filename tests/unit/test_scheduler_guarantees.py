"""What a job is guaranteed, and what it may have at most."""

from __future__ import annotations

from rustray.scheduler.events import JobAdded
from rustray.scheduler.preemption import GRACE
from tests.unit.scheduler_env import Env


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
