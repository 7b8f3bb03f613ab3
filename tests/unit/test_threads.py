"""Numbers of threads."""

from __future__ import annotations

import threading

from rustray.driver.threads import numbers_alive, present


def test_a_thread_has_another_number_than_one_that_has_ended_although_the_system_gives_its_own_again() -> None:
    seen: dict[int, set[int]] = {}

    def note() -> None:
        number = present.number
        assert number == present.number and number in numbers_alive()
        seen.setdefault(threading.get_ident(), set()).add(number)

    for _ in range(20):
        thread = threading.Thread(target=note)
        thread.start()
        thread.join()
    assert len(set().union(*seen.values())) == 20
    assert len(seen) < 20, "the system has given no identity again"
    assert not numbers_alive() & set().union(*seen.values())
