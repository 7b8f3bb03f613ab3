"""When somebody who waits will probably get a slot, for people: nothing is decided by it.

Rule 1. A lease comes free when its present task ends, as far as it is known how long its class takes. Where it makes
        room by itself, its worker may be suspended before that for the one who waits (see `preemption`).
Rule 2. Leases of one node come free one after the other, until there is room; of those ahead each takes one place.
Rule 3. Nobody guesses: what depends on a class of which no task has ended yet is not known, and that class is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from rustray.scheduler.leases import LeaseBook
from rustray.scheduler.levels import SLICES
from rustray.scheduler.preemption import GRACE
from rustray.scheduler.records import Claim, Lease, Node


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
        bounds.append(cls.run_s - ran % cls.run_s)  # it may have run several tasks already
    if alone and not cls.shape.stays:
        if cls.tier > claim.cls.tier:
            bounds.append(GRACE)
        elif cls.tier == claim.cls.tier:
            bounds.append(max(GRACE, SLICES[cls.level] - ran))
    return min(bounds)
