"""Which leases are asked back, so that a claim that waits, or a parked lease, gets a slot.

The search looks at a bounded number of leases and nodes, whatever the size of the cluster: those that are most likely
to go, and then a few more nodes each time, so that all are looked at in the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from rustray.model.resources import CPU, Resources
from rustray.scheduler.leases import LeaseBook
from rustray.scheduler.records import NOTHING, Claim, Job, Lease, Node, Promise
from rustray.scheduler.terms import EPSILON, TURN, Bid, Scales, Terms

_NODES_SEARCHED = 8
_JOBS_SORTED = 16
_LEASES_TRIED = 64
_VAIN = 12
_UNCLAIMED_LOOKED_AT = 4
_LEASES_LOOKED_AT = 4  # of a job, at each tier


@dataclass(slots=True)
class Plan:
    """Revoke `victims`, and the bid fits on `node`.

    `broken`: a promise to one that is less urgent, whose slot to come this is. `on_its_way`: only together with
    slots that are promised to the bidder's job already, so not yet.
    """

    node: Node
    victims: list[Lease]
    on_its_way: bool = False
    broken: Promise | None = None

    def in_turn(self, now: float) -> bool:
        """Whether every victim has had its turn."""
        had = all(lease.claim.surplus > 0 or now - lease.since >= TURN for lease in self.victims)
        return had and not self.on_its_way


def likely(book: LeaseBook, bid: Bid, scales: Scales) -> Iterator[Plan]:
    """Ways to make room at first glance: slots to come that are nobody's, then single leases that are enough.

    For the usual case, slots of one size, the first is the right one, whatever the number of nodes. It may be asked
    for more after what it gave was taken.
    """
    if book.nodes.few_hosts(bid.claim.cls.shape) is not None:
        return
    request = bid.request
    for node in _to_come(book, bid):
        if scales.satisfied([]):
            yield Plan(node, [])
    vain = 0
    if scales.terms is Terms.TIER:
        yield from _outbid(book, bid)
    tried = min(_LEASES_TRIED, bid.claim.need + _VAIN)
    for lease in islice(_probable(book, bid, scales, alone=True), tried):
        node = lease.node
        if (
            lease.revocable
            and node.covers(request, lease.hold)
            and scales.allows(lease)
            and bid.suits(node)
            and scales.open_to(node)
            and scales.satisfied([lease])
        ):
            coming = node.covers(request, NOTHING) and scales.satisfied([])
            yield Plan(node, [] if coming else [lease])
        else:
            vain += 1
            if vain == _VAIN:
                return


def _outbid(book: LeaseBook, bid: Bid) -> Iterator[Plan]:
    """Slots to come that are promised to the least urgent."""
    lowest = bid.claim.cls.tier
    worse = (
        promise
        for tier in sorted(book.promises, reverse=True)
        if tier > lowest
        for promise in book.promises[tier]
        if promise.claim.cls.tier > lowest and not promise.urgent
    )
    for promise in list(islice(worse, _NODES_SEARCHED)):
        node = promise.node
        if promise in node.promises and node.covers(bid.request, promise.takes) and bid.suits(node):
            yield Plan(node, [], broken=promise)


def find(book: LeaseBook, bid: Bid, terms: Terms) -> Plan | None:
    """The first acceptable way to make room for the bid; slots that are to come anyway are used first."""
    scales = Scales(book, bid, terms)
    if bid.lease is not None:
        return plan_on(book, bid.lease.node, bid, scales)
    few = book.nodes.few_hosts(bid.claim.cls.shape)
    later: Plan | None = None
    for plan in _plans(book, bid, scales) if few is None else _plans_on(book, few, bid, scales):
        if not plan.on_its_way:
            return plan
        later = later or plan
    return later


def _plans(book: LeaseBook, bid: Bid, scales: Scales) -> Iterator[Plan]:
    """Ways to make room, the most promising nodes first."""
    yield from likely(book, bid, scales)
    nodes: dict[Node, None] = {}
    for lease in _probable(book, bid, scales):
        scales.forget()
        if lease.revocable and scales.allows(lease):
            nodes[lease.node] = None
            if len(nodes) == _NODES_SEARCHED:
                break
    for node in _next_in_line(book, bid, scales):
        nodes[node] = None
    yield from _plans_on(book, nodes, bid, scales)


def _plans_on(book: LeaseBook, nodes: Iterable[Node], bid: Bid, scales: Scales) -> Iterator[Plan]:
    for node in nodes:
        if (
            bid.request.fits(node.total)
            and bid.suits(node)
            and (plan := plan_on(book, node, bid, scales)) is not None
        ):
            yield plan


def plan_on(book: LeaseBook, node: Node, bid: Bid, scales: Scales) -> Plan | None:
    """A way to make room on one node."""
    if not scales.open_to(node):
        return None
    lacking = scales.with_own(node.lacks(bid.request))
    scales.forget()
    victims = _choose(lacking, node.leases.values(), scales)
    if victims is not None and scales.satisfied(victims):
        return Plan(node, victims)
    if scales.terms is Terms.OWN_JOB:
        promised = _promised_to(bid.claim.cls.job, node)
        if not promised:
            return None
        lacking = lacking.missing(promised)
        scales.forget()
        victims = _choose(lacking, node.leases.values(), scales)
        if victims is not None:
            return Plan(node, victims, on_its_way=True)
    return None


def relieve(node: Node) -> list[Lease]:
    """Leases to revoke so that a node on which too many workers woke has nothing below zero."""
    outlook = node.outlook()
    lacking = Resources({name: -units for name, units in outlook.items() if units < 0})
    return _choose(lacking, node.leases.values(), None) or []


def _promised_to(job: Job, node: Node) -> Resources:
    own = (promise.takes for promise in node.promises if promise.claim.cls.job is job)
    return sum(own, NOTHING)


def _choose(lacking: Resources, leases: Iterable[Lease], scales: Scales | None) -> list[Lease] | None:
    """The fewest of `leases`, by preference, that bring what is lacking; None if they cannot."""
    if not lacking:
        return []
    able = [lease for lease in leases if lease.revocable] if scales is None else scales.able(leases)
    if not able:
        return None
    victims: list[Lease] = []
    still = lacking
    for lease in sorted(able, key=_preference):
        hold = lease.hold
        if not any(name in hold for name in still) or (scales and victims and not scales.allows(lease)):
            continue
        victims.append(lease)
        still = still.missing(hold)
        if not still:
            return _spared(lacking, victims)
        if scales:
            scales.lose(lease)
    return None


def _spared(lacking: Resources, victims: list[Lease]) -> list[Lease]:
    """Without victims that a later, larger one made needless; those last in preference are spared first."""
    if len(victims) == 1:
        return victims
    brought = sum((lease.hold for lease in victims), NOTHING)
    for lease in victims[::-1]:
        if lacking.fits(brought - lease.hold):
            victims.remove(lease)
            brought -= lease.hold
    return victims


def _preference(lease: Lease) -> tuple[bool, int, float, float, float, int]:
    """Idle leases first; then of the worst tier; then of the job, and in it of the claim, that holds most; then
    the one that has run longest."""
    claim = lease.claim
    cls = claim.cls
    held = claim.kept * cls.shape.cost
    return claim.surplus <= 0, -lease.tier, -cls.job.share, -held, lease.since, lease.number


def _next_in_line(book: LeaseBook, bid: Bid, scales: Scales) -> Iterator[Node]:
    """A few more of all nodes, each time others; those with slots promised to the same job first."""
    if scales.terms is Terms.OWN_JOB:
        yield from {promise.node: None for promise in islice(bid.claim.cls.job.promises, _NODES_SEARCHED)}
    shape = bid.claim.cls.shape
    nodes = shape.domain.order
    for _ in range(min(_NODES_SEARCHED, len(nodes))):
        shape.looked = (shape.looked + 1) % len(nodes)
        yield nodes[shape.looked]


def _to_come(book: LeaseBook, bid: Bid) -> Iterator[Node]:
    """Nodes with slots to come that are nobody's."""
    for node in list(islice(book.unclaimed, _UNCLAIMED_LOOKED_AT)):
        if not node.leaving or node.open.get(CPU, 0) + node.coming.get(CPU, 0) <= 0:
            del book.unclaimed[node]
        elif node.covers(bid.request, NOTHING) and bid.suits(node):
            yield node
        else:  # others before it next time
            del book.unclaimed[node]
            book.unclaimed[node] = None


