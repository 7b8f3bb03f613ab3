"""Pulling bytes from node to node: damaged, cut, refused, in turns; and two store services that do it for objects."""

from __future__ import annotations

import asyncio
import gc
import os
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rustray.driver.entry import BLOCK, ERROR, VALUE
from rustray.errors import RustRayError
from rustray.model.ids import make_object_id, node_client
from rustray.node import transfer
from rustray.node.store import StoreService
from rustray.node.transfer import CHUNK_BYTES, Puller, Source
from rustray.wire.frames import Message

X = b"x" * 16


class End:
    """One end of a channel whose messages arrive when the loop turns next."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.backlog = 0
        self.closed = False
        self.intact = False
        self.other: End
        self.on_messages: Callable[[list[Message]], None] = lambda _messages: None
        self.on_closed: Callable[[str], None] = lambda _reason: None
        self.on_drained: Callable[[], None] = lambda: None
        self.alter: Callable[[Message], Message | None] = lambda message: message

    def send(self, *messages: Message) -> None:
        size = sum(len(field) for message in messages for field in message if isinstance(field, bytes))
        self.backlog += size
        self.loop.call_soon(self._arrive, messages, size)

    def _arrive(self, messages: tuple[Message, ...], size: int) -> None:
        self.backlog -= size
        if not self.backlog:
            self.on_drained()
        for message in messages:
            altered = self.alter(message)
            if altered is not None and not self.other.closed and not self.closed:
                self.other.on_messages([altered])

    def close(self, reason: str = "") -> None:
        if not self.closed:
            self.closed = True
            self.loop.call_soon(self.other._on_end, reason)

    def _on_end(self, reason: str) -> None:
        if not self.closed:
            self.closed = True
            self.on_closed(reason)


def pair(loop: asyncio.AbstractEventLoop) -> tuple[Any, Any]:
    one, two = End(loop), End(loop)
    one.other, two.other = two, one
    return one, two


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


class Way:
    """A source and a puller. `value` is what the source has; `found` what has arrived."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tmp_path: Path, size: int) -> None:
        self.loop = loop
        self.value = os.urandom(size)
        self.there = os.open(tmp_path / "there", os.O_RDWR | os.O_CREAT)
        os.pwrite(self.there, b"before" + self.value, 0)
        self.here = os.open(tmp_path / "here", os.O_RDWR | os.O_CREAT)
        self.has = True
        self.ends: list[Any] = []
        self.dials = 0
        self.refuse = 0
        self.intact = False
        self.outcomes: dict[bytes, str | None] = {}
        self.done = loop.create_future()
        self.sent: list[Message] = []
        self.alter: Callable[[Message], Message | None] = lambda message: message
        self.puller = Puller(loop, self.dial, self.finished)

    async def dial(self) -> Any:
        self.dials += 1
        if self.refuse:
            self.refuse -= 1
            raise RustRayError("nobody there")
        ours, theirs = pair(self.loop)
        theirs.intact = self.intact
        Source(theirs, lambda oid: (self.there, 6, len(self.value)) if self.has else None)
        theirs.alter = self.see
        self.ends.append(theirs)
        return ours

    def see(self, message: Message) -> Message | None:
        self.sent.append(message)
        return self.alter(message)

    def finished(self, oid: bytes, text: str | None) -> None:
        self.outcomes[oid] = text
        if not self.done.done():
            self.done.set_result(text)

    def pull(self) -> str | None:
        self.puller.pull(X, (self.here, 3, len(self.value)))
        return self.loop.run_until_complete(asyncio.wait_for(self.done, 10))

    def arrived(self) -> bool:
        return os.pread(self.here, len(self.value) + 1, 3) == self.value

    def close(self) -> None:
        self.puller.abandon()
        os.close(self.there)
        os.close(self.here)


@pytest.fixture
def way(loop: asyncio.AbstractEventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Way]:
    monkeypatch.setattr(transfer, "RETRY_S", (0.001,))
    made = Way(loop, tmp_path, 3 * CHUNK_BYTES + 17)
    yield made
    made.close()


def test_all_of_it_arrives(way: Way) -> None:
    assert way.pull() is None
    assert way.arrived() and len(way.sent) == 4


