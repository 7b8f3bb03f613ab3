"""Other nodes, as the ledger of this one knows them: those that are up, and dead ones that something still refers to.

Rule 1. A node's number is never given twice, and numbers count up. So whoever has a lower one than we, and was not up
        when we joined, is down, and nobody will tell us so.
Rule 2. A dead node is known while an object of it, a copy of it, or what it may have handed on (`forget`) is here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .entries import Client, Node

GONE_KEPT = 10_000
"""Numbers of dead nodes that are remembered, as by `node.neighbours`."""


class Nodes:
    """Other nodes by number.

    Parameters
    ----------
    clients: of the ledger; a node that is up is one of them.

    Attributes
    ----------
    own: the number of this node; 0 as long as there are no others.
    """

    def __init__(self, clients: dict[int, Client]) -> None:
        self.own = 0
        self._clients = clients
        self._older: frozenset[int] = frozenset()
        self._known: dict[int, Node] = {}
        self._gone: dict[int, None] = {}
        self._doubtful: list[Node] = []
        self.doubt = self._doubtful.append

    def join(self, own: int, others: Iterable[int]) -> None:
        """This node has a number now; `others` are up."""
        self.own = own
        self._older = frozenset(others)

    def peer(self, number: int) -> Node:
        """Another node, as a client."""
        node = self._known.get(number)
        if node is None:
            node = self._known[number] = Node(number)
            node.down = number in self._gone or (number < self.own and number not in self._older)
            if node.down:
                self.doubt(node)
            else:
                self._clients[node.client] = node
        return node

    def __getitem__(self, number: int) -> Node:
        return self._known[number]

    def __iter__(self) -> Iterator[Node]:
        return iter(self._known.values())

    def bury(self, node: Node) -> None:
        """It is gone for good."""
        node.down = True
        self._gone[node.number] = None
        if len(self._gone) > GONE_KEPT:
            del self._gone[next(iter(self._gone))]

    def settle(self) -> None:
        """Forget those in doubt that are dead, and that nothing refers to."""
        for node in self._doubtful:
            referred = node.homed or node.pulls or node.copies or node.client in self._clients
            if node.down and not referred and self._known.get(node.number) is node:
                del self._known[node.number]
        self._doubtful.clear()
