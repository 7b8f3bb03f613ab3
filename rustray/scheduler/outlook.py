"""When somebody who waits will probably get a slot, for people: nothing is decided by it.

Rule 1. A lease comes free when its present task ends, as far as it is known how long its class takes: one that takes
        longer than that already, as long again. Where it makes room by itself, its worker may be suspended before that
        for the one who waits, if `preemption` allows it.
Rule 2. Leases of one node come free one after the other, until there is room; of those ahead each takes one place.
Rule 3. Nobody guesses: what depends on a class of which no task has ended yet is not known, and that class is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from rustray.model.resources import Resources
from rustray.scheduler.leases import LeaseBook
from rustray.scheduler.levels import SLICES
from rustray.scheduler.preemption import GRACE, may_rest
from rustray.scheduler.records import NOTHING, Claim, Lease, Node


class Outlook(NamedTuple):
    """What can be said.

    Attributes
    ----------
    start_s: seconds until there is a slot, None where that is not known: all that it could have is held by actors, or
        by tasks of unknown length.
    unknown: then by class, the leases in the way, held or waited for, of which it is not known how long a task takes.
    """

    start_s: float | None
    unknown: dict[str, int]


def outlook(book: LeaseBook, claim: Claim, ahead: Sequence[Claim]) -> Outlook:
    """When the claim has a slot, with those `ahead` to be served before it."""
    shape = claim.cls.shape
    places: list[float] = []
    unknown: Counter[str] = Counter()
    for node in book.nodes.hosts(shape):
        places += _places(node, claim, book.now, unknown)
    places.sort()
    if not places:
        return Outlook(None, dict(unknown))
    rounds, at = divmod(len(ahead), len(places))
    if not rounds:
        return Outlook(places[at], {})
    for other in ahead:
        if other.cls.run_s is None:
            unknown[other.cls.name] += max(1, other.need)
    if unknown:
        return Outlook(None, dict(unknown))
    mean = sum(other.cls.run_s or 0.0 for other in ahead) / len(ahead)
    return Outlook(places[at] + rounds * mean, {})


def _places(node: Node, claim: Claim, now: float, unknown: Counter[str]) -> list[float]:
    """When there is room on the node for one, for two, and so on."""
    request = claim.cls.shape.request
    ends: list[tuple[float, int, Lease]] = []
    for lease in (*node.leases.values(), *node.leaving.values()):
        if lease.claim is claim or lease.claim.cls.pinned or not lease.hold.keys() & request.keys():
            continue
        alone = request.fits({name: node.free.get(name, 0) + lease.hold.get(name, 0) for name in request})
        seconds = _comes_free(lease, claim, now, alone)
        if seconds < inf:
            ends.append((seconds, lease.number, lease))
        else:
            unknown[lease.claim.cls.name] += 1
    free = {name: node.free.get(name, 0) for name in request}
    places = []
    for seconds, _number, lease in sorted(ends, key=lambda end: end[:2]):
        for name in request:
            free[name] += lease.hold.get(name, 0)
        while request and request.fits(free):
            places.append(seconds)
            for name, units in request.items():
                free[name] -= units
    return places


def _comes_free(lease: Lease, claim: Claim, now: float, alone: bool) -> float:
    """Seconds until its slot is free; infinite where that is not known. `alone`: no other slot is needed then."""
    cls, ran = lease.claim.cls, now - lease.since
    bounds = [inf]
    if cls.run_s:
        present = now - max(
            lease.asked, lease.since
        )  # it may have run several tasks, but none that is new since then
        late = lease.asked >= 0 and present > cls.run_s
        bounds.append(present if late else cls.run_s - ran % cls.run_s)
    if alone and may_rest(lease, _stays_beside(claim, lease.node)):
        if cls.tier > claim.cls.tier:
            bounds.append(GRACE)
        elif cls.tier == claim.cls.tier:
            bounds.append(max(GRACE, SLICES[cls.level] - ran))
    return min(bounds)


def _stays_beside(claim: Claim, node: Node) -> Resources:
    """What would stay for good on the node if the claim had a slot there, and is not counted there yet."""
    shape = claim.cls.shape
    promised = any(promise.node is node for promise in claim.promises)
    return shape.lent if shape.stays and not promised else NOTHING


def at_end_only(claim: Claim) -> bool:
    """Whether what it was promised is to be had only when tasks end: nothing there may be suspended for it."""
    return bool(claim.promises) and not any(
        may_rest(lease) for promise in claim.promises for lease in promise.node.leaving.values()
    )
