"""What room nodes have for the bundles of placement groups: now, in a moment, and in time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from rustray.scheduler.bundles import Bundle, Group
from rustray.scheduler.leases import LeaseBook
from rustray.scheduler.records import Lease, Node

Room = dict[Node, dict[str, int]]
"""Units by node and resource."""


def now(nodes: Iterable[Node], gathering: Group | None) -> Room:
    """What is open, and what a gathering group has got of it already."""
    room = {node: node.open for node in nodes}
    if gathering is not None:
        room = {node: dict(left) for node, left in room.items()}
        for bundle in gathering.missing:
            if bundle.host in room and bundle.lease is not None:
                add(room[bundle.host], bundle.request)
    return room


def soon(book: LeaseBook, nodes: Iterable[Node], removed: Iterable[Bundle]) -> Room:
    """What will be open in a moment if nobody else takes it: what leaves comes back, and so does what lies idle, once
    it is asked for, and what was reserved for groups that have been `removed`."""
    room = {node: node.outlook() for node in nodes}
    for lease in idle(book):
        if lease.node in room:
            add(room[lease.node], lease.hold)
    for bundle in removed:
        if bundle.host in room:
            add(room[bundle.host], bundle.request)
    return room


def idle(book: LeaseBook) -> Iterator[Lease]:
    """Leases that their clients keep without use. Of one client's which they are is not known: it may be others."""
    for claim in book.surplus:
        yield from islice((lease for lease in claim.leases.values() if lease.revocable), claim.surplus)


def in_time(node: Node) -> dict[str, int]:
    """What a node has besides actors and reservations: all other leases come back in time."""
    room = dict(node.total)
    for lease in node.leases.values():
        if lease.claim.cls.pinned:
            for name, units in lease.hold.items():
                room[name] -= units
    return room


def add(sums: dict[str, int], amounts: Mapping[str, int]) -> None:
    for name, units in amounts.items():
        sums[name] = sums.get(name, 0) + units
