"""Which of two nodes that cannot reach each other has to go."""

from __future__ import annotations

from rustray.head.reachability import CONFIRM_S, FRESH_S, Reachability


def decided(
    *complaints: tuple[int, int], drivers: tuple[int, ...] = (), members: int = 5
) -> tuple[int, int] | None:
    heard = Reachability()
    for now in (0.0, CONFIRM_S):
        for by, about in complaints:
            heard.hear(now, by, [about])
    return heard.decide(CONFIRM_S, range(1, members + 1), drivers)


def test_nobody_goes_without_complaints_nor_at_the_first():
    heard = Reachability()
    assert heard.decide(0.0, [1, 2], []) is None
    heard.hear(0.0, 1, [2])
    assert heard.decide(0.1, [1, 2], []) is None


def test_a_complaint_that_is_not_repeated_is_forgotten():
    heard = Reachability()
    heard.hear(0.0, 1, [2])
    assert heard.decide(FRESH_S + 0.1, [1, 2], []) is None
    heard.hear(FRESH_S + 0.2, 1, [2])
    assert heard.decide(FRESH_S + 0.2, [1, 2], []) is None


def test_the_one_that_fewer_reach_goes():
    assert decided((1, 2), (3, 2), drivers=(2,)) == (2, 1)
    assert decided((2, 1), (2, 3)) == (2, 1)


def test_the_one_without_drivers_goes_else_the_younger():
    assert decided((1, 2), drivers=(2,)) == (1, 2)
    assert decided((1, 2), drivers=(1, 2)) == (2, 1)
    assert decided((2, 1)) == (2, 1)


def test_one_that_has_gone_is_no_reason():
    assert decided((1, 9)) is None