def _probable(book: LeaseBook, bid: Bid, scales: Scales, alone: bool = False) -> Iterator[Lease]:
    """Leases that may well go, the likeliest first. Some may have gone when their turn comes: things change while
    it is read. `alone`: only idle leases that are enough without another.
    """
    terms, own = scales.terms, bid.claim.cls.job
    yield from _idle(book, bid.request, alone)
    if terms is not Terms.OWN_JOB and terms is not Terms.IDLE:
        yield from _of_tiers(book, own, scales)
    if terms is Terms.OWN_JOB or terms is Terms.FAIR:
        for holder in _holders(own, scales.claim_after - EPSILON if terms is Terms.FAIR else -1.0):
            yield from list(islice(holder.leases.values(), _LEASES_LOOKED_AT))


def _idle(book: LeaseBook, request: Resources, alone: bool) -> Iterator[Lease]:
    """Idle leases: those that are enough first, the smallest of them before others."""
    fitting = [shape for shape in book.idle if request.fits(shape.request)]
    shapes = sorted(fitting, key=lambda shape: shape.cost)
    if not alone:
        shapes += [shape for shape in book.idle if shape not in fitting]
    for shape in shapes:
        for claim in list(islice(book.idle.get(shape, ()), _NODES_SEARCHED)):
            yield from list(islice(claim.leases.values(), _LEASES_LOOKED_AT))


