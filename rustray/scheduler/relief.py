"""Nodes that are to have fewer leases: those that leave, and those on which more workers woke than there are CPUs."""

from __future__ import annotations

from rustray.scheduler import reclaim
from rustray.scheduler.leases import LeaseBook
from rustray.scheduler.orders import Orders
from rustray.scheduler.records import Node
from rustray.scheduler.terms import TURN


class Relief:
    """Asks leases of such nodes back, at each tick, until it is put right."""

    def __init__(self, book: LeaseBook, orders: Orders) -> None:
        self._book = book
        self._orders = orders
        self._overcommitted: dict[Node, float] = {}  # since when
        self._draining: dict[Node, None] = {}

    def drain(self, node: Node) -> None:
        """The node is to leave: all that may be asked for on it, and in bundles on it, is asked back."""
        self._draining[node] = None
        self._empty(node)

    def note_woken(self, node: Node) -> None:
        """A worker woke there, or was found there."""
        if min(node.free.values(), default=0) < 0:
            self._overcommitted.setdefault(node, self._book.now)

    def forget(self, node: Node) -> None:
        """The node is gone."""
        self._overcommitted.pop(node, None)
        self._draining.pop(node, None)

    def tick(self) -> None:
        """Workers that wake only to wait again would make leases come and go, so of nodes with too many awake only
        what lasts is put right."""
        for node in self._draining:
            self._empty(node)
        for node, since in list(self._overcommitted.items()):
            if min(node.free.values()) >= 0:
                del self._overcommitted[node]
            elif self._book.now - since >= TURN:
                for lease in reclaim.relieve(node):
                    self._orders.revoke(lease, "more workers awake than CPUs")

    def _empty(self, node: Node) -> None:
        bundles = [bundle for bundle in self._book.nodes.bundles if bundle.host is node]
        for at in [node, *bundles]:
            for lease in list(at.leases.values()):
                if lease.revocable:
                    self._orders.revoke(lease, "its node is to leave")
