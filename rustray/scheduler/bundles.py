"""The bundles of placement groups, and their reservations.

A bundle's reservation is a lease of a pinned class that the scheduler itself holds on the bundle's node. So whatever
is true of leases is true of it: it is charged to its job, it waits its turn, others are asked to make room for it, and
it is lost with its node. To those who run in it the bundle is a node of its own, of the group's domain.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rustray.model.labels import Match
from rustray.model.resources import Resources
from rustray.scheduler.constraints import Constraint
from rustray.scheduler.domain import Domain
from rustray.scheduler.leases import LeaseBook
from rustray.scheduler.records import Claim, Lease, Node, capacity

HOLDER = 0
"""The client of reservations: the head itself."""


@dataclass(eq=False, slots=True)
class Bundle:
    """Resources on one node. `node` is what those who run in it see, `host` where it lies or is to lie, `claim` asks
    for its room. `expected`: the name of the node on which an earlier leader placed it, until that node comes."""

    group: Group
    index: int
    request: Resources
    selector: tuple[Match, ...]
    node: Node
    host: Node | None = None
    claim: Claim | None = None
    expected: str = ""

    @property
    def key(self) -> bytes:
        return b"bundle" + self.group.id + self.index.to_bytes(4, "big")

    @property
    def lease(self) -> Lease | None:
        """The reservation."""
        return next(iter(self.claim.leases.values()), None) if self.claim is not None else None


@dataclass(eq=False, slots=True)
class Group:
    """`told`: whether it has been said that it is placed as it is now."""

    id: bytes
    job: int
    strategy: str
    domain: Domain
    bundles: list[Bundle] = field(default_factory=list)
    told: bool = False

    @property
    def missing(self) -> list[Bundle]:
        """The bundles that have no room yet, and are not expected to be found where they were."""
        return [bundle for bundle in self.bundles if not bundle.node.placed and not bundle.expected]

    def add_bundle(self, request: Resources, selector: tuple[Match, ...], expected: str) -> None:
        """One more bundle, that has no room yet."""
        index, whole = len(self.bundles), capacity(request)
        none = dict.fromkeys(whole, 0)
        node = Node("", index, whole, {}, free=none, open=dict(none), domain=self.domain, placed=False)
        self.bundles.append(Bundle(self, index, request, selector, node, expected=expected))
        self.domain.add(node)


class Reservations:
    """The reservations in a book of leases."""

    def __init__(self, book: LeaseBook) -> None:
        self._book = book
        self._bundles: dict[bytes, Bundle] = {}  # by the key of the class

    def ask(self, bundle: Bundle, host: Node) -> None:
        """Have the bundle wait for its room on `host`."""
        group, book = bundle.group, self._book
        name = f"bundle {bundle.index} of placement group {group.id.hex()}"
        constraint = Constraint(node=host.name)
        book.add_class(bundle.key, group.job, name, bundle.request, pinned=True, constraint=constraint)
        bundle.host = host
        self._bundles[bundle.key] = bundle
        bundle.claim = book.claim(book.classes[bundle.key], HOLDER)
        book.set_demand(bundle.claim, 1)

    def take(self, bundle: Bundle, host: Node) -> None:
        """Reserve the bundle's room on `host`, where it is open."""
        self.ask(bundle, host)
        assert bundle.claim is not None
        self._book.grant(bundle.claim, host)

    def open(self, bundle: Bundle) -> None:
        """From now on the bundle, which has its room, is a node that others run on."""
        node, host = bundle.node, bundle.host
        assert host is not None
        node.name, node.labels, node.host, node.placed = host.name, host.labels, host, True
        node.free = dict(node.total)
        node.open = dict(node.total)
        self._book.nodes.bundles[node] = None
        self._book.freed[node] = None

    def empty(self, bundle: Bundle) -> None:
        """The node under a bundle is gone, and with it the leases in the bundle."""
        at = bundle.node
        for promise in list(at.promises):
            self._book.break_promise(promise)
        for lease in [*at.leases.values(), *at.leaving.values(), *at.parked.values()]:
            self._book.drop(lease)

    def give_up(self, bundle: Bundle) -> None:
        """Let the bundle's room go, or the wait for it."""
        claim, node = bundle.claim, bundle.node
        self._bundles.pop(bundle.key, None)
        bundle.host = bundle.claim = None
        if node.placed:
            node.placed = False
            node.free = dict.fromkeys(node.total, 0)
            node.open = dict(node.free)
            del self._book.nodes.bundles[node]
            self._book.unlist_node(node)
        if claim is not None:
            self._book.void(claim)

    def of(self, lease: Lease) -> Bundle | None:
        """The bundle whose reservation a lease is, None for those of clients."""
        return self._bundles.get(lease.claim.cls.key)
