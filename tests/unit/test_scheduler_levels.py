"""Levels: who is urgent, and for how long."""

from __future__ import annotations

import pytest

from rustray.scheduler import levels
from rustray.scheduler.events import Predicted
from tests.unit.scheduler_env import Env


def level(env: Env, key: str) -> int:
    return env.scheduler._book.classes[key.encode()].level


def busy(env: Env, seconds: float, step: float = 0.1) -> Env:
    """Time passes, with a tick now and then."""
    while seconds > 1e-9:
        env.tick(min(step, seconds))
        seconds -= step
    return env


@pytest.mark.parametrize(
    "predicted, expected",
    [(None, 0), (0.0, 0), (0.001, 0), (0.02, 1), (0.1, 1), (0.2, 2), (1.9, 2), (2.0, 3), (3600.0, 3)],
)
def test_a_new_class_starts_where_its_predicted_run_time_suggests(predicted: float, expected: int) -> None:
    assert level(Env().cls("f", predicted=predicted), "f") == expected


@pytest.mark.parametrize(
    "used, expected", [(0.01, 0), (0.03, 1), (0.2, 1), (0.25, 2), (2.0, 2), (2.4, 3), (60.0, 3)]
)
def test_use_moves_a_class_down(used: float, expected: int) -> None:
    env = Env().node(cpu=1).cls("f", predicted=None).demand("f", 1)
    assert level(busy(env, used, step=0.01), "f") == expected


def test_a_long_time_between_two_ticks_counts_in_full() -> None:
    env = Env().node(cpu=1).cls("f", predicted=None).demand("f", 1)
    assert level(env.tick(60.0), "f") == 3


def test_more_leases_use_more() -> None:
    env = Env().node(cpu=10).cls("f", predicted=None).demand("f", 10)
    assert level(busy(env, 0.01, step=0.005), "f") == 1
    assert level(busy(env, 0.03, step=0.005), "f") == 2


def test_idle_blocked_and_suspended_leases_do_not_use() -> None:
    env = Env().node(cpu=3).cls("f", predicted=None).demand("f", 3)
    env.blocked(1).suspended(2)  # unasked, so it is resumed at once
    assert env.said == "resume 2"
    env.demand("f", 1)  # one is blocked, one resumed, one idle: of them one is wanted
    busy(env, 0.05, step=0.01)
    env.demand("f", 0)
    used = env.scheduler._book.classes[b"f"]
    at = used.level, used.used
    busy(env, 0.5)
    assert used.level == at[0] and used.used <= at[1]


def test_a_little_use_now_and_then_keeps_a_class_where_it_is() -> None:
    env = Env().node(cpu=1).cls("f", predicted=None)
    for _ in range(300):  # 4 % of a slot
        env.demand("f", 1)
        env.now += 0.004
        env.demand("f", 0).tick(0.096)
        assert level(env, "f") == 0


def test_steady_use_moves_a_class_down_however_it_is_cut_up() -> None:
    env = Env().node(cpu=1).cls("f", predicted=None)
    for _ in range(100):  # 50 % of a slot
        env.demand("f", 1).tick(0.05).demand("f", 0).tick(0.05)
    assert level(env, "f") == 3


def test_a_class_that_was_idle_comes_back_up_one_level_a_second() -> None:
    env = busy(Env().node(cpu=1).cls("f", predicted=None).demand("f", 1), 3.0)
    assert level(env, "f") == 3
    for idle, expected in ((1.5, 2), (1.5, 1), (0.5, 1), (1.0, 0), (9.0, 0)):
        env.demand("f", 0).tick(idle)
        assert level(env.demand("f", 1), "f") == expected


def test_it_does_not_rise_above_where_it_started() -> None:
    env = busy(Env().node(cpu=1).cls("f", predicted=0.5).demand("f", 1), 3.0)
    env.demand("f", 0).tick(60).demand("f", 1)
    assert level(env, "f") == 2


def test_a_prediction_that_is_slower_counts_at_once_and_one_that_is_quicker_after_a_rest() -> None:
    env = Env().node(cpu=1).cls("f", predicted=None).demand("f", 1)
    env.step(Predicted(b"f", 10.0))
    assert level(env, "f") == 3
    env.step(Predicted(b"f", 0.001))
    assert level(env, "f") == 3
    assert level(env.demand("f", 0).tick(9).demand("f", 1), "f") == 0


def test_a_prediction_of_an_unknown_class_changes_nothing() -> None:
    assert Env().step(Predicted(b"ghost", 1.0)).said == ""


@pytest.mark.parametrize("first, second", [("quick", "slow"), ("slow", "quick")])
def test_waiting_claims_of_a_lower_level_are_served_first(first: str, second: str) -> None:
    env = Env().cls("quick", job=1, predicted=0.001).cls("slow", job=2, predicted=60.0)
    env.demand(first, 1).demand(second, 1).node(cpu=1)
    assert env.held() == {"quick": 1}


def test_inside_a_job_too() -> None:
    env = Env().cls("quick", predicted=0.001).cls("slow", predicted=60.0).demand("slow", 1).demand("quick", 1)
    assert env.node(cpu=1).held() == {"quick": 1}


def test_priority_shifts_the_levels() -> None:
    env = Env().cls("low", job=1, predicted=0.1).cls("high", job=2, predicted=60.0, priority=3)
    env.demand("low", 1).demand("high", 1).node(cpu=1)
    assert env.held() == {"high": 1}  # level 3 with priority 3 is more urgent than level 1


def test_a_negative_priority_comes_after_all_others() -> None:
    env = Env().cls("later", job=1, predicted=None, priority=-9).cls("batch", job=2, predicted=60.0)
    env.demand("later", 1).demand("batch", 1).node(cpu=1)
    assert env.held() == {"batch": 1}


def test_the_end_of_a_level_is_told_as_the_time_to_wake() -> None:
    env = Env().node(cpu=1).cls("f", predicted=None).cls("g", predicted=None)
    env.demand("f", 1)
    assert env.scheduler.next_wake() is None  # nobody waits
    env.demand("g", 1)
    wake = env.scheduler.next_wake()
    assert wake is not None and 0.02 <= wake - env.now < 0.025
    env.now = wake
    assert env.tick(0.0).said == "revoke 1 from 1"  # it has had its 20 ms


def test_the_queues_are_told_by_level() -> None:
    env = Env().node(cpu=2).cls("f", predicted=None).cls("g", predicted=60.0).demand("f", 1).demand("g", 4)
    rows = env.scheduler.status.queues()
    assert [row["level"] for row in rows] == [0, 1, 2, 3]
    assert [row["waiting"] for row in rows] == [0, 0, 0, 3]
    assert [row["running"] for row in rows] == [1, 0, 0, 1]


def test_quanta_grow_and_the_last_is_unlimited() -> None:
    assert list(levels.QUANTA) == sorted(levels.QUANTA) and levels.QUANTA[-1] == levels.inf
