"""Gives out all that is open: first to those to whom a slot was promised, then by rank to the rest.

Between steps nobody waits for what is open (`invariants`). So only two things are looked at: nodes that got something
back, and shapes that someone new waits for.
"""

from __future__ import annotations

from itertools import islice

from rustray.model.resources import CPU
from rustray.scheduler.constraints import ANYWHERE
from rustray.scheduler.leases import LeaseBook
from rustray.scheduler.orders import Orders
from rustray.scheduler.placement import fits_now
from rustray.scheduler.queues import Rank
from rustray.scheduler.records import NOTHING, OWED, Claim, Lease, Node, Promise, Shape

PARKED_COMPARED = 8
"""Of so many suspended workers of a node that could go on, those suspended longest, the most urgent one does."""


def serve(book: LeaseBook, orders: Orders) -> None:
    if book.ripe:
        _keep_ripe_promises(book, orders)
    while book.freed or book.called:
        while book.freed:
            node = next(iter(book.freed))
            while _give_of(book, orders, node):
                pass
            book.freed.pop(node, None)
            if not node.gone:
                node.domain.released(node)
            if book.ripe:
                _keep_ripe_promises(book, orders)
        while book.called:
            shape = next(iter(book.called))
            del book.called[shape]
            while _give_to(book, orders, shape):
                pass


def _keep_ripe_promises(book: LeaseBook, orders: Orders) -> None:
    """Keep promises of nodes that got something back; what an earlier one awaits no later one gets."""
    while book.ripe:
        node = next(iter(book.ripe))
        del book.ripe[node]
        left = dict(node.free)
        for promise in list(node.promises):
            takes = promise.takes
            if left.get(CPU, 0) <= 0 and CPU in takes or promise not in node.promises:
                continue  # in vain, or broken meanwhile
            if takes.fits(left) and not held_back(promise):
                orders.keep(promise, node)
            for name, units in takes.items():
                left[name] -= units
        book.ripe.pop(node, None)


def held_back(promise: Promise) -> bool:
    """Whether its job's cap forbids to keep it for now."""
    job = promise.claim.cls.job
    return job.cap is not None and promise.cpus > 0 and job.cpus + promise.cpus > job.cap


def _give_of(book: LeaseBook, orders: Orders, node: Node) -> bool:
    """Give something of the node to whoever comes first; False if nobody fits."""
    cpus = node.open.get(CPU, 0)
    for other in book.promised:  # who was promised a slot takes one that opens elsewhere
        if other.cpus and other.cpus > cpus:
            continue
        if (promise := _first_promise(other)) is not None and fits_now(other, node):
            orders.keep(promise, node)  # what was promised is then to be had
            return True
    best: Rank | None = None
    shape: Shape | None = None
    for other in book.waiting:
        if (not other.cpus or other.cpus <= cpus) and fits_now(other, node):
            book.rank_moved(other)
            job = other.jobs.first()
            if job is None:
                continue
            claim = job.lines[other].first()
            rank = (*other.jobs.ranks[job], *claim.rank) if claim is not None else other.jobs.ranks[job]
            if best is None or rank < best:
                best, shape = rank, other
    if node.parked:
        lease = _first_parked(node)
        if lease is not None and (best is None or parked_rank(lease) < best):
            orders.resume(lease)
            return True
    if shape is None:
        return False
    _grant_first(book, orders, shape, node)
    return True


def _first_promise(shape: Shape) -> Promise | None:
    return next((promise for promise in shape.promises if not held_back(promise)), None)


def _first_parked(node: Node) -> Lease | None:
    if node.open.get(CPU, 0) > 0:
        fitting = (lease for lease in node.parked.values() if may_resume(lease))
    elif node.waking:
        fitting = (lease for lease in node.waking.values() if may_resume(lease))
    else:
        return None
    return min(islice(fitting, PARKED_COMPARED), key=parked_rank, default=None)


def may_resume(lease: Lease) -> bool:
    """Whether there is room for a parked lease, which nobody has promised it."""
    cls = lease.claim.cls
    takes = NOTHING if lease.blocked else cls.shape.lent
    if lease.promise is not None or lease.stopping:
        return False
    return takes.fits(lease.node.open) and not cls.job.capped(cls.shape.cpus if takes else 0)


def parked_rank(lease: Lease) -> Rank:
    """Compares with the ranks of claims; within its job and tier it comes before them."""
    cls = lease.claim.cls
    job = cls.job
    tier = OWED if job.floor and job.owed else cls.tier
    return tier, job.share, job.turn, cls.tier, -1, lease.parked_at, lease.number


def _give_to(book: LeaseBook, orders: Orders, shape: Shape) -> bool:
    """Give the first of a shape what fits it best; False if nobody waits, or nothing fits."""
    if shape.promises and (promise := _first_promise(shape)) is not None:
        node = book.nodes.best(shape, promise.claim.near)
        if node is None:
            return False
        orders.keep(promise, node)
        return True
    if shape not in book.waiting or book.nodes.best(shape) is None:
        return False
    return _grant_first(book, orders, shape, None)


def _grant_first(book: LeaseBook, orders: Orders, shape: Shape, node: Node | None) -> bool:
    book.rank_moved(shape)
    job = shape.jobs.first()
    claim: Claim | None = job.lines[shape].first() if job is not None else None
    if claim is None:
        return False
    if node is not None and (claim.near or shape.constraint is not ANYWHERE):
        node.domain.released(node)  # it is one of those to choose from
        node = book.nodes.best(shape, claim.near) or node
    elif node is None:
        node = book.nodes.best(shape, claim.near)
    if node is None:
        return False
    orders.grant(claim, node)
    return True
