"""Ledgers of three nodes, for scenarios: messages arrive at once, unless a test holds them back."""

from __future__ import annotations

from collections import deque
from typing import Any

from rustray.model.ids import make_object_id, node_client
from rustray.store import actions as act
from rustray.store.actions import Action, CreateSegment, Tell
from rustray.store.allocator import MIB
from rustray.store.ledger import Ledger

A1, A2 = node_client(1) + 1, node_client(1) + 2
B1, B2 = node_client(2) + 1, node_client(2) + 2
C1 = node_client(3) + 1
X, Y = make_object_id(A1, 1, 0), make_object_id(A1, 2, 0)
Z = make_object_id(B1, 1, 0)


class Nodes:
    """Three nodes. What comes out of `do`, and out of `settle`, are the actions for clients, by node."""

    def __init__(self, capacity: int = 64 * MIB, of_first: int = 0) -> None:
        self.ledgers = {1: Ledger(of_first or capacity), 2: Ledger(capacity), 3: Ledger(capacity)}
        self.links: dict[tuple[int, int], deque[tuple[Any, ...]]] = {}
        self.told: list[str] = []
        self.found: list[Action] = []
        for number, ledger in self.ledgers.items():
            ledger.federation.join(number, self.ledgers)
        for client in (A1, A2, B1, B2, C1):
            self.do("connect", client)

    def carry_out(self, node: int, actions: list[Action]) -> None:
        ledger = self.ledgers[node]
        for action in actions:
            if isinstance(action, CreateSegment):
                self.carry_out(node, ledger.segment_ready(action.segment))
            elif isinstance(action, Tell):
                self.links.setdefault((node, action.node), deque()).append(action.message)
            elif isinstance(action, act.PullIn):
                source = self.ledgers[action.node]
                assert source.federation.place_for(node, action.oid) is not None
                self.carry_out(node, ledger.federation.pulled(action.oid))
            elif not isinstance(action, act.DropSegment):
                self.found.append(action)
        ledger.sanity_check()

    def do(self, method: str, client: int, *args: Any) -> list[Action]:
        """A client's message, and all that follows."""
        self.late(method, client, *args)
        return self.settle()

    def late(self, method: str, client: int, *args: Any) -> None:
        """A client's message; what nodes tell each other stays on its way."""
        node = client >> 28
        self.carry_out(node, getattr(self.ledgers[node], method)(client, *args))

    def deliver(self, source: int, target: int) -> None:
        """One message that is on its way."""
        message = self.links[source, target].popleft()
        self.told.append(message[0])
        self.carry_out(target, self.ledgers[target].federation.told(source, [message]))

    def settle(self) -> list[Action]:
        while any(self.links.values()):
            for source, target in list(self.links):
                while self.links[source, target]:
                    self.deliver(source, target)
        found, self.found = self.found, []
        return found

    def put(
        self, client: int, oid: bytes, contains: tuple[bytes, ...] = (), holder: int = 0, size: int = 1000
    ) -> list[Action]:
        [grant] = self.do("reserve", client, 7, size)
        assert isinstance(grant, act.Granted)
        place = grant.segment, grant.offset, size
        return self.do("seal", client, oid, *place, contains, holder or client, False)

    def down(self, node: int) -> list[Action]:
        """The node dies, and all others learn of it."""
        del self.ledgers[node]
        self.links = {link: queue for link, queue in self.links.items() if node not in link}
        for number, ledger in self.ledgers.items():
            self.carry_out(number, ledger.federation.down(node))
            self.carry_out(number, ledger.federation.forget(node))
        return self.settle()

    def knows(self, oid: bytes) -> set[int]:
        return {number for number, ledger in self.ledgers.items() if oid in ledger._table.entries}


def hold(
    nodes: Nodes, client: int, oid: bytes, value: Any = "value", contains: tuple[bytes, ...] = ()
) -> None:
    """An object of `client` with a small value."""
    nodes.do("hold", client, [oid])
    nodes.do("declare", client, oid)
    nodes.do("publish", client, oid, 0, value, contains)
