"""Clients of the federation world: what one holds and reads, and what it tells its node of that."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from rustray.model.ids import make_object_id
from rustray.store import actions as act

if TYPE_CHECKING:
    from tests.unit.federation_node import NodeSim
    from tests.unit.federation_process import Task


class Client:
    """Uses what it holds, what it keeps pinned, and what is lent to the task it runs.

    `held`: how many holds its node counts, or will count, for it. `socket`: what it has told its node.
    """

    def __init__(self, node: NodeSim, number: int) -> None:
        self.node = node
        self.world = node.world
        self.number = number
        self.zombie = False
        self.held: Counter[bytes] = Counter()
        self.pins: Counter[bytes] = Counter()
        self.socket: deque[tuple[Any, ...]] = deque()
        self.asked: set[bytes] = set()
        self.readings: dict[bytes, tuple[int, int, int]] = {}
        self.running: Task | None = None
        self.passed: set[bytes] = set()  # contained in values or handed on since
        self.read_out_of: dict[bytes, bytes] = {}  # what it has found in values: in that of which object
        self.numbers = 0

    def __repr__(self) -> str:
        return f"client {self.number & 0xFFFF} of node {self.node.number}"

    def has(self, oid: bytes) -> bool:
        """Whether it may use the object."""
        if self.held[oid] > 0 or self.pins[oid] > 0:
            return True
        task = self.running
        return task is not None and not task.over and oid in task.lent

    def usable(self) -> list[bytes]:
        found = {oid for oid, count in self.held.items() if count > 0}
        if self.running is not None:
            found |= set(self.running.lent)
        return sorted(found)

    def send(self, method: str, *args: Any) -> None:
        self.socket.append((method, *args))

    def flush_one(self) -> None:
        method, *args = self.socket.popleft()
        self.node.do(getattr(self.node.ledger, method)(self.number, *args))

    def new_oid(self) -> bytes:
        self.numbers += 1
        oid = make_object_id(self.number, self.numbers, 0)
        self.world.order[oid] = len(self.world.order)
        return oid

    def some(self, most: int, into: bytes = b"") -> tuple[bytes, ...]:
        """Refs to put into the value of `into`, or to lend. Cycles are never freed: they are not made here."""
        order = self.world.order
        usable = [oid for oid in self.usable() if not into or order[oid] < order[into]]
        count = min(len(usable), self.world.random.randrange(most + 1))
        chosen = tuple(self.world.random.sample(usable, count))
        self.passed.update(chosen)
        return chosen

    # -- the values of others --------------------------------------------------------------------------

    def hand_over(self, other: Client) -> None:
        """As when a caller learns what its worker still uses; only to who has had it from us."""
        usable = self.usable()
        if usable and other is not self and not other.zombie:
            oid = self.world.random.choice(usable)
            self.passed.add(oid)
            other.held[oid] += 1
            self.send("hold_for", other.number, [oid])

    def want(self) -> None:
        free = [oid for oid in self.usable() if oid not in self.asked and oid not in self.readings]
        if free:
            oid = self.world.random.choice(free)
            self.asked.add(oid)
            self.send("want", oid)

    def delivered(self, answer: act.Deliver) -> None:
        oid = answer.oid
        self.world.seen[f"status {min(answer.status, 0)}"] += 1
        if oid not in self.asked or not self.has(oid):
            self.asked.discard(oid)
            if answer.status == act.IN_BLOCK:
                self.send("unread", oid)
            return
        self.asked.discard(oid)
        if answer.status == act.STORE_FULL:
            return
        if answer.status < act.IN_BLOCK:
            return
        tag = answer.payload
        if answer.status == act.IN_BLOCK:
            self.readings[oid] = answer.payload
            tag = self.node.read(*answer.payload)
            assert tag[0] == oid, "somebody else's value"
        if answer.status != 1:
            for content in self.world.contents[tag]:
                self.world.check_alive(content)
                if not self.has(content):
                    self.read_out_of[content] = oid
                    self.held[content] += 1
                    self.send("hold", [content])

    def look_away(self, oid: bytes) -> None:
        if self.readings.pop(oid, None) is not None:
            self.send("unread", oid)

    def release(self, oid: bytes) -> None:
        self.look_away(oid)
        self.asked.discard(oid)
        self.send("release", [oid] * self.held.pop(oid))

    def stop_reading(self) -> None:
        if self.readings:
            self.look_away(self.world.random.choice(sorted(self.readings)))
