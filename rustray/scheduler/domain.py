"""The nodes among which leases of a kind are placed: all of the cluster, or the bundles of a placement group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rustray.model.resources import CPU

if TYPE_CHECKING:
    from rustray.scheduler.records import Node


class Domain:
    """Nodes, and two logs of those that got something back (see `placement`): of all of them, and of those that
    have CPUs open. In a full cluster the second is short, and most shapes need no other."""

    def __init__(self) -> None:
        self.nodes: dict[Node, None] = {}
        self.order: list[Node] = []
        self.all = ReleaseLog(self.nodes)
        self.with_cpus = ReleaseLog(self.nodes)

    def add(self, node: Node) -> None:
        self.nodes[node] = None
        self.order.append(node)
        self.released(node)

    def remove(self, node: Node) -> None:
        del self.nodes[node]
        self.order.remove(node)

    def released(self, node: Node) -> None:
        """Note that the node has more open than before."""
        self.all.note(node)
        if node.open.get(CPU, 0) > 0:
            self.with_cpus.note(node)


class ReleaseLog:
    """Nodes in the order in which they got something back. It forgets; who was away for too long is told all."""

    def __init__(self, nodes: dict[Node, None]) -> None:
        self._nodes = nodes
        self._log: list[Node] = []
        self._start = 0  # position in the endless log of _log[0]

    @property
    def position(self) -> int:
        """How far the log goes now."""
        return self._start + len(self._log)

    def note(self, node: Node) -> None:
        self._log.append(node)
        if len(self._log) > 4 * len(self._nodes) + 64:
            self._start += len(self._log)
            self._log.clear()

    def since(self, position: int) -> list[Node]:
        """The nodes noted since a position; all there are, where that is less or the log does not go back so far."""
        behind = self.position - position
        if position < self._start or behind > len(self._nodes):
            return list(self._nodes)
        return self._log[-behind:] if behind else []