def test_a_damaged_piece_is_sent_again(way: Way) -> None:
    damaged: list[int] = []

    def alter(message: Message) -> Message:
        if message[0] == "chunk" and message[2] == CHUNK_BYTES and not damaged:
            damaged.append(message[1])
            return (*message[:4], b"?" + message[4][1:])
        return message

    way.alter = alter
    assert way.pull() is None
    assert way.arrived() and damaged


def test_where_the_way_vouches_for_the_bytes_no_checksum_is_made(way: Way) -> None:
    way.intact = True
    assert way.pull() is None
    assert way.arrived() and {message[3] for message in way.sent} == {None}


def test_it_ends_when_all_comes_damaged(way: Way) -> None:
    way.alter = lambda message: (*message[:3], 0, *message[4:])
    text = way.pull()
    assert text is not None and "damaged" in text


def test_a_cut_pull_goes_on_where_it_was(way: Way) -> None:
    def alter(message: Message) -> Message | None:
        if message[0] == "chunk" and message[2] == CHUNK_BYTES and way.dials == 1:
            way.ends[0].close("cut")
            return None
        return message

    way.alter = alter
    assert way.pull() is None
    assert way.arrived() and way.dials == 2
    assert [message[2] for message in way.sent].count(0) == 1


def test_a_node_that_cannot_be_reached_is_tried_again(way: Way) -> None:
    way.refuse = 2
    assert way.pull() is None
    assert way.dials == 3


def test_in_the_end_it_is_given_up(way: Way) -> None:
    way.refuse = 99
    text = way.pull()
    assert text is not None and "nobody there" in text


def test_what_the_source_does_not_have(way: Way) -> None:
    way.has = False
    assert way.pull() == "the node has no such object for us"


def test_objects_take_turns(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "AHEAD_BYTES", 1)
    way.puller.pull(b"y" * 16, (way.here, 3, len(way.value)))
    assert way.pull() is None
    numbers = [message[1] for message in way.sent if message[0] == "chunk"]
    assert numbers[1:5] == [1, 2, 1, 2]


def test_nothing_comes_from_a_node_that_is_gone(way: Way) -> None:
    way.puller.pull(X, (way.here, 3, len(way.value)))
    way.alter = lambda message: message if message[2] == 0 else None
    way.loop.run_until_complete(asyncio.sleep(0.01))  # that no more comes cannot be awaited
    way.puller.close("its node is gone")
    way.loop.run_until_complete(asyncio.sleep(0.01))  # as above
    assert way.outcomes == {X: "its node is gone"} and not way.arrived()


# Two services


class FakeNeighbours:
    """The ordered stream between services of one loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, number: int, others: dict[int, FakeNeighbours]
    ) -> None:
        self.number = number
        self.handlers: dict[str, Callable[..., None]] = {}
        self.on_down: list[Callable[[int], None]] = []
        self._loop = loop
        self._others = others
        self._queue: deque[tuple[int, Message]] = deque()
        others[number] = self

    def is_down(self, node: int) -> bool:
        return node not in self._others

    def send(self, node: int, *messages: Message) -> None:
        for message in messages:
            self._loop.call_soon(self._deliver, node, message)

    def _deliver(self, node: int, message: Message) -> None:
        other = self._others.get(node)
        if other is not None:
            op, *fields = message
            other.handlers[op](self.number, *fields)


class Services:
    """Store services of nodes 1 and 2, each with one client."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tmp_path: Path) -> None:
        self.loop = loop
        self.neighbours: dict[int, FakeNeighbours] = {}
        self.services: dict[int, StoreService] = {}
        self.inbox: dict[int, list[Message]] = {}
        for number in (1, 2):
            FakeNeighbours(loop, number, self.neighbours)
        for number in (1, 2):
            service = StoreService(loop, 8 << 20, str(tmp_path / f"spill{number}"), self.send)
            service.join(number, self.neighbours[number], [1, 2], self.dial)  # type: ignore[arg-type]
            self.services[number] = service
            service.connect(self.client(number))

    def client(self, number: int) -> int:
        return node_client(number) + 1

    def send(self, client: int, *messages: Message, fds: Any = ()) -> None:
        self.inbox.setdefault(client, []).extend(messages)

    async def dial(self, node: int, hello: Message) -> Any:
        ours, theirs = pair(self.loop)
        self.services[node].serve(theirs, hello)
        return ours

    def say(self, number: int, op: str, *fields: Any) -> None:
        self.services[number].handlers[op](self.client(number), *fields)

    def hear(self, number: int, op: str) -> Message:
        """Wait for the next message of that kind to the client."""

        async def wait() -> Message:
            while True:
                for message in self.inbox.get(self.client(number), []):
                    if message[0] == op:
                        self.inbox[self.client(number)].remove(message)
                        return message
                await asyncio.sleep(0.005)

        return self.loop.run_until_complete(asyncio.wait_for(wait(), 10))

    def put(self, number: int, oid: bytes, value: bytes, holder: int) -> None:
        self.say(number, "alloc", 1, len(value))
        _op, _request, segment, offset, _size = self.hear(number, "block")
        os.pwrite(self.services[number]._segments[segment][0], value, offset)
        self.say(number, "seal", oid, segment, offset, len(value), [], holder)

    def read(self, number: int, location: tuple[int, int, int]) -> bytes:
        segment, offset, size = location
        return os.pread(self.services[number]._segments[segment][0], size, offset)

    def rest(self) -> None:
        """Let what is under way arrive; that no more comes cannot be awaited."""
        self.loop.run_until_complete(asyncio.sleep(0.05))

    def objects(self) -> list[int]:
        return [service.ledger.stats()["objects"] for service in self.services.values()]


