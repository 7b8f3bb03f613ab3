"""Whose leases are asked back, so that a claim that waits, or a parked lease, gets a slot.

Idle leases go first and need no justification. Otherwise, in this order (`Terms`):

- a job that has less than its guaranteed minimum takes from whoever has more than his;
- one takes from a worse tier, but a class that is new or has used much of its level only a few leases at a
  time (`reach`), lest a burst of quick tasks stops the whole cluster for a moment;
- shares are max-min fair by dominant resource and weight (Ghodsi et al., NSDI 2011) among those of the same
  tier and worse: a lease moves only if its loser, after losing it, still has at least what the winner, after
  winning, will have. Equal shares therefore rest, and no lease moves back and forth;
- where there are more claims than slots, some hold nothing although nobody holds too much. They take turns:
  one without any lease may, after some patience, have a lease that was kept for `TURN` seconds. It takes from
  its own job first, so that a job with many classes gets no more than one with few;
- one that has had nothing for seconds, because others are more urgent all the time, may have any lease.

The search looks at a bounded number of nodes, whatever the size of the cluster: those of the leases that are
most likely to go, and then a few more each time, so that all are looked at in the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import chain, islice
from math import ceil

from rustray.model.resources import CPU, Resources
from rustray.scheduler import levels
from rustray.scheduler.leases import LeaseBook
from rustray.scheduler.placement import admits, dominant_share, leaves_room
from rustray.scheduler.records import NOTHING, Claim, Job, Lease, Node, Shape

TURN = 0.1
"""Seconds that a lease is kept at least while others have none. Changing hands costs about a millisecond
(a function to load, a worker to wake), so turns of 100 ms lose about 1 %."""

REACH = 0.05
"""A class may take a lease of a worse tier for each so many lease-seconds that are left to it at its level."""

_EPSILON = 1e-9
_NODES_SEARCHED = 8
_LEASES_LOOKED_AT = 64


class Terms(Enum):
    """From whom one may take leases that are in use."""

    IDLE = "idle"
    GUARANTEE = "another job's guaranteed minimum"
    TIER = "more urgent work"
    FAIR = "more than its fair share"
    OWN_JOB = "another class's turn"
    ANY_JOB = "another job's turn"
    STARVING = "one that had nothing for long"


@dataclass(slots=True)
class Bid:
    """Who wants room: a claim, or a parked lease of it, which fits its own node only."""

    claim: Claim
    lease: Lease | None = None

    @property
    def request(self) -> Resources:
        if self.lease is None:
            return self.claim.cls.shape.request
        return NOTHING if self.lease.blocked else self.claim.cls.shape.lent

    @property
    def tier(self) -> int:
        return self.claim.cls.tier

    def suits(self, node: Node) -> bool:
        if self.lease is not None:
            return node is self.lease.node
        shape = self.claim.cls.shape
        return admits(shape, node) and not (
            shape.stays and node.resting and not leaves_room(shape.lent, node)
        )


@dataclass(slots=True)
class Plan:
    """Revoke `victims`, and the bid fits on `node`.

    `on_its_way`: only together with slots that are promised to the bidder's job already, so not yet.
    """

    node: Node
    victims: list[Lease]
    on_its_way: bool = False

    def in_turn(self, now: float) -> bool:
        """Whether every victim has had its turn."""
        had = all(lease.claim.surplus > 0 or now - lease.since >= TURN for lease in self.victims)
        return had and not self.on_its_way


class _Scales:
    """Weighs one victim after another against the bid, each as if those before had been lost."""

    def __init__(self, book: LeaseBook, bid: Bid, terms: Terms) -> None:
        self._book = book
        self._bid = bid
        self._terms = terms
        claim = bid.claim
        shape, job = claim.cls.shape, claim.cls.job
        self.claim_after = (claim.standing + 1) * shape.cost
        self.job_after = job_after(book, bid) if terms is Terms.FAIR else 0.0
        self._must_be_own = own_only(job, shape.cpus if bid.request else 0)
        self._lost_by_claim: dict[Claim, int] = {}
        self._lost_by_job: dict[Job, Resources] = {}

    def allows(self, lease: Lease) -> bool:
        loser, book = lease.claim, self._book
        job, winner = loser.cls.job, self._bid.claim.cls.job
        own = job is winner
        if self._must_be_own and not own:
            return False
        if loser is self._bid.claim and self._bid.lease is None:
            return False
        lost = self._lost_by_claim.get(loser, 0)
        if loser.surplus > lost:
            return True
        if lease.shield > book.now or self._terms is Terms.IDLE:
            return False
        if job.floor and not own and self._rest(job, lease).get(CPU, 0) < job.floor:
            return False
        terms, tier = self._terms, self._bid.tier
        if terms is Terms.GUARANTEE or terms is Terms.STARVING:
            return not own or terms is Terms.STARVING
        if lease.tier < tier:
            return False
        if terms is Terms.TIER:
            return lease.tier > tier
        if terms is not Terms.FAIR:
            return own or terms is Terms.ANY_JOB
        if own:
            return (loser.kept - lost - 1) * loser.cls.shape.cost >= self.claim_after - _EPSILON
        share = dominant_share(self._rest(job, lease), book.nodes.total) / job.weight
        return share >= self.job_after - _EPSILON

    def _rest(self, job: Job, lease: Lease) -> Resources:
        return Resources(job.usage) - self._lost_by_job.get(job, NOTHING) - lease.hold

    def lose(self, lease: Lease) -> None:
        loser, job = lease.claim, lease.claim.cls.job
        self._lost_by_claim[loser] = self._lost_by_claim.get(loser, 0) + 1
        self._lost_by_job[job] = self._lost_by_job.get(job, NOTHING) + lease.hold

    def satisfied(self, victims: list[Lease]) -> bool:
        """Whether a job at its cap gives up as much itself."""
        return sum(lease.claim.cls.shape.cpus for lease in victims) >= self._must_be_own


def own_only(job: Job, cpus: int) -> int:
    """Units of CPU that a job near its cap must give up itself to have so many more."""
    return 0 if job.cap is None else max(0, job.usage.get(CPU, 0) + cpus - job.cap)


def job_after(book: LeaseBook, bid: Bid) -> float:
    """The weighted share of the bidder's job if it wins."""
    job = bid.claim.cls.job
    return dominant_share(bid.request + job.usage, book.nodes.total) / job.weight


