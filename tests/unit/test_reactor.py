"""The lent event loop: who polls, who sleeps, and that no wake-up is lost."""

from __future__ import annotations

import errno
import itertools
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from rustray.driver.entry import VALUE, Entry
from rustray.driver.reactor import Reactor
from rustray.wire.frames import Connection
from tests.support import eventually
from tests.unit.test_frames import Sick


class Echo:
    """A reactor with one connection; a message ("settle", n) settles entry n."""

    def __init__(self, on_tick: Callable[[], None] = lambda: None) -> None:
        ours, theirs = socket.socketpair()
        self.peer = Connection(theirs)
        self.entries: dict[int, Entry] = {}
        self.threads: set[str] = set()
        self.closed = threading.Event()
        self.reactor = Reactor(on_tick)
        self.reactor.add(Connection(ours), self.on_messages, self.closed.set)

    def entry(self, number: int) -> Entry:
        return self.entries.setdefault(number, Entry(number.to_bytes(16, "big"), owned=True))

    def on_messages(self, messages: list[tuple[object, ...]]) -> None:
        self.threads.add(threading.current_thread().name)
        for _op, number in messages:
            assert isinstance(number, int)
            self.entry(number).settle(VALUE, b"")

    def tell(self, number: int) -> None:
        self.peer.send([("settle", number)])

    def once_it_is_waited_for(self, act: Callable[..., object], *arguments: object) -> None:
        """Do this, in a thread of its own, when one is in `wait`."""

        def run() -> None:
            eventually(lambda: self.reactor.is_waited_for)
            act(*arguments)

        threading.Thread(target=run).start()


@pytest.fixture
def echo() -> Iterator[Echo]:
    made = Echo()
    made.reactor.start()
    yield made
    made.reactor.close()
    made.peer.close()


def test_what_is_ready_is_not_waited_for(echo: Echo) -> None:
    entry = echo.entry(1)
    entry.settle(VALUE, b"")
    assert echo.reactor.wait(entry, 0)


def test_a_timeout(echo: Echo) -> None:
    start = time.monotonic()
    assert not echo.reactor.wait(echo.entry(1), 0.05)
    assert 0.04 < time.monotonic() - start < 5


def test_who_waits_polls_himself(echo: Echo) -> None:
    numbers = itertools.count()

    def has_polled() -> bool:
        """False as long as the background thread, which hears of who waits, has been quicker."""
        number = next(numbers)
        echo.once_it_is_waited_for(echo.tell, number)
        assert echo.reactor.wait(echo.entry(number), 20)
        return threading.current_thread().name in echo.threads

    eventually(has_polled)


def test_the_background_thread_polls_while_nobody_waits(echo: Echo) -> None:
    settled = threading.Event()
    echo.entry(1).add_waiter(settled.set)
    echo.tell(1)
    assert settled.wait(20)
    assert echo.threads == {"rustray-io"}


def test_many_threads_each_woken_for_its_own(echo: Echo) -> None:
    results: list[bool] = []

    def wait(number: int) -> None:
        results.append(echo.reactor.wait(echo.entry(number), 20))

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    for number in reversed(range(30)):
        echo.tell(number)
    for thread in threads:
        thread.join(20)
    assert results == [True] * 30


def test_many_threads_that_wait_for_the_same(echo: Echo) -> None:
    for number in range(50):
        results: list[bool] = []

        def wait(number: int = number, results: list[bool] = results) -> None:
            results.append(echo.reactor.wait(echo.entry(number), 20))

        threads = [threading.Thread(target=wait) for _ in range(5)]
        for thread in threads:
            thread.start()
        echo.tell(number)
        for thread in threads:
            thread.join(20)
        assert results == [True] * 5


def test_a_signal_is_handled_after_the_handlers_and_the_wait_can_go_on(echo: Echo) -> None:
    with pytest.raises(KeyboardInterrupt):
        echo.once_it_is_waited_for(os.kill, os.getpid(), signal.SIGINT)
        echo.reactor.wait(echo.entry(1), 20)
    echo.tell(1)
    assert echo.reactor.wait(echo.entry(1), 20)
    with pytest.raises(KeyboardInterrupt):  # nothing is held off where nothing is half done
        signal.raise_signal(signal.SIGINT)
    echo.reactor.close()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_background_thread_outlives_a_handler_that_fails(echo: Echo) -> None:
    defects: list[Exception] = []
    echo.reactor.on_defect = defects.append
    ours, theirs = socket.socketpair()

    def broken() -> None:
        raise RuntimeError("a defect")

    echo.reactor.add(Connection(ours), lambda _messages: None, broken)
    theirs.close()
    eventually(lambda: [str(error) for error in defects] == ["a defect"])
    settled = threading.Event()
    echo.entry(1).add_waiter(settled.set)
    echo.tell(1)
    assert settled.wait(20)


def test_the_end_of_a_connection_is_told_once(echo: Echo) -> None:
    echo.tell(1)
    echo.peer.close()
    assert echo.reactor.wait(echo.entry(1), 20)
    assert echo.closed.wait(20)


def test_what_the_system_had_no_room_for_is_tried_at_the_next_ticks(echo: Echo) -> None:
    ours, theirs = socket.socketpair()
    sender, receiver = Connection(ours), Connection(theirs)
    sock, sick = sender.sock, Sick(sender.sock, errno.ETOOMANYREFS)
    sender.sock = sick  # type: ignore[assignment]
    echo.reactor.add(sender, lambda _messages: None, lambda: None)
    sender.send([("lease",)])
    eventually(lambda: sick.tries > 2)
    assert sick.tries < 50
    sender.sock = sock
    got: list[tuple[object, ...]] = []
    eventually(lambda: got.extend(receiver.receive()) or got)
    assert got == [("lease",)] and not sender.backlog
    echo.reactor.remove(sender)
    receiver.close()


def test_closing_wakes_who_waits(echo: Echo) -> None:
    echo.once_it_is_waited_for(echo.reactor.close)
    assert not echo.reactor.wait(echo.entry(1), 20)


def test_ticks_come_whether_or_not_somebody_waits() -> None:
    ticks: list[str] = []
    made = Echo(lambda: ticks.append(threading.current_thread().name))
    made.reactor.start()
    try:
        name = threading.current_thread().name
        eventually(lambda: made.reactor.wait(made.entry(1), 0.35) or name in ticks)
        ticks.clear()
        eventually(lambda: "rustray-io" in ticks)
    finally:
        made.reactor.close()
        made.peer.close()
