"""Leases that were asked back in vain: their workers are suspended, so that who was promised the slot gets it.

Rule 1. A lease is asked back first. It is suspended only after `GRACE`, in which unstarted tasks come back and
        quick ones end, and only while a promise on its node wants what it lends.
Rule 2. Who has a guarantee, or starves, or gets a slot because it is more urgent, waits no longer than that. One
        that is to have its share or its turn waits until the worker has had its slice (see `levels`), which is no
        longer than its shield if it runs because it starved although its job was served more. For one that is less
        urgent nobody is suspended.
Rule 3. Actors, GPU holders and classes that are not preemptible are never suspended. They may have the slot of a
        suspended worker if room is left for that to go on one day.
Rule 4. A suspended worker keeps its memory. Where the node has no more to spare, or too many are suspended already,
        the task is run anew elsewhere, if it may be and somebody more urgent waits; otherwise the worker is left alone.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from rustray.model.resources import CPU, UNIT, Resources
from rustray.scheduler import levels
from rustray.scheduler.leases import LeaseBook
from rustray.scheduler.records import LENT, NOTHING, Lease, Node, Promise

if TYPE_CHECKING:
    from rustray.scheduler.orders import Orders

GRACE = 0.01
"""Seconds between asking a lease back and suspending its worker."""

PARKED = 6
"""So many workers of a node may be suspended, and one more for each CPU: each is a process with all its memory. For
shares and turns it is half of that, and half of the memory, so that something is left for what is urgent; for classes
of level 0, which take one lease at a time, twice that."""

KILLS_EACH = 5.0
"""Seconds between two workers of a node that end for want of memory, for their work is lost."""


def preempt(book: LeaseBook, orders: Orders) -> None:
    """Look at the nodes where something may have to be suspended now."""
    while (node := book.watched.take_due(book.now)) is not None:
        if node.promises:
            book.pressed[node] = None
    while book.pressed:
        node = next(iter(book.pressed))
        del book.pressed[node]
        due = _press(book, orders, node) if node.promises else inf
        if due < inf:
            book.watched.put(node, (due,))
        else:
            book.watched.discard(node)


def hurry(book: LeaseBook, promise: Promise) -> None:
    """Something was promised: look at the node when one of its leases may be suspended for it, or earlier."""
    node = promise.node
    if not (promise.ahead or promise.urgent):
        watched = book.watched.ranks.get(node)
        if watched is None or book.now + GRACE < watched[0]:
            book.watched.put(node, (book.now + GRACE,))
        return
    due = inf
    for lease in node.leaving.values():
        if not (lease.stopping or lease.blocked or lease.claim.cls.shape.stays):
            due = min(due, _due(promise, lease))
    if due <= book.now:
        book.pressed[node] = None
    elif due < book.watched.rank_of(node):
        book.watched.put(node, (due,))


def _press(book: LeaseBook, orders: Orders, node: Node) -> float:
    """Suspend for the promises of the node what may be suspended; when to look again."""
    left = dict(node.free)
    able: list[Lease] = []
    for lease in node.leaving.values():
        lent = lease.claim.cls.shape.lent
        if lease.blocked:
            continue
        if lease.stopping:
            for name, units in lent.items():
                left[name] += units
        elif may_rest(lease):
            able.append(lease)
    able.sort(key=lambda lease: (-lease.claim.cls.tier, lease.since, lease.number))
    again = inf
    for promise in list(node.promises):
        if not able:
            break
        lacking = promise.takes.missing(left)
        if lacking and all(name in LENT for name in lacking):
            chosen, due = _choose(book, able, promise, lacking)
            again = min(again, due)
            for lease in chosen:
                able.remove(lease)
                if _fits(book, lease, promise):
                    orders.suspend(lease)
                elif _may_be_killed(book, lease, promise):
                    node.killed_at = book.now
                    orders.requeue(lease)
                else:
                    continue
                for name, units in lease.claim.cls.shape.lent.items():
                    left[name] += units
        for name, units in promise.takes.items():
            left[name] = left.get(name, 0) - units
    return again


def _choose(
    book: LeaseBook, able: list[Lease], promise: Promise, lacking: Resources
) -> tuple[list[Lease], float]:
    """Leases to suspend now so that nothing is lacking any more; none if they would not do, and when more may be."""
    soonest = inf
    chosen = []
    still = lacking
    for lease in able:
        due = _due(promise, lease)
        if due > book.now:
            if due < soonest:
                soonest = due
            continue
        lent = lease.claim.cls.shape.lent
        if any(name in lent for name in still) and (
            _fits(book, lease, promise) or _may_be_killed(book, lease, promise)
        ):
            chosen.append(lease)
            still = still.missing(lent)
            if not still:
                return chosen, inf
    return [], soonest


def _due(promise: Promise, lease: Lease) -> float:
    """When the lease may be suspended for the promise. Rule 2."""
    cls = lease.claim.cls
    tier = promise.claim.cls.tier
    due = lease.asked + GRACE
    if due < lease.shield:
        due = lease.shield
    if promise.urgent or (promise.ahead and cls.tier > tier):
        return due
    if cls.tier < tier:
        return inf
    slice_ends = lease.since + levels.SLICES[cls.level]
    if lease.shield > lease.since and cls.job.served > promise.claim.cls.job.served:
        slice_ends = lease.shield
    return due if due > slice_ends else slice_ends


def may_rest(lease: Lease, beside: Resources = NOTHING) -> bool:
    """Whether the worker is one that may be suspended, and could go on one day, also `beside` what is to stay there for
    good. Rule 3."""
    shape, node = lease.claim.cls.shape, lease.node
    if shape.stays:
        return False
    fixed = node.fixed
    return not (fixed or beside) or all(
        units <= node.total[name] - fixed.get(name, 0) - beside.get(name, 0)
        for name, units in shape.lent.items()
    )


def _fits(book: LeaseBook, lease: Lease, promise: Promise) -> bool:
    """Whether the node can do with one more suspended worker, or with this one in place of one that goes on. Rule 4."""
    machine, node, resumed = book.machine(lease.node), lease.node, promise.lease
    if resumed is not None and resumed.weighs >= lease.bytes:
        return True
    most, memory = PARKED + node.total.get(CPU, 0) // UNIT, machine.parking
    if not (promise.urgent or promise.ahead):
        most, memory = most // 2 + 1, None if memory is None else memory // 2
    elif promise.urgent or promise.claim.cls.level == 0:
        most *= 2
    if len(node.resting) - (resumed is not None) >= most:
        return False
    parked = machine.parked_bytes - (resumed.weighs if resumed is not None else 0)
    return memory is None or parked + lease.bytes <= memory


def give_up_stuck(book: LeaseBook, node: Node) -> None:
    """Break promises to newcomers for whom no worker may be suspended, for too many are: only ends of tasks would keep
    them, and meanwhile nobody who is suspended could go on in the place of one that runs."""
    leaving = node.leaving.values()
    if not leaving or any(lease.stopping for lease in leaving):
        return
    for promise in list(node.promises):
        newcomer = promise.lease is None and not promise.urgent
        if newcomer and not any(_fits(book, lease, promise) for lease in leaving):
            book.break_promise(promise)


def _may_be_killed(book: LeaseBook, lease: Lease, promise: Promise) -> bool:
    """Whether its task may be run anew for the promise: not for a turn or a share, and not all the time."""
    hurried = promise.urgent or promise.ahead
    return hurried and may_run_anew(lease) and book.now - lease.node.killed_at >= KILLS_EACH


def may_run_anew(lease: Lease) -> bool:
    return lease.claim.cls.retriable and not lease.claim.cls.shape.stays


def relieve_memory(book: LeaseBook, orders: Orders, machine: Node) -> None:
    """Its suspended workers hold more than they may: run anew what may be, the biggest first."""
    if machine.parking is None or machine.parked_bytes <= machine.parking:
        return
    parked = [
        lease
        for lease in book.parked
        if book.machine(lease.node) is machine and may_run_anew(lease) and not lease.stopping
    ]
    for lease in sorted(parked, key=lambda lease: -lease.weighs):
        if machine.parked_bytes <= machine.parking:
            return
        orders.requeue(lease)
