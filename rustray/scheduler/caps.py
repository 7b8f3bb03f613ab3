"""Jobs that have all that they may have: what they do not use, or used long enough, makes way for what they want.

A capped job is not served, so it is promised nothing: it gives something up, wherever that is, and is served then.
"""

from __future__ import annotations

from collections.abc import Iterable

from rustray.model.resources import CPU
from rustray.scheduler.leases import LeaseBook
from rustray.scheduler.orders import Orders
from rustray.scheduler.records import Claim, Job, Lease
from rustray.scheduler.terms import TURN, own_only


def give_up_idle(book: LeaseBook, orders: Orders, job: Job) -> None:
    """Ask the job's idle leases back, as far as it needs their CPUs itself."""
    wanted = max((shape.cpus for shape in job.lines if job not in shape.jobs and shape.hosts), default=0)
    wanted += sum(
        lease.claim.cls.shape.cpus
        for lease in book.parked
        if lease.claim.cls.job is job and lease.promise is None
    )
    held_back = job.cap is not None and any(job.cpus + promise.cpus > job.cap for promise in job.promises)
    if job.cap is not None and (wanted or held_back):
        lacking = job.usage.get(CPU, 0) + wanted - job.cap
        idle = (lease for holder in list(job.by_spare().ranked()) for lease in list(holder.leases.values()))
        _revoke(orders, idle, lacking, "idle", idle_only=True, until=0.0)


def give_way(book: LeaseBook, orders: Orders, claim: Claim, parked: Lease | None) -> bool:
    """Ask leases of the claim's job back that had their turn, so that it gets below its cap with the claim, or with a
    parked lease of it; whether it has to."""
    job = claim.cls.job
    lacking = own_only(job, claim.cls.shape.cpus)
    if not lacking:
        return False
    others = (
        lease
        for holder in list(job.by_spare().ranked())
        if holder is not claim or parked is not None
        for lease in list(holder.leases.values())
    )
    _revoke(orders, others, lacking, "another class's turn", idle_only=False, until=book.now - TURN)
    return True


def _revoke(
    orders: Orders, leases: Iterable[Lease], cpus: int, reason: str, idle_only: bool, until: float
) -> None:
    for lease in leases:
        if cpus <= 0:
            return
        if lease.revocable and (lease.claim.surplus > 0 if idle_only else lease.since <= until):
            orders.revoke(lease, reason)
            cpus -= lease.claim.cls.shape.cpus
