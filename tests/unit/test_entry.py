"""What a client knows of one object: who waits for it."""

from __future__ import annotations

import pytest

from rustray.driver.entry import VALUE, Entry


def test_all_who_wait_are_woken_though_one_of_them_raises() -> None:
    entry = Entry(b"id", owned=True)
    woken = []

    def fail() -> None:
        raise RuntimeError("a defect")

    entry.add_waiter(lambda: woken.append(1))
    entry.add_waiter(fail)
    entry.add_waiter(lambda: woken.append(2))
    with pytest.raises(RuntimeError, match="a defect"):
        entry.settle(VALUE, b"")
    assert woken == [1, 2] and entry.ready
