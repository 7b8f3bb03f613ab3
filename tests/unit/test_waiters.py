"""Who waits may leave at the moment when another thread wakes all that wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rustray.driver.generator import Stream
from rustray.worker.inbox import Inbox


@pytest.mark.parametrize("make", [Inbox, lambda: Stream(None)])  # type: ignore[arg-type]
def test_who_leaves_while_all_are_woken(make: Callable[[], Any]) -> None:
    awaited = make()
    woken = []

    class Waiter:
        def __call__(self) -> None:
            woken.append(self)

        def __eq__(self, other: object) -> bool:
            # The other thread's turn: it takes all waiters while this one is looked for.
            awaited.wake() if isinstance(awaited, Inbox) else awaited.end()
            return True

        __hash__ = None  # type: ignore[assignment]

    first, second = Waiter(), Waiter()
    awaited.add_waiter(first)
    awaited.remove_waiter(second)
    assert woken and woken[0] is first
