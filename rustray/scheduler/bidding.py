"""Who asks for what others hold, and when."""

from __future__ import annotations

from math import inf

from rustray.scheduler import reclaim
from rustray.scheduler.leases import LeaseBook
from rustray.scheduler.orders import Orders
from rustray.scheduler.queues import Rank
from rustray.scheduler.reclaim import Bid, Plan, Terms
from rustray.scheduler.records import Claim, Job, Node, Shape
from rustray.scheduler.roster import PATIENCE
from rustray.scheduler.serving import parked_rank

STARVED = 5.0
"""Seconds with nothing after which even more urgent leases must make room for a moment."""

BIDS_A_TICK = 128
"""So many of those that have nothing ask for turns in one step, for the head has other things to do; the rest
follow in the next."""

_EPSILON = 1e-9


def bid_for_first(book: LeaseBook, orders: Orders, shape: Shape, job: Job) -> None:
    """Promise slots to the first claims of a line while they have a right to what others hold."""
    while (claim := first_waiting(shape, job)) is not None:
        if not _bid(book, orders, Bid(claim)):
            return


def first_waiting(shape: Shape, job: Job) -> Claim | None:
    line = job.lines.get(shape) if shape.hosts and job in shape.jobs else None
    return line.first() if line is not None else None


def bid_for_all(book: LeaseBook, orders: Orders) -> None:
    """For every line of claims that some node could serve, those that come first in rank before others."""
    lines = [(shape.jobs.rank(job) or (inf,), shape, job) for shape in book.waiting for job in shape.jobs]
    for _rank, shape, job in sorted(lines, key=lambda line: line[0]):
        bid_for_first(book, orders, shape, job)


def _bid(book: LeaseBook, orders: Orders, bid: Bid) -> bool:
    for terms in _rights(book, bid):
        plan = reclaim.find(book, bid, terms)
        if plan is not None:
            orders.promise(bid, plan, terms)
            return True
    return False


def _rights(book: LeaseBook, bid: Bid) -> list[Terms]:
    """On which terms the bidder might get something: a quick look that spares most searches."""
    claim = bid.claim
    cls, job = claim.cls, claim.cls.job
    rights = []
    if job.floor and job.owed:
        rights.append(Terms.GUARANTEE)
    if book.tiers:
        if max(book.tiers) > cls.tier and cls.running + len(claim.promises) < reclaim.reach(claim):
            rights.append(Terms.TIER)
        if _may_be_fair(book, bid):
            rights.append(Terms.FAIR)
    if not rights and (book.surplus or book.unclaimed):
        rights.append(Terms.IDLE)
    return rights


def _may_be_fair(book: LeaseBook, bid: Bid) -> bool:
    claim = bid.claim
    job, cost = claim.cls.job, claim.cls.shape.cost
    if book.top_share - reclaim.job_after(book, bid) > -_EPSILON:
        return True
    first = job.holders.rank(holder) if (holder := job.holders.first()) is not None else None
    return first is not None and -first[0] >= (claim.standing + 1) * cost - _EPSILON


# -- idle leases


def offer_idle(book: LeaseBook, orders: Orders, claim: Claim) -> None:
    """The claim has more than it wants: whoever waits and comes first may have it."""
    for lease in list(claim.leases.values()):
        if claim.surplus <= 0:
            return
        if lease.revocable and (choice := _first_on(book, lease.node)) is not None:
            orders.promise(choice[0], choice[1], Terms.IDLE)


def _first_on(book: LeaseBook, node: Node) -> tuple[Bid, Plan] | None:
    """Who comes first of those that idle leases of the node would be enough for."""
    bids: list[tuple[Rank, Bid]] = []
    for shape in book.waiting:
        job = shape.jobs.first()
        rank = shape.jobs.rank(job) if job is not None else None
        claim = first_waiting(shape, job) if job is not None else None
        if claim is not None and rank is not None:
            bids.append(((*rank, *claim.rank), Bid(claim)))
    for lease in node.parked.values():
        if lease.promise is None and not lease.stopping:
            bids.append((parked_rank(lease), Bid(lease.claim, lease)))
    for _rank, bid in sorted(bids, key=lambda ranked: ranked[0]):
        if bid.suits(node):
            plan = reclaim.plan_on(book, node, bid, Terms.IDLE)
            if plan is not None:
                return bid, plan
    return None


# -- turns


def bid_for_turns(book: LeaseBook, orders: Orders) -> None:
    """For those that have nothing, whoever was served longest ago first, whatever its shape: else requests of one
    shape could take every turn before those of another are asked."""
    for _ in range(BIDS_A_TICK):
        if not book.hungry.due(book.now) or (bidder := book.hungry.first()) is None:
            return
        bid = Bid(bidder) if isinstance(bidder, Claim) else Bid(bidder.claim, bidder)
        if not _bid_for_turn(book, orders, bid):
            rank = book.hungry.rank(bidder) or (0.0, 0)
            book.hungry.put(bidder, (book.now + PATIENCE / 2, rank[1]))


def _bid_for_turn(book: LeaseBook, orders: Orders, bid: Bid) -> bool:
    claim, lease = bid.claim, bid.lease
    if lease is not None:
        if lease.stopping:
            return False
        if _bid(book, orders, bid):
            return True
    elif not claim.cls.shape.hosts:
        return False
    terms = Terms.OWN_JOB
    plan = reclaim.find(book, bid, terms) if claim.cls.job.share else None
    if plan is None:
        terms = Terms.ANY_JOB
        plan = reclaim.find(book, bid, terms)
    if plan is None and book.now - (claim.bare_since if lease is None else lease.parked_at) >= STARVED:
        terms = Terms.STARVING
        plan = reclaim.find(book, bid, terms)
    elif plan is not None and not plan.in_turn(book.now):
        return False
    if plan is None:
        return False
    orders.promise(bid, plan, terms)
    return True
