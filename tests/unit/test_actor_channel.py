"""The channel of a caller to an actor, with fakes around it."""

from __future__ import annotations

import socket
import threading
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from rustray.driver.actor_channel import ActorChannel
from rustray.driver.entry import VALUE
from rustray.wire.frames import Connection, ConnectionClosed, Message
from rustray.wire.page import LeasePage, new_page

ACTOR, FIRST, SECOND = b"actor", 7, 8


class Reactor:
    """Remembers the handlers; a test calls them."""

    shield = nullcontext()

    def __init__(self) -> None:
        self.closed: list[Any] = []

    def add(self, connection: Connection, on_messages: Any, on_closed: Any) -> None:
        self.closed.append(on_closed)

    def remove(self, connection: Connection) -> None:
        connection.close()


class Bench:
    def __init__(self) -> None:
        self.said: list[Message] = []
        self.done: list[int] = []
        self.reactor = Reactor()
        actors = SimpleNamespace(
            lock=threading.RLock(),
            reactor=self.reactor,
            tell=self.said.append,
            tasks=SimpleNamespace(take_value=lambda task, _value: self.done.append(task.number)),
            session=SimpleNamespace(objects=SimpleNamespace(unpin=lambda _entries: None)),
        )
        handle = {"name": "A", "concurrent": False, "methods": {}}
        self.channel = ActorChannel(actors, SimpleNamespace(id=ACTOR, count=1), handle)  # type: ignore[arg-type]

    def call(self, number: int) -> None:
        task = SimpleNamespace(
            number=number,
            cancelled=False,
            missing=0,
            weight=1,
            where=None,
            retries=-1,
            function="work",
            submitted=0.0,
            message=lambda: number,
        )
        self.channel.enqueue(task)  # type: ignore[arg-type]
        self.channel.pump()

    def up(self, worker: int) -> Connection:
        """The actor is up; its end."""
        ours, theirs = socket.socketpair()
        self.channel.on_channel(worker, Connection(ours), LeasePage.received(new_page()))
        return Connection(theirs)


def test_calls_wait_for_the_actor_and_for_its_successor() -> None:
    bench = Bench()
    bench.call(1)
    assert bench.said == [("connect_actor", ACTOR, 0)]
    first = bench.up(FIRST)
    assert first.receive() == [("run", [1])]
    first.close()
    bench.reactor.closed[0]()
    assert bench.said[1:] == [("connect_actor", ACTOR, FIRST)]
    assert bench.up(SECOND).receive() == [("run", [1])]


def test_the_successor_is_up_before_the_end_of_the_first_is_read() -> None:
    bench = Bench()
    first = bench.up(FIRST)
    bench.call(1)
    bench.call(2)
    first.send([("done", [(1, VALUE, b"")], 0.0)])
    first.close()
    second = bench.up(SECOND)
    assert bench.done == [1]
    assert second.receive() == [("run", [2])]
    bench.reactor.closed[0]()  # now it is read, too late to matter
    assert bench.channel.connected and list(bench.channel.in_flight) == [2]
    assert bench.said == []


def test_the_last_answer_ends_the_last_handle_as_the_successor_comes() -> None:
    bench = Bench()
    first = bench.up(FIRST)
    bench.call(1)
    session: Any = bench.channel._actors.session
    session.objects.unpin = lambda _entries: bench.channel.leave()  # as when nobody has a handle any more
    first.send([("done", [(1, VALUE, b"")], 0.0)])
    first.close()
    second = bench.up(SECOND)
    assert bench.done == [1] and not bench.channel.connected
    with pytest.raises(ConnectionClosed):
        second.receive()
