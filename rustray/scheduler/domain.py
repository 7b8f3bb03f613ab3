"""The nodes among which leases of a kind are placed: all of the cluster, or the bundles of a placement group."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rustray.scheduler.records import Node


class Domain:
    """Nodes, and one log of those that got something back, whoever reads it (see `placement`)."""

    def __init__(self) -> None:
        self.nodes: dict[Node, None] = {}
        self._log: list[Node] = []
        self._start = 0  # position in the endless log of _log[0]

    @property
    def position(self) -> int:
        """How far the log goes now."""
        return self._start + len(self._log)

    def add(self, node: Node) -> None:
        self.nodes[node] = None
        self.released(node)

    def remove(self, node: Node) -> None:
        del self.nodes[node]

    def released(self, node: Node) -> None:
        """Note that the node has more open than before."""
        self._log.append(node)
        if len(self._log) > 4 * len(self.nodes) + 64:
            self._start += len(self._log)
            self._log.clear()

    def since(self, position: int) -> list[Node]:
        """The nodes noted since a position; all there are, where that is less or the log does not go back so far."""
        behind = self.position - position
        if position < self._start or behind > len(self.nodes):
            return list(self.nodes)
        return self._log[-behind:] if behind else []
