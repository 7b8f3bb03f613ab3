"""Who asks for what others hold, and when."""

from __future__ import annotations

from math import inf

from rustray.model.resources import CPU, UNIT
from rustray.scheduler import caps, reclaim
from rustray.scheduler import terms as rules
from rustray.scheduler.leases import LeaseBook
from rustray.scheduler.lines import PATIENCE
from rustray.scheduler.orders import Orders
from rustray.scheduler.preemption import give_up_stuck
from rustray.scheduler.queues import Rank
from rustray.scheduler.reclaim import Plan
from rustray.scheduler.records import OWED, Claim, Job, Lease, Shape
from rustray.scheduler.serving import PARKED_COMPARED, parked_rank
from rustray.scheduler.terms import Bid, Scales, Terms

STARVED = 5.0
"""Seconds with nothing after which even more urgent leases must make room for a moment."""

BIDS_A_TICK = 128
"""So many of those that have nothing ask for turns in one step, for the head has other things to do; the rest
follow in the next."""

OFFERS = 4
"""So many idle leases of one claim are offered in vain in one step: what fits nobody here fits nobody elsewhere, as
a rule, and who waits asks for them at the next tick."""

MOVES_A_TICK = 64
CPUS_A_MOVE = 32
"""So many leases move between two ticks so that shares are fair, and one more for so many CPUs: a head can decide on
some tens of thousands a second, and shares of a large cluster change all the time."""

LINES_A_TICK = 256
SEARCHES_A_TICK = 32
"""Bounds of what one step costs in a large cluster: so many lines of claims bid, so many of them search on where the
likeliest leases are not enough. Who comes first in rank is always among them, of the others each its turn."""

_EPSILON = 1e-9


def bid_for_first(book: LeaseBook, orders: Orders, shape: Shape, job: Job) -> None:
    """Promise slots to the first claims of a line while they have a right to what others hold."""
    while (claim := first_waiting(shape, job)) is not None:
        bid = Bid(claim)
        if not any(_take(book, orders, bid, terms) for terms in _rights(book, bid)):
            book.denied += 1
            return


def _take(book: LeaseBook, orders: Orders, bid: Bid, terms: Terms) -> bool:
    """Promise the claim, on these terms, what the likeliest leases give it while it is the first in its line; if they
    give nothing, what a longer search finds."""
    claim, scales = bid.claim, Scales(book, bid, terms)
    alone = len(claim.cls.job.lines[claim.cls.shape]) == 1 and claim.cls.job.cap is None
    taken = False
    for plan in reclaim.likely(book, bid, scales):
        if taken and not _goes_on(book, claim, terms, alone):
            break
        orders.promise(bid, plan, terms, more=alone)
        taken = True
        scales.renew()
    if taken and alone:
        book.refresh(claim)
    if taken or not book.searches_left:
        return taken
    book.searches_left -= 1
    return _search(book, orders, bid, terms)


def _goes_on(book: LeaseBook, claim: Claim, terms: Terms, alone: bool) -> bool:
    """Whether a claim that has just got something may have more on the same terms."""
    cls = claim.cls
    if claim.need <= 0 or not (alone or first_waiting(cls.shape, cls.job) is claim):
        return False
    if terms is Terms.GUARANTEE:
        return cls.job.owed
    if terms is Terms.FAIR:
        return book.moves_left > 0
    if terms is Terms.BEHIND:
        return False  # it waits and sees
    return terms is not Terms.TIER or _within_reach(claim)


def _within_reach(claim: Claim) -> bool:
    return claim.cls.running + len(claim.promises) < rules.reach(claim)


def first_waiting(shape: Shape, job: Job) -> Claim | None:
    line = job.lines.get(shape) if shape.hosts and job in shape.jobs else None
    return line.first() if line is not None else None


def bid_for_all(book: LeaseBook, orders: Orders) -> None:
    """For every line of claims that some node could serve, those that come first in rank before others."""
    book.searches_left = SEARCHES_A_TICK
    book.moves_left = MOVES_A_TICK + book.nodes.total.get(CPU, 0) // (CPUS_A_MOVE * UNIT)
    for shape in book.waiting:
        book.rank_moved(shape)
    lines = [(shape.jobs.rank(job) or (inf,), shape, job) for shape in book.waiting for job in shape.jobs]
    lines.sort(key=lambda line: line[0])
    if len(lines) > LINES_A_TICK:
        half = LINES_A_TICK // 2
        book.lines_bid = (book.lines_bid + half) % (len(lines) - half)
        start = half + book.lines_bid
        lines = lines[:half] + lines[start : start + half]
    for _rank, shape, job in lines:
        bid_for_first(book, orders, shape, job)
        # One that has suspended leases goes on with those, in `bid_for_turns`, before it starts more.
        if not job.resting and _may_be_behind(book, job) and (claim := first_waiting(shape, job)) is not None:
            _take(book, orders, Bid(claim), Terms.BEHIND)
    book.searches_left = 0


def _search(book: LeaseBook, orders: Orders, bid: Bid, terms: Terms) -> bool:
    plan = reclaim.find(book, bid, terms)
    if plan is not None:
        orders.promise(bid, plan, terms)
    return plan is not None


def _rights(book: LeaseBook, bid: Bid) -> list[Terms]:
    """On which terms the bidder might get something: a quick look that spares most searches."""
    claim = bid.claim
    cls, job = claim.cls, claim.cls.job
    rights = []
    if job.floor and job.owed:
        rights.append(Terms.GUARANTEE)
    if _worst(book) > cls.tier and _within_reach(claim):
        rights.append(Terms.TIER)
    if book.tiers:
        if book.moves_left > 0 and _may_be_fair(book, bid):
            rights.append(Terms.FAIR)
    if not rights and (book.surplus or book.unclaimed):
        rights.append(Terms.IDLE)
    return rights