@pytest.fixture
def services(loop: asyncio.AbstractEventLoop, tmp_path: Path) -> Iterator[Services]:
    made = Services(loop, tmp_path)
    yield made
    for service in made.services.values():
        service.close()


def test_a_result_of_another_node_is_read_and_goes(services: Services) -> None:
    oid = make_object_id(services.client(1), 1, 0)
    value = os.urandom(2_500_000)
    services.put(2, oid, value, services.client(1))
    services.say(1, "want", oid)
    op, got, status, location = services.hear(1, "object")
    assert (op, got, status) == ("object", oid, BLOCK)
    assert services.read(1, location) == value
    services.say(1, "unread", oid)
    services.say(1, "release", [oid])
    assert services.hear(1, "freed") == ("freed", [oid])
    services.rest()
    assert services.objects() == [0, 0]


def test_small_values_travel_in_messages(services: Services) -> None:
    oid = make_object_id(services.client(1), 1, 0)
    services.say(1, "hold", [oid])
    services.say(1, "declare", oid)
    services.say(1, "hold_for", services.client(2), [oid])
    services.say(2, "want", oid)
    services.say(1, "publish", oid, VALUE, b"value", [])
    assert services.hear(2, "object") == ("object", oid, VALUE, b"value")


def test_a_copy_is_pulled_from_disk(services: Services) -> None:
    oid, other = (make_object_id(services.client(1), number, 0) for number in (1, 2))
    value = os.urandom(5 << 20)
    services.put(1, oid, value, services.client(1))
    services.say(1, "unread", oid)
    services.put(1, other, os.urandom(5 << 20), services.client(1))
    services.say(1, "unread", other)
    assert services.services[1].ledger.stats()["spilled"] == 1
    services.say(2, "want", oid)
    _op, _oid, status, location = services.hear(2, "object")
    assert status == BLOCK and services.read(2, location) == value


def test_readers_learn_that_the_home_is_gone(services: Services) -> None:
    oid = make_object_id(services.client(1), 1, 0)
    services.say(1, "hold", [oid])
    services.say(1, "declare", oid)
    services.say(2, "want", oid)
    services.rest()
    del services.neighbours[1]
    for call in services.neighbours[2].on_down:
        call(1)
    assert services.hear(2, "object")[:3] == ("object", oid, ERROR)


def test_a_dial_that_is_given_up_hangs_up_though_nobody_knows_its_puller_any_more(
    loop: asyncio.AbstractEventLoop,
) -> None:
    troubles: list[Any] = []
    loop.set_exception_handler(lambda _loop, context: troubles.append(context["message"]))
    hanging_up = weakref.WeakSet[asyncio.Future[None]]()

    async def dial() -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            hanging_up.add(answer := loop.create_future())
            await answer

    puller = Puller(loop, dial, lambda _oid, _trouble: None)
    puller.pull(X, (0, 0, 1))
    loop.run_until_complete(asyncio.sleep(0))
    puller.abandon()
    del puller
    loop.run_until_complete(asyncio.sleep(0))
    gc.collect()
    (answer,) = hanging_up
    answer.set_result(None)
    loop.run_until_complete(asyncio.sleep(0))
    assert troubles == [] and not asyncio.all_tasks(loop)
