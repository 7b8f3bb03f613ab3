"""How soon actors that die are started again."""

from __future__ import annotations

import pytest

from rustray.head.restart_pace import FIRST_PAUSE_S, LONGEST_PAUSE_S, STEADY_S, RestartPace

ACTOR, OTHER = b"a" * 16, b"o" * 16


def pauses(pace: RestartPace, deaths: int, lived: float = 0.0) -> list[float]:
    """Seconds from each death until the actor may be started again."""
    now, seen = 1000.0, []
    for _ in range(deaths):
        if lived:
            pace.on_alive(ACTOR, now)
        now += lived
        pace.on_death(ACTOR, now)
        seen.append(max(0.0, pace.not_before(ACTOR) - now))
        now += seen[-1]
    return seen


def test_the_first_restart_is_immediate_and_the_next_ones_wait_twice_as_long_each() -> None:
    seen = pauses(RestartPace(), 12)
    assert seen[0] == 0.0
    assert seen[1:8] == pytest.approx([FIRST_PAUSE_S * 2**n for n in range(7)])
    assert seen[8:] == pytest.approx([LONGEST_PAUSE_S] * 4)


def test_a_short_life_changes_nothing_and_a_long_one_all() -> None:
    assert pauses(RestartPace(), 3, lived=STEADY_S - 1) == pytest.approx(
        [0.0, FIRST_PAUSE_S, 2 * FIRST_PAUSE_S]
    )
    assert pauses(RestartPace(), 3, lived=STEADY_S) == [0.0, 0.0, 0.0]


def test_each_actor_has_a_pace_of_its_own_until_it_is_forgotten() -> None:
    pace = RestartPace()
    pauses(pace, 5)
    assert pace.not_before(ACTOR) > 0.0 == pace.not_before(OTHER)
    pace.forget(ACTOR)
    assert pauses(pace, 1) == [0.0]
    pace.forget(ACTOR)
    assert not any(vars(pace).values())


def test_very_many_deaths_are_no_trouble() -> None:
    assert pauses(RestartPace(), 2_000)[-1] == pytest.approx(LONGEST_PAUSE_S)
