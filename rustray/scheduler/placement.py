"""Where a lease goes: the least loaded node that fits, found without looking at all nodes.

Rule 1. Each shape keeps a queue of candidate nodes by rank. Taking from a node only makes it worse, so its
        stale entry is put right when it comes to the top.
Rule 2. A node that gets something back is noted in the log of its domain, whatever shapes there are. A shape reads
        the log from where it stopped last. So a release costs O(1), a placement O(log nodes) amortized.
Rule 3. A shape that has fallen behind by more entries than there are nodes starts anew from all nodes.
Rule 4. A constraint narrows the choice first; what is asked of one node is answered by that node alone. The bundles
        of a placement group are nodes of a domain of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from rustray.model import labels as label_rules
from rustray.model.resources import Resources
from rustray.scheduler.constraints import ANY_BUNDLE, ANYWHERE, Constraint
from rustray.scheduler.domain import Domain
from rustray.scheduler.queues import Rank
from rustray.scheduler.records import Node, Shape, capacity, visible


class Nodes:
    """The nodes of the cluster, their sums, and the search for a fitting one."""

    def __init__(self) -> None:
        self.by_name: dict[str, Node] = {}
        self.total = Resources()
        self.everywhere = Domain()
        self.groups: dict[bytes, Domain] = {}
        """The bundles of each placement group; a group that is mentioned before it is known has none yet."""
        self.bundles: dict[Node, None] = {}
        """All bundles that have room, those of removed groups too while something runs in them."""
        self.removed_groups: dict[bytes, None] = {}
        """The last of those that have been removed, so that who still asks for them does not wait."""
        self._joined = 0

    def add(self, name: str, total: Resources, labels: Mapping[str, str]) -> Node:
        self._joined += 1
        whole = capacity(total)
        node = Node(
            name,
            self._joined,
            whole,
            dict(labels),
            free=dict(whole),
            open=dict(whole),
            domain=self.everywhere,
        )
        self.by_name[name] = node
        self.total += whole
        self.everywhere.add(node)
        return node

    def remove(self, node: Node) -> None:
        del self.by_name[node.name]
        node.gone = True
        if not node.draining:
            self.total -= node.total
        self.everywhere.remove(node)

    def drain(self, node: Node) -> None:
        """It counts no more: nothing new goes there."""
        node.draining = True
        self.total -= node.total

    def everyone(self) -> Iterator[Node]:
        """All nodes, and all bundles that have room."""
        return chain(self.by_name.values(), self.bundles)

    def domain(self, constraint: Constraint) -> Domain:
        """Where leases with that constraint are placed."""
        if not constraint.group:
            return self.everywhere
        if constraint.group in self.removed_groups:
            return Domain()
        return self.groups.setdefault(constraint.group, Domain())

    def best(self, shape: Shape, near: Iterable[str] = ()) -> Node | None:
        """The node on which the shape goes now, None if it fits nowhere: of those that fit the least loaded.

        Parameters: near: nodes by name that come before any other, the best first.
        """
        constraint = shape.constraint
        if constraint.node and (not constraint.soft or shape.target is not None):
            node = self.by_name.get(constraint.node)
            return node if node is not None and fits_now(shape, node) else None
        if not constraint.spread:
            for name in near:
                node = self.by_name.get(name)
                if node is not None and fits_now(shape, node):
                    return node
        return self._first(shape)

    def _first(self, shape: Shape) -> Node | None:
        queue, domain = shape.nodes, shape.domain
        log = domain.with_cpus if shape.cpus else domain.all
        if shape.read != log.position:
            for node in log.since(shape.read):
                if fits_now(shape, node):
                    queue.put(node, _rank(shape, node))
            shape.read = log.position
        while (first := queue.first()) is not None:
            if not fits_now(shape, first):
                queue.discard(first)
                continue
            rank = _rank(shape, first)
            if queue.rank(first) == rank:
                return first
            queue.put(first, rank)
        return None

    # -- which nodes could ever do

    def count_hosts(self, shape: Shape) -> None:
        """Find out anew which nodes could run the shape."""
        constraint = shape.constraint
        if constraint.soft:
            shape.target = None
            node = self.by_name.get(constraint.node)
            if node is not None and admits(shape, node):
                shape.target = node
            shape.read = -1  # where it may go has changed altogether
        shape.hosts = sum(1 for _node in self.hosts(shape))
        if constraint.group and not shape.domain.nodes and constraint.group not in self.removed_groups:
            shape.hosts = 1  # the group is not known yet: it may come

    def count_host(self, shape: Shape, node: Node, sign: int) -> None:
        """A node has come (1) or gone (-1)."""
        if shape.constraint.soft:
            self.count_hosts(shape)
        else:
            shape.hosts += sign * admits(shape, node)

    def hosts(self, shape: Shape) -> Iterator[Node]:
        """All nodes that could run the shape if they were empty."""
        nodes: Iterable[Node] = shape.domain.nodes
        if shape.constraint.node and (not shape.constraint.soft or shape.target is not None):
            named = self.by_name.get(shape.constraint.node)
            nodes = () if named is None else (named,)
        return (node for node in nodes if admits(shape, node))

    def few_hosts(self, shape: Shape) -> list[Node] | None:
        """The nodes that alone come into question, None where they are too many to be told."""
        constraint = shape.constraint
        few = constraint.group or (constraint.node and (not constraint.soft or shape.target is not None))
        return [node for node in self.hosts(shape) if node.placed] if few else None

    def closest(self, shape: Shape) -> tuple[Resources, Resources, str]:
        """(missing, have, reason) of a shape that fits nowhere: of the node that lacks the fewest resources; where
        none is allowed, nothing is missing and the reason says why."""
        request = shape.request
        allowed = [node for node in shape.domain.nodes if not node.draining and _allows(shape, node)]
        best: tuple[tuple[int, float], Resources, Resources] | None = None
        for node in allowed:
            missing = request.missing(node.total)
            distance = len(missing), sum(units / request[name] for name, units in missing.items())
            if best is None or distance < best[0]:
                best = distance, missing, node.total
        if best is not None:
            return best[1], best[2], _scope(shape.constraint)
        if not shape.constraint.group and not any(visible(n.total) for n in self.by_name.values()):
            return request, Resources(), ""
        return Resources(), Resources(), self._why_none(shape.constraint)

    def _why_none(self, constraint: Constraint) -> str:
        if constraint.group:
            gone = (
                "has been removed"
                if constraint.group in self.removed_groups
                else f"has no bundle {constraint.bundle}"
            )
            return f"placement group {constraint.group.hex()} {gone}"
        if constraint.node:
            if constraint.node not in self.by_name:
                return f"there is no node {constraint.node}"
            lacking = [
                m
                for m in constraint.hard
                if not label_rules.meets(self.by_name[constraint.node].labels, (m,))
            ]
            if not lacking:
                return f"node {constraint.node} is leaving the cluster"
            return f"node {constraint.node} does not have {' and '.join(map(label_rules.told, lacking))}"
        nodes = self.everywhere.nodes
        unmet = [m for m in constraint.hard if not any(label_rules.meets(n.labels, (m,)) for n in nodes)]
        wanted = " and ".join(map(label_rules.told, unmet or constraint.hard))
        return f"no node has {wanted}" if wanted else "every node is leaving the cluster"


def _scope(constraint: Constraint) -> str:
    """Which nodes were compared, where these were not all."""
    if constraint.group:
        bundle = "" if constraint.bundle == ANY_BUNDLE else f", bundle {constraint.bundle}"
        return f"in placement group {constraint.group.hex()}{bundle}"
    if constraint.node and not constraint.soft:
        return f"on node {constraint.node}"
    if constraint.hard:
        return f"on nodes with {' and '.join(map(label_rules.told, constraint.hard))}"
    return ""


def admits(shape: Shape, node: Node) -> bool:
    """Whether the node would run the shape if it were empty."""
    return shape.request.fits(node.total) and is_meant(shape, node)


def is_meant(shape: Shape, node: Node) -> bool:
    """Whether the node is one of those for the shape, if it is big enough."""
    if node.domain is not shape.domain or node.draining:
        return False
    return shape.constraint is ANYWHERE or _allows(shape, node)


def fits_now(shape: Shape, node: Node) -> bool:
    """Whether a lease of the shape may begin on the node."""
    if node.gone or not shape.request.fits(node.open) or node.draining:
        return False
    if node.host is not None and node.host.draining:
        return False
    if shape.stays and node.resting and not leaves_room(shape.lent, node):
        return False
    if shape.constraint is ANYWHERE:
        return node.domain is shape.domain
    return node.placed and admits(shape, node)


def leaves_room(lent: Resources, node: Node) -> bool:
    """Whether, if so much more were taken for good, each parked lease of the node could still run one day."""
    for name, units in lent.items():
        left = node.total[name] - node.fixed.get(name, 0) - units
        if any(lease.claim.cls.shape.lent.get(name, 0) > left for lease in node.resting.values()):
            return False
    return True


def _allows(shape: Shape, node: Node) -> bool:
    """Whether the shape's constraint, for itself, allows the node."""
    constraint = shape.constraint
    if constraint.group:
        return constraint.bundle in (ANY_BUNDLE, node.number)
    if constraint.node:
        if not constraint.soft:
            if node.name != constraint.node:
                return False
        elif shape.target is not None and node is not shape.target:
            return False
    return not constraint.hard or label_rules.meets(node.labels, constraint.hard)


def _rank(shape: Shape, node: Node) -> Rank:
    """The node's place among those that fit; the lowest is taken."""
    constraint = shape.constraint
    if constraint is ANYWHERE:
        return node.load()
    rank: Rank = node.load()
    if constraint.spread:
        leases = (*node.leases.values(), *node.leaving.values())
        rank = (sum(lease.claim.cls.shape is shape for lease in leases), *rank)
    if constraint.preferred:
        rank = (not label_rules.meets(node.labels, constraint.preferred), *rank)
    return rank
