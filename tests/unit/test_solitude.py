"""When an embedded server ends that its last driver has left."""

from __future__ import annotations

import pytest

from rustray.node.solitude import Solitude


def left(linger_s: float) -> Solitude:
    solitude = Solitude(linger_s)
    solitude.on_left(100.0)
    return solitude


@pytest.mark.parametrize("detached", [False, True])
def test_a_plain_server_ends_with_its_driver(detached: bool) -> None:
    assert left(0.0).is_over(100.0, driven=False, detached=detached, busy=True)


def test_one_that_waits_needs_something_to_keep() -> None:
    assert left(60.0).is_over(100.0, driven=False, detached=False, busy=False)
    assert not left(60.0).is_over(159.9, driven=False, detached=True, busy=False)
    assert left(60.0).is_over(160.0, driven=False, detached=True, busy=False)


def test_it_does_not_end_under_a_task() -> None:
    assert not left(60.0).is_over(1000.0, driven=False, detached=True, busy=True)


def test_it_is_not_alone_before_its_first_driver_nor_with_the_next() -> None:
    assert not Solitude(60.0).is_over(1000.0, driven=False, detached=False, busy=False)
    solitude = left(60.0)
    assert not solitude.is_over(110.0, driven=True, detached=True, busy=False)
    assert not solitude.is_over(1000.0, driven=False, detached=True, busy=False)
    assert solitude.since is None
