"""A session whose node is a socket of the test: what becomes of waits and blocks when something comes between."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from rustray.driver.entry import Entry
from rustray.driver.functions import Code
from rustray.driver.requests import Reply
from rustray.driver.session import Session
from rustray.errors import SessionError
from rustray.wire.frames import Connection
from tests.support import eventually


class Bench:
    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.session = Session(ours, None, None)
        self.node = Connection(theirs)
        self._heard: list[tuple[Any, ...]] = []

    def hear(self, op: str) -> tuple[Any, ...]:
        """The next message of that kind."""

        def found() -> tuple[Any, ...] | None:
            self._heard += self.node.receive()
            return next((message for message in self._heard if message[0] == op), None)

        message = eventually(found)
        self._heard.remove(message)
        return message


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    made.session.reactor.start()
    yield made
    made.session.close()
    made.node.close()


def test_a_block_for_who_was_interrupted_goes_back(bench: Bench) -> None:
    asked: list[int] = []

    def meddle() -> None:
        asked.append(bench.hear("alloc")[1])
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=meddle)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        bench.session.requests.ask("alloc", 10)
    thread.join()
    bench.node.send([("block", asked[0], 1, 4096, 10)])
    assert bench.hear("abandon") == ("abandon", 1, 4096)


def test_a_block_that_comes_with_the_interrupt_goes_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests, reactor = bench.session.requests, bench.session.reactor

    def wait(reply: Reply, _timeout: float | None = None) -> bool:
        requests.on_answer(bench.hear("alloc")[1], 1, 4096, 10)
        assert reply.ready
        raise KeyboardInterrupt

    monkeypatch.setattr(reactor, "wait", wait)
    with pytest.raises(KeyboardInterrupt):
        requests.ask("alloc", 10)
    assert bench.hear("abandon") == ("abandon", 1, 4096)


def test_who_asks_as_the_session_ends_is_told_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    session = bench.session
    bench.node.close()
    eventually(lambda: session.ended is not None)
    monkeypatch.setattr(session, "check_open", lambda: None)  # it has looked a moment too early
    number, reply = session.requests.begin()
    assert number and reply.ready and reply.fields == ()
    assert not session.reactor.wait(Reply(), 30), "nothing comes any more"


def test_waits_end_with_the_session(bench: Bench) -> None:
    outcomes: list[bool] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(bench.session.wait(Reply(), 30))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    eventually(lambda: bench.session.reactor.is_waited_for)
    bench.node.close()
    for thread in threads:
        thread.join(10)
    assert outcomes == [False] * 3


def test_a_class_that_is_made_as_the_session_ends_is_over(bench: Bench) -> None:
    session = bench.session
    bench.node.close()
    eventually(lambda: session.ended is not None)
    assert session.leases.scheduling_class(b"key", Code(b"f", b"", "f"), {}).over is not None


def test_what_fails_each_tick_is_told_once_and_the_session_goes_on(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    ticks: list[int] = []

    def broken() -> None:
        raise BrokenPipeError("the terminal is closed")

    bench.session.on_tick += [broken, lambda: ticks.append(1)]
    eventually(lambda: len(ticks) > 2)
    assert broken not in bench.session.on_tick and bench.session.ended is None
    assert capsys.readouterr().err.count("BrokenPipeError: the terminal is closed") == 1


def test_what_fails_at_the_end_keeps_nothing_from_ending(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    over = threading.Event()

    def broken() -> None:
        raise ValueError("unregistered already")

    bench.session.on_end += [broken, over.set]
    bench.session.close()
    assert over.is_set() and isinstance(bench.session.ended, SessionError)
    assert "unregistered already" in capsys.readouterr().err


def test_an_interrupted_wait_leaves_nothing_at_what_it_waited_for(bench: Bench) -> None:
    entry = Entry(b"pending", owned=True)
    ref = bench.session.objects.new_ref(entry)

    def interrupt() -> None:
        eventually(lambda: bench.session.reactor.is_waited_for)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        threading.Thread(target=interrupt).start()
        bench.session.reader.wait([ref], 1, 30)
    assert not entry.waiters
