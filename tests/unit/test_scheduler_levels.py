"""Levels: who is urgent, and for how long."""

from __future__ import annotations

import pytest

from rustray.model.resources import UNIT, Resources
from rustray.scheduler import levels
from rustray.scheduler.constraints import Constraint
from rustray.scheduler.events import ClassAdded, Predicted
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


def others(env: Env, count: int, job: int = 2) -> Env:
    """So many classes of a job that want something and never get it, for their tasks are known to be long."""
    for n in range(count):
        env.cls(f"other{n}", job=job).demand(f"other{n}", 1)
    return env


def give_back(env: Env, own: bool) -> None:
    for lease in [lease for lease, (key, _, _) in env.holders.items() if (key == "f") is own]:
        env.returned(lease)


def lowest_after(env: Env, work: float, pause: float, seconds: float) -> int:
    """The lowest level of f, which works and pauses in turn, and gets the slot whenever it wants it."""
    lowest = 0
    for _ in range(round(seconds / (work + pause))):
        env.demand("f", 1).tick(0.0)
        give_back(env, own=False)
        env.tick(work)
        lowest = max(lowest, level(env, "f"))
        env.demand("f", 0)
        give_back(env, own=True)
        env.tick(pause)
        if lowest == 3:
            break
    return lowest


@pytest.mark.parametrize(
    ("job", "count", "work", "pause", "expected"),
    [
        (2, 1, 0.05, 0.05, 3),  # half of a slot is all of its share
        (2, 9, 0.05, 0.05, 3),
        (2, 9, 0.01, 0.03, 0),  # a quarter of a slot is half of its share, whatever classes others have
        (1, 1, 0.01, 0.03, 0),
        (1, 9, 0.01, 0.03, 3),  # here its share is a tenth of a slot
        (1, 9, 0.004, 0.096, 0),  # 4 % of a slot is always allowed
        (2, 1, 0.05, 0.15, 1),  # more than 20 ms at once, but they are given back
    ],
)
def test_who_uses_less_than_its_share_stays_urgent(
    job: int, count: int, work: float, pause: float, expected: int
) -> None:
    env = others(Env().node(cpu=1).cls("f", predicted=None), count, job)
    assert lowest_after(env, work, pause, 40.0) == expected


def test_shares_go_by_weight() -> None:
    book = others(Env().node(cpu=4).cls("f", job=1, predicted=None), 2).demand("f", 1).scheduler._book
    for weight, cap, share in ((1.0, None, 2.0), (3.0, None, 3.0), (3.0, 1.0, 1.0)):
        book.set_terms(book.jobs[1], weight, 0, None if cap is None else round(cap * UNIT))
        assert book.fair_share(book.classes[b"f"]) == pytest.approx(share)
    assert book.fair_share(book.classes[b"other0"]) == pytest.approx(0.5)


def test_what_others_hold_for_good_is_not_shared() -> None:
    env = Env().node(cpu=4).cls("actor", job=2, pinned=True).demand("actor", 3)
    env.cls("f", predicted=None).demand("f", 1)
    assert env.scheduler._book.fair_share(env.scheduler._book.classes[b"f"]) == pytest.approx(1.0)


def test_where_a_class_may_not_go_everywhere_a_node_is_worth_one_slot() -> None:
    env = Env().node(cpu=4).node("n2", cpu=4)
    only = Constraint(node="n2")
    env.step(ClassAdded(b"f", 1, "f", Resources.of(cpu=1), constraint=only)).demand("f", 1)
    assert env.scheduler._book.fair_share(env.scheduler._book.classes[b"f"]) == pytest.approx(1.0)


def test_who_has_sunk_rises_when_it_wants_something_anew_and_was_given_back_enough() -> None:
    env = busy(Env().node(cpu=1).cls("f", job=1, predicted=None).demand("f", 1), 3.0)
    assert level(env, "f") == 3
    others(env, 1).demand("f", 0)
    give_back(env, own=True)
    env.demand("f", 1)
    assert "other0" in env.held() and "f" not in env.held()
    env.now += 5.0  # its share of that is 2.5 lease-seconds
    assert level(env.demand("f", 2), "f") == 3
    assert level(env.demand("f", 0).demand("f", 1), "f") == 0


def test_a_class_that_was_idle_comes_back_up_one_level_a_second() -> None:
    env = busy(Env().node(cpu=1).cls("f", predicted=None).demand("f", 1), 3.0)
    assert level(env, "f") == 3
    others(env, 99, job=1)
    for idle, expected in ((1.5, 2), (1.5, 1), (0.3, 1), (1.0, 0), (9.0, 0)):
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