def reach(claim: Claim) -> int:
    """How many leases of worse tiers the claim may have taken at a time."""
    cls = claim.cls
    left = levels.QUANTA[cls.level] - cls.used
    return ceil(left / REACH) if left < levels.QUANTA[-1] else 2**31


def find(book: LeaseBook, bid: Bid, terms: Terms) -> Plan | None:
    """The first acceptable way to make room for the bid; slots that are to come anyway are used first."""
    later: Plan | None = None
    for node in _candidates(book, bid, terms):
        plan = plan_on(book, node, bid, terms)
        if plan is None:
            continue
        if not plan.on_its_way:
            return plan
        later = later or plan
    return later


def plan_on(book: LeaseBook, node: Node, bid: Bid, terms: Terms) -> Plan | None:
    if terms is Terms.STARVING and node.relief_at > book.now:
        return None
    lacking = bid.request.missing(node.outlook())
    scales = _Scales(book, bid, terms)
    victims = _choose(lacking, node.leases.values(), scales)
    if victims is not None and scales.satisfied(victims):
        return Plan(node, victims)
    if terms is Terms.OWN_JOB:
        lacking = lacking.missing(_promised_to(bid.claim.cls.job, node))
        victims = _choose(lacking, node.leases.values(), _Scales(book, bid, terms))
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


def _choose(lacking: Resources, leases: Iterable[Lease], scales: _Scales | None) -> list[Lease] | None:
    """The fewest of `leases`, by preference, that bring what is lacking; None if they cannot."""
    if not lacking:
        return []
    victims: list[Lease] = []
    still = lacking
    for lease in sorted((lease for lease in leases if lease.revocable), key=_preference):
        if not still:
            break
        hold = lease.hold
        if not any(name in hold for name in still) or (scales and not scales.allows(lease)):
            continue
        if scales:
            scales.lose(lease)
        victims.append(lease)
        still = still.missing(hold)
    if still:
        return None
    return _spared(lacking, victims)


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
    job = claim.cls.job
    held = claim.kept * claim.cls.shape.cost
    return claim.surplus <= 0, -lease.tier, -job.share, -held, lease.since, lease.number


def _candidates(book: LeaseBook, bid: Bid, terms: Terms) -> Iterator[Node]:
    """Nodes on which it is worth to look for victims, the most promising first, each once.

    For the usual case, slots of one size, the first is the right one, whatever the number of nodes.
    """
    if bid.lease is not None:
        yield bid.lease.node
        return
    seen: set[Node] = set()
    few = book.nodes.few_hosts(bid.claim.cls.shape)
    if few is not None:
        yield from (node for node in few if bid.suits(node))
        return
    for node in islice(_probable(book, bid, terms), _LEASES_LOOKED_AT):
        if node not in seen:
            seen.add(node)
            if bid.suits(node):
                yield node
                if len(seen) >= _NODES_SEARCHED:
                    break
    for node in _next_in_line(bid.claim.cls.shape):
        if node not in seen and bid.suits(node):
            yield node


def _next_in_line(shape: Shape) -> Iterator[Node]:
    """A few more of all nodes, each time others."""
    nodes = shape.domain.order
    for _ in range(min(_NODES_SEARCHED, len(nodes))):
        shape.looked = (shape.looked + 1) % len(nodes)
        yield nodes[shape.looked]


def _probable(book: LeaseBook, bid: Bid, terms: Terms) -> Iterator[Node]:
    for node in list(islice(book.unclaimed, _NODES_SEARCHED)):
        if node.leaving:
            yield node
        else:
            del book.unclaimed[node]
    for idle in islice(book.surplus, _NODES_SEARCHED):
        yield from _nodes_of(idle.leases.values())
    own = bid.claim.cls.job
    if terms is Terms.OWN_JOB or terms is Terms.FAIR:
        for holder in islice(own.holders.ranked(), _NODES_SEARCHED):
            yield from islice(_nodes_of(holder.leases.values()), 2)
    if terms is Terms.OWN_JOB:
        for promise in islice(own.promises, _NODES_SEARCHED):
            yield promise.node
        return
    lowest = bid.tier if terms is not Terms.TIER else bid.tier + 1
    for tier in sorted(book.tiers, reverse=True):
        if tier < lowest and terms is not Terms.GUARANTEE and terms is not Terms.STARVING:
            return
        for job in sorted(book.tiers[tier], key=lambda job: (-job.share, job.turn))[:_NODES_SEARCHED]:
            if job is not own or terms is Terms.TIER:
                first = job.holders.first()
                yield from islice(
                    _nodes_of(chain(first.leases.values() if first else (), job.tiers[tier])), 4
                )


def _nodes_of(leases: Iterable[Lease]) -> Iterator[Node]:
    for lease in leases:
        if lease.revocable:
            yield lease.node