def _worst(book: LeaseBook) -> int:
    """The least urgent tier that has a lease, or is promised one."""
    return max(max(book.tiers, default=OWED), max(book.promises, default=OWED))


def _may_be_fair(book: LeaseBook, bid: Bid) -> bool:
    claim = bid.claim
    job, cost = claim.cls.job, claim.cls.shape.cost
    if book.top_share() - book.least_loss - rules.fair_from(book, bid) > -_EPSILON:
        return True
    first = job.holders.rank(holder) if (holder := job.by_spare().first()) is not None else None
    return first is not None and -first[0] >= (claim.standing + 1) * cost - _EPSILON


def _may_be_behind(book: LeaseBook, job: Job) -> bool:
    return book.moves_left > 0 and job.share < book.top_share() and job.served < book.most_served


# -- idle leases


def offer_idle(book: LeaseBook, orders: Orders, claim: Claim) -> None:
    """The claim has more than it wants: whoever waits and comes first may have it."""
    vain = 0
    leases = claim.leases.values()
    for lease in list(leases) if book.waiting else [lease for lease in leases if lease.node.parked]:
        if not lease.revocable or not (book.waiting or lease.node.parked):
            continue
        if not claim.surplus or vain == OFFERS:
            return
        bid = _first_for(book, lease)
        if bid is None:
            vain += 1
        else:
            victims = [lease] if lease.node.lacks(bid.request) else []
            orders.promise(bid, Plan(lease.node, victims), Terms.IDLE)


def _first_for(book: LeaseBook, lease: Lease) -> Bid | None:
    """Who comes first of those that this lease would be enough for."""
    node, hold = lease.node, lease.hold
    best: tuple[Rank, Bid] | None = None
    cpus = node.open.get(CPU, 0) + node.coming.get(CPU, 0) + hold.get(CPU, 0)
    for shape in book.waiting:
        if shape.cpus > cpus and shape.cpus or not node.covers(shape.request, hold):
            continue
        book.rank_moved(shape)
        job = shape.jobs.first()
        rank = shape.jobs.rank(job) if job is not None else None
        claim = first_waiting(shape, job) if job is not None else None
        if claim is None or rank is None:
            continue
        rank = (*rank, *claim.rank)
        if (best is None or rank < best[0]) and (bid := Bid(claim)).suits(node):
            best = rank, bid
    compared = 0
    for parked in node.parked.values():
        if parked.promise is not None or parked.stopping:
            continue
        if compared == PARKED_COMPARED:
            break
        compared += 1
        cls = parked.claim.cls
        if best is not None and (
            (cls.tier > best[0][0] and not cls.job.floor) or parked_rank(parked) > best[0]
        ):
            continue  # most are ruled out here
        if cls.job.capped(cls.shape.cpus) and cls.job is not lease.claim.cls.job:
            continue
        bid = Bid(parked.claim, parked)
        if node.covers(bid.request, hold):
            best = parked_rank(parked), bid
    return best[1] if best is not None else None


# -- turns


def bid_for_turns(book: LeaseBook, orders: Orders) -> None:
    """For those that have nothing, whoever had that for long first, for it may need what several others hold, and each
    of them keeps that for a turn only; then those of the job that was served least before others, and of these whoever
    was served longest ago, whatever its shape: else requests of one shape could take every turn before those of another
    are asked."""
    due: list[tuple[bool, float, float, Claim | Lease]] = []
    while (
        len(due) < BIDS_A_TICK and book.hungry.due(book.now) and (bidder := book.hungry.first()) is not None
    ):
        turn = (book.hungry.rank(bidder) or (0.0, 0))[1]
        book.hungry.put(bidder, (book.now + PATIENCE / 2, turn))
        claim = bidder if isinstance(bidder, Claim) else bidder.claim
        since = _has_nothing_since(bidder)
        due.append((book.now - since < STARVED, claim.cls.job.served, since, bidder))
    for _early, _served, _since, bidder in sorted(due, key=lambda bidder: bidder[:3]):
        if bidder in book.hungry:
            bid = Bid(bidder) if isinstance(bidder, Claim) else Bid(bidder.claim, bidder)
            if not _bid_for_turn(book, orders, bid):
                book.denied += 1


def _has_nothing_since(bidder: Claim | Lease) -> float:
    return bidder.bare_since if isinstance(bidder, Claim) else bidder.parked_at


def _bid_for_turn(book: LeaseBook, orders: Orders, bid: Bid) -> bool:
    claim, lease = bid.claim, bid.lease
    if lease is not None:
        if lease.stopping:
            return False
        rights = _rights(book, bid)
        if _may_be_behind(book, claim.cls.job):
            rights.append(Terms.BEHIND)
        if any(_search(book, orders, bid, terms) for terms in rights):
            return True
    elif not claim.cls.shape.hosts:
        return False
    terms = Terms.OWN_JOB
    plan = reclaim.find(book, bid, terms) if claim.cls.job.share else None
    if plan is None:
        terms = Terms.ANY_JOB
        plan = reclaim.find(book, bid, terms)
    if plan is None and caps.give_way(book, orders, claim, lease):
        return False  # it is served when that has come back
    if plan is None and book.now - _has_nothing_since(lease or claim) >= STARVED:
        terms = Terms.STARVING
        if lease is not None:
            give_up_stuck(book, lease.node)
        plan = reclaim.find(book, bid, terms)
    elif plan is not None and not plan.in_turn(book.now):
        return False
    if plan is None:
        return False
    orders.promise(bid, plan, terms)
    return True
