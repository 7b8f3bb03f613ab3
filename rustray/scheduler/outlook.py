"""When somebody who waits will probably get a slot, for people: nothing is decided by it.

Every lease where the class could run is taken to come free when its present task ends, or when its worker may be
suspended for the one who waits (see `preemption`), whichever is sooner. Each of those ahead takes one.
"""

from __future__ import annotations

from rustray.scheduler.leases import LeaseBook
from rustray.scheduler.levels import SLICES
from rustray.scheduler.preemption import GRACE
from rustray.scheduler.records import Claim, Lease


def predicted_start(book: LeaseBook, claim: Claim, ahead: int) -> float | None:
    """Seconds until the claim has a slot, with `ahead` others to be served before it.

    None where nothing can be said: all that it could have is held by actors, or by tasks of unknown length.
    """
    shape = claim.cls.shape
    ends = sorted(
        seconds
        for node in book.nodes.hosts(shape)
        for lease in (*node.leases.values(), *node.leaving.values())
        if lease.claim is not claim and (seconds := _comes_free(lease, claim, book.now)) is not None
    )
    if not ends:
        return None
    rounds, at = divmod(ahead, len(ends))
    if not rounds:
        return ends[at]
    run_s = claim.cls.run_s  # of those ahead less is known than of itself
    return None if run_s is None else ends[at] + rounds * run_s


def _comes_free(lease: Lease, claim: Claim, now: float) -> float | None:
    cls, ran = lease.claim.cls, now - lease.since
    if cls.pinned:
        return None
    bounds = []
    if cls.run_s:
        bounds.append(cls.run_s - ran % cls.run_s)  # it may have run several tasks already
    if not cls.shape.stays:
        if cls.tier > claim.cls.tier:
            bounds.append(GRACE)
        elif cls.tier == claim.cls.tier:
            bounds.append(max(GRACE, SLICES[cls.level] - ran))
    return min(bounds, default=None)
