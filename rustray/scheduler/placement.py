"""Where a lease goes: the least loaded node that fits, found without looking at all nodes.

Rule 1. Each shape keeps a queue of candidate nodes by load. Taking from a node only makes it worse, so its
        stale entry is put right when it comes to the top.
Rule 2. A node that gets something back is noted in one log, whatever shapes there are. A shape reads the
        log from where it stopped last. So a release costs O(1), a placement O(log nodes) amortized.
Rule 3. A shape that has fallen behind by more entries than there are nodes starts anew from all nodes.
"""

from __future__ import annotations

from collections.abc import Mapping

from rustray.model.resources import Resources
from rustray.scheduler.records import Node, Shape, capacity


class Nodes:
    """The nodes of the cluster, their sums, and the search for a fitting one."""

    def __init__(self) -> None:
        self.by_name: dict[str, Node] = {}
        self.total = Resources()
        self._log: list[Node] = []
        self._start = 0  # position in the endless log of _log[0]
        self._joined = 0

    def add(self, name: str, total: Resources, labels: Mapping[str, str]) -> Node:
        self._joined += 1
        whole = capacity(total)
        node = Node(name, self._joined, whole, dict(labels), free=dict(whole), open=dict(whole))
        self.by_name[name] = node
        self.total += whole
        self.released(node)
        return node

    def remove(self, node: Node) -> None:
        del self.by_name[node.name]
        node.gone = True
        self.total -= node.total

    def released(self, node: Node) -> None:
        """Note that the node has more open than before."""
        self._log.append(node)
        if len(self._log) > 4 * len(self.by_name) + 64:
            self._start += len(self._log)
            self._log.clear()

    def best(self, shape: Shape) -> Node | None:
        """The least loaded node on which the shape fits now."""
        request, queue = shape.request, shape.nodes
        behind = self._start + len(self._log) - shape.read
        if behind:
            stale = shape.read < self._start or behind > len(self.by_name)
            for node in self.by_name.values() if stale else self._log[-behind:]:
                if request.fits(node.open) and admits(shape, node):
                    queue.put(node, node.load())
            shape.read = self._start + len(self._log)
        while (node_ := queue.first()) is not None:
            if node_.gone or node_.draining or not request.fits(node_.open):
                queue.discard(node_)
                continue
            load = node_.load()
            if queue.rank(node_) == load:
                return node_
            queue.put(node_, load)
        return None

    def count_hosts(self, shape: Shape) -> None:
        shape.hosts = sum(admits(shape, node) for node in self.by_name.values())

    def closest(self, request: Resources) -> tuple[Resources, Resources]:
        """(missing, have) of the node that lacks the fewest resources for a request that fits nowhere."""
        best: tuple[tuple[int, float], Resources, Resources] | None = None
        for node in self.by_name.values():
            missing = request.missing(node.total)
            distance = len(missing), sum(units / request[name] for name, units in missing.items())
            if best is None or distance < best[0]:
                best = distance, missing, node.total
        return (best[1], best[2]) if best else (request, Resources())


def admits(shape: Shape, node: Node) -> bool:
    """Whether the node would run the shape if it were empty."""
    return not node.draining and shape.request.fits(node.total)


def dominant_share(usage: Mapping[str, int], cluster: Mapping[str, int]) -> float:
    """The largest fraction of any one of the cluster's resources that `usage` takes.

    Dominant resource fairness: Ghodsi et al., NSDI 2011.
    """
    share = 0.0
    for name, units in usage.items():
        if units > 0:
            part = units / cluster[name] if cluster.get(name) else 1.0
            if part > share:
                share = part
    return share