def _of_tiers(book: LeaseBook, own: Job, scales: Scales) -> Iterator[Lease]:
    """Leases of the worst tiers, and of those with the largest shares there."""
    terms = scales.terms
    worst_only = terms is Terms.TIER
    any_tier = terms is Terms.GUARANTEE or terms is Terms.STARVING
    for tier in sorted(book.tiers, reverse=True):
        if not any_tier and (tier <= scales.tier if worst_only else tier < scales.tier):
            return
        for job in _largest(book, book.tiers[tier], scales):
            if job is own and not worst_only:
                continue
            leases = list(islice(job.tiers.get(tier, ()), _LEASES_LOOKED_AT))
            if terms is Terms.FAIR and not any(scales.allows(lease) for lease in leases[:1]):
                continue  # its share allows none
            first = job.by_spare().first()
            if first is not None and first.cls.tier == tier:
                yield from list(islice(first.leases.values(), _LEASES_LOOKED_AT))
            yield from leases


def _holders(job: Job, least: float) -> Iterator[Claim]:
    """Claims of a job that would have at least so much left after one lease, who has most first."""
    for holder in islice(job.by_spare().ranked(), _NODES_SEARCHED):
        rank = job.holders.rank(holder)
        if rank is None or -rank[0] < least:
            return
        yield holder


def _largest(book: LeaseBook, jobs: dict[Job, None], scales: Scales) -> Iterator[Job]:
    """Those with the largest shares, as far as these are large enough to lose any of it.

    Where jobs are many, their order is that of the last tick.
    """
    least = scales.job_after - EPSILON
    if len(jobs) <= _JOBS_SORTED:
        return iter(sorted((job for job in jobs if job.share >= least), key=_by_share)[:_NODES_SEARCHED])
    fitting = (job for job in book.largest if job.share >= least and job in jobs)
    return islice(fitting, _NODES_SEARCHED)


def _by_share(job: Job) -> tuple[float, int]:
    return -job.share, job.turn
