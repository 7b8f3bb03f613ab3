"""A seeded storm on the ledger: clients that keep the reference rules, sockets that overtake each other,
deaths in the middle of a message, a disk and a shared memory that fail. After each message nothing may
contradict itself, no reader's block may change, and at the end nothing may be left."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

import pytest

from rustray.store import actions as act
from rustray.store.allocator import MIB, PAGE
from rustray.store.errors import InvalidRequest
from rustray.store.ledger import Ledger


class Node:
    """A shell without I/O. Memory and files hold the id of the object that was written there."""

    def __init__(self, random: Random, capacity: int) -> None:
        self.random = random
        self.ledger = Ledger(capacity)
        self.clients: dict[int, Process] = {}
        self.memory: dict[tuple[int, int], bytes] = {}  # (segment, page): what is in it
        self.files: dict[str, bytes] = {}
        self.segments: set[int] = set()
        self.jobs: list[Callable[[], list[act.Action]]] = []  # I/O under way
        self.seen: Counter[str] = Counter()
        self.numbers = 0

    def connect(self) -> Process:
        self.numbers += 1
        client = self.clients[self.numbers] = Process(self, self.numbers)
        self.do(self.ledger.connect(client.number))
        return client

    def write(self, segment: int, offset: int, size: int, tag: bytes) -> None:
        assert segment in self.segments
        for page in range(offset // PAGE, -(-(offset + size) // PAGE)):
            self.memory[segment, page] = tag

    def read(self, segment: int, offset: int, size: int) -> set[bytes]:
        assert segment in self.segments
        pages = range(offset // PAGE, -(-(offset + size) // PAGE))
        return {self.memory[segment, page] for page in pages}

    def do(self, actions: list[act.Action]) -> None:
        for action in actions:
            self.seen[type(action).__name__] += 1
            getattr(self, "on_" + type(action).__name__)(action)
        self.ledger.sanity_check()
        for client in self.clients.values():
            for oid, location in client.readings:
                assert self.read(*location) == {oid}, "a block changed under its reader"

    def on_CreateSegment(self, action: act.CreateSegment) -> None:
        def job() -> list[act.Action]:
            if self.random.random() < 0.1:
                return self.ledger.segment_failed(action.segment, "no shared memory")
            self.segments.add(action.segment)
            return self.ledger.segment_ready(action.segment)

        self.jobs.append(job)

    def on_DropSegment(self, action: act.DropSegment) -> None:
        self.segments.remove(action.segment)

    def on_SpillOut(self, action: act.SpillOut) -> None:
        def job() -> list[act.Action]:
            if self.random.random() < 0.1:
                return self.ledger.spill_failed(action.oid, "no disk")
            assert self.read(action.segment, action.offset, action.size) == {action.oid}
            self.numbers += 1
            path = f"file {self.numbers}"
            self.files[path] = action.oid
            return self.ledger.spilled(action.oid, path)

        self.jobs.append(job)

    def on_RestoreIn(self, action: act.RestoreIn) -> None:
        def job() -> list[act.Action]:
            if self.random.random() < 0.1:
                return self.ledger.restore_failed(action.oid, "bad file")
            self.write(action.segment, action.offset, action.size, self.files[action.path])
            return self.ledger.restored(action.oid)

        self.jobs.append(job)

    def on_DropSpill(self, action: act.DropSpill) -> None:
        del self.files[action.path]

    def on_Granted(self, action: act.Granted) -> None:
        self.clients[action.client].granted(action)

    def on_Short(self, action: act.Short) -> None:
        def job() -> list[act.Action]:
            outlook = self.ledger.outlook(action.oid)
            return self.ledger.give_up(action.oid) if outlook is not None and outlook.hopeless else []

        self.jobs.append(job)

    def on_Delayed(self, action: act.Delayed) -> None:
        self.jobs.append(lambda: self.ledger.refuse(action.client, action.request))

    def on_Full(self, action: act.Full) -> None:
        self.clients[action.client].requests.pop(action.request)

    def on_Deliver(self, action: act.Deliver) -> None:
        client = self.clients[action.client]
        client.wants.remove(action.oid)
        self.seen[f"status {min(action.status, 0)}"] += 1
        if action.status == act.IN_BLOCK:
            client.readings.append((action.oid, action.payload))

    def on_Freed(self, action: act.Freed) -> None:
        client = self.clients[action.owner]
        for oid in action.oids:
            client.pending.discard(oid)

    def on_Recover(self, action: act.Recover) -> None:
        self.clients[action.owner].to_recover.append(action.oid)


class Process:
    """A client that keeps the rules. `socket` holds what it has sent and the node has not read yet."""

    def __init__(self, node: Node, number: int) -> None:
        self.node = node
        self.number = number
        self.socket: deque[Callable[[], list[act.Action]]] = deque()
        self.refs: Counter[bytes] = Counter()  # how many holds it owes a release for
        self.wants: list[bytes] = []
        self.readings: list[tuple[bytes, Any]] = []
        self.pending: set[bytes] = set()
        self.requests: dict[int, tuple[bytes, tuple[bytes, ...], int]] = {}
        self.to_recover: list[bytes] = []

    def send(self, method: str, *args: Any) -> None:
        self.socket.append(lambda: getattr(self.node.ledger, method)(self.number, *args))

    def new_oid(self) -> bytes:
        self.node.numbers += 1
        return self.number.to_bytes(6, "big") + self.node.numbers.to_bytes(10, "big")

    def older_refs(self, oid: bytes) -> tuple[bytes, ...]:
        """What the value of `oid` may contain: without a cycle, as with values that are made once."""
        random = self.node.random
        refs = [ref for ref in self.refs if ref[6:] < oid[6:]]
        return tuple(random.sample(refs, min(len(refs), random.choice([0, 0, 1, 2]))))

    def put(self, oid: bytes, holder: int) -> None:
        random = self.node.random
        size = random.choice([random.randrange(1, 30), random.randrange(30, 80)]) * PAGE - random.randrange(
            99
        )
        self.node.numbers += 1
        number = self.node.numbers
        self.requests[number] = (oid, self.older_refs(oid), holder)
        self.send("reserve", number, size)

    def granted(self, grant: act.Granted) -> None:
        oid, contains, holder = self.requests.pop(grant.request)
        if self.node.random.random() < 0.1:
            self.send("abandon", grant.segment, grant.offset)
            return
        contains = tuple(ref for ref in contains if ref in self.refs)  # it may have dropped them meanwhile
        self.node.write(grant.segment, grant.offset, grant.size, oid)
        self.send("seal", oid, grant.segment, grant.offset, grant.size, contains, holder, False)
        if holder in self.node.clients:
            self.node.clients[holder].refs[oid] += 1  # by the answer, on the lease socket

    def promise(self) -> None:
        oid = self.new_oid()
        self.refs[oid] += 1
        self.pending.add(oid)
        self.send("hold", [oid])
        self.send("declare", oid)

    def fulfil(self) -> None:
        if self.pending:
            oid = self.node.random.choice(sorted(self.pending))
            self.pending.discard(oid)
            self.send("publish", oid, 0, "value", self.older_refs(oid))

    def recover(self) -> None:
        if self.to_recover:
            oid = self.to_recover.pop()
            if self.node.random.random() < 0.5:
                self.send("publish", oid, 1, "cannot", ())
            else:
                self.put_again(oid)

    def put_again(self, oid: bytes) -> None:
        """A block that the ledger refuses or that is abandoned must not leave its waiters alone."""
        self.send("publish", oid, 0, "again", ())

    def hand_over(self, other: Process) -> None:
        if self.refs:
            oid = self.node.random.choice(sorted(self.refs))
            other.refs[oid] += 1  # by the lease socket, so it may act on it before the node knows
            self.send("hold_for", other.number, [oid])

    def drop(self) -> None:
        if self.refs:
            oid = self.node.random.choice(sorted(self.refs))
            if oid in self.wants:
                return
            self.unread_all(oid)
            self.send("release", [oid] * self.refs.pop(oid))

    def unread_all(self, oid: bytes) -> None:
        for reading in [reading for reading in self.readings if reading[0] == oid]:
            self.readings.remove(reading)
            self.send("unread", oid)

    def want(self) -> None:
        free = sorted(set(self.refs) - set(self.wants))
        if free:
            oid = self.node.random.choice(free)
            self.wants.append(oid)
            self.send("want", oid)

    def look_away(self) -> None:
        if self.readings:
            oid, location = self.readings.pop(self.node.random.randrange(len(self.readings)))
            self.send("unread", oid)


def step(node: Node) -> None:
    random = node.random
    client = random.choice(list(node.clients.values()))
    other = random.choice(list(node.clients.values()))
    what = random.random()
    if what < 0.45:
        if client.socket:
            node.do(client.socket.popleft()())
    elif what < 0.60:
        if node.jobs:
            node.do(node.jobs.pop(random.randrange(len(node.jobs)))())
    elif what < 0.67:
        client.put(client.new_oid(), client.number)
    elif what < 0.68 and client is not other:
        # `other` submits a task whose result `client` seals, unless that fails: then `other` publishes.
        oid = other.new_oid()
        other.refs[oid] += 1
        other.send("hold", [oid])
        other.send("declare", oid)
        client.put(oid, other.number)
        other.pending.add(oid)
    elif what < 0.70:
        client.promise()
    elif what < 0.73:
        client.fulfil()
        client.recover()
    elif what < 0.80:
        if client is not other:
            client.hand_over(other)
    elif what < 0.88:
        client.drop()
    elif what < 0.94:
        client.want()
    elif what < 0.98:
        client.look_away()
    elif what < 0.985:
        if client.refs:
            with suppress(InvalidRequest):  # somebody reads it
                node.do(node.ledger.lose(random.choice(sorted(client.refs))))
    elif what < 0.99:
        node.do(node.ledger.trim(random.randrange(4 * MIB)))
    elif what < 0.993 and len(node.clients) > 2:
        die(node, client)
    elif len(node.clients) < 6:
        node.connect()


def die(node: Node, client: Process) -> None:
    """The node reads what had been sent (a socket keeps it), and then the end of the socket."""
    while client.socket:
        node.do(client.socket.popleft()())
    del node.clients[client.number]
    node.do(node.ledger.disconnect(client.number))


def drain(node: Node) -> None:
    while node.jobs or any(client.socket for client in node.clients.values()):
        for client in list(node.clients.values()):
            client.recover()
            while client.socket:
                node.do(client.socket.popleft()())
        while node.jobs:
            node.do(node.jobs.pop()())
    if any(client.to_recover for client in node.clients.values()):
        for client in node.clients.values():
            client.recover()
        drain(node)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_all_is_answered_and_all_is_freed(seed: int) -> None:
    node = Node(Random(seed), capacity=4 * MIB)
    for _ in range(3):
        node.connect()
    for _ in range(6000):
        step(node)
    for client in node.clients.values():
        while client.pending:
            client.fulfil()
    drain(node)
    for client in node.clients.values():
        assert not client.wants, "a want was never answered"
        assert not client.requests, "a request was never answered"
        for oid in list(client.refs):
            client.unread_all(oid)
            client.send("release", [oid] * client.refs.pop(oid))
    drain(node)
    stats = node.ledger.stats()
    assert stats["objects"] == stats["used"] == stats["reserved"] == stats["spilled_bytes"] == 0
    assert not node.files
    node.do(node.ledger.trim(0))
    assert not node.segments and node.ledger.stats()["segments"] == 0
    kinds = {"Granted", "Full", "SpillOut", "RestoreIn", "DropSpill", "DropSegment", "Freed", "Deliver"}
    assert kinds <= node.seen.keys(), "the storm was too mild"
