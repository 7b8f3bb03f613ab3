"""Whose leases are asked back, so that a claim that waits gets a slot.

Idle leases go first and need no justification. Otherwise shares are max-min fair by dominant resource
(Ghodsi et al., NSDI 2011): a lease moves only if its loser, after losing it, still has at least what the
winner, after winning, will have. Equal shares therefore rest, and no lease moves back and forth.

Where there are more claims than slots, some hold nothing although nobody holds too much. They take turns:
a claim without any lease may, after `TURN` seconds of waiting, have a lease that was held for `TURN`
seconds. It takes from its own job first, so that a job with many classes gets no more than one with few.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from rustray.model.resources import Resources
from rustray.scheduler.leases import LeaseBook
from rustray.scheduler.placement import admits, dominant_share
from rustray.scheduler.records import Claim, Job, Lease, Node, Shape

TURN = 0.1
"""Seconds that a lease is kept at least while others have none. Changing hands costs about a millisecond
(a function to load, a worker to wake), so turns of 100 ms lose about 1 %."""

_EPSILON = 1e-9


class Terms(Enum):
    """From whom a claim may take leases that are in use."""

    FAIR = "more than its fair share"
    OWN_JOB = "another class's turn"
    ANY_JOB = "another job's turn"


@dataclass(slots=True)
class Plan:
    """Revoke `victims`, and the claim's request fits on `node`.

    `on_its_way`: only together with slots that are promised to the claim's job already, so not yet.
    """

    node: Node
    victims: list[Lease]
    on_its_way: bool = False

    def in_turn(self, now: float) -> bool:
        """Whether every victim has had its turn."""
        had = all(lease.claim.surplus > 0 or now - lease.granted >= TURN for lease in self.victims)
        return had and not self.on_its_way


class _Scales:
    """Weighs one victim after another against the claim, each as if those before had been lost."""

    def __init__(self, book: LeaseBook, claim: Claim, terms: Terms) -> None:
        self._cluster = book.nodes.total
        self._claim = claim
        self._terms = terms
        shape, job = claim.cls.shape, claim.cls.job
        self.claim_after = (claim.standing + 1) * shape.cost
        self.job_after = dominant_share(shape.request + job.usage, self._cluster)
        self._lost_by_claim: dict[Claim, int] = {}
        self._lost_by_job: dict[Job, Resources] = {}

    def allows(self, lease: Lease) -> bool:
        loser = lease.claim
        lost = self._lost_by_claim.get(loser, 0)
        if loser is self._claim:
            return False
        if loser.surplus > lost:
            return True
        job = loser.cls.job
        own = job is self._claim.cls.job
        if self._terms is not Terms.FAIR:
            return own or self._terms is Terms.ANY_JOB
        if own:
            return (loser.kept - lost - 1) * loser.cls.shape.cost >= self.claim_after - _EPSILON
        rest = Resources(job.usage) - self._lost_by_job.get(job, Resources()) - lease.hold
        return dominant_share(rest, self._cluster) >= self.job_after - _EPSILON

    def lose(self, lease: Lease) -> None:
        loser, job = lease.claim, lease.claim.cls.job
        self._lost_by_claim[loser] = self._lost_by_claim.get(loser, 0) + 1
        self._lost_by_job[job] = self._lost_by_job.get(job, Resources()) + lease.hold


def find(book: LeaseBook, claim: Claim, terms: Terms) -> Plan | None:
    """The first acceptable way to make room for the claim; slots that are to come anyway are used first."""
    request = claim.cls.shape.request
    later: Plan | None = None
    for node in _candidates(book, claim, terms):
        lacking = request.missing(node.outlook())
        victims = _choose(lacking, node.leases.values(), _Scales(book, claim, terms))
        if victims is not None:
            return Plan(node, victims)
        if terms is Terms.OWN_JOB and later is None:
            lacking = lacking.missing(_promised_to(claim.cls.job, node))
            victims = _choose(lacking, node.leases.values(), _Scales(book, claim, terms))
            if victims is not None:
                later = Plan(node, victims, on_its_way=True)
    return later


def relieve(node: Node) -> list[Lease]:
    """Leases to revoke so that a node on which too many workers woke has nothing below zero."""
    outlook = node.outlook()
    lacking = Resources({name: -units for name, units in outlook.items() if units < 0})
    return _choose(lacking, node.leases.values(), None) or []


def _promised_to(job: Job, node: Node) -> Resources:
    own = (promise.claim.cls for promise in node.promises if promise.claim.cls.job is job)
    return sum((cls.shape.request for cls in own), Resources())


def _choose(lacking: Resources, leases: Iterable[Lease], scales: _Scales | None) -> list[Lease] | None:
    """The fewest of `leases`, by preference, that bring what is lacking; None if they cannot."""
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
    brought = sum((lease.hold for lease in victims), Resources())
    for lease in victims[::-1]:
        if lacking.fits(brought - lease.hold):
            victims.remove(lease)
            brought -= lease.hold
    return victims


def _preference(lease: Lease) -> tuple[bool, float, float, float, int]:
    """Idle leases first; then of the job, and in it of the claim, that holds most; then the oldest."""
    claim = lease.claim
    job = claim.cls.job
    return claim.surplus <= 0, -job.share, -claim.kept * claim.cls.shape.cost, lease.granted, lease.number


def _candidates(book: LeaseBook, claim: Claim, terms: Terms) -> Iterator[Node]:
    """Nodes on which it is worth to look for victims, the most promising first, each once.

    For the usual case, slots of one size, the first is the right one, whatever the number of nodes.
    """
    seen: set[Node] = set()
    few = book.nodes.few_hosts(claim.cls.shape)
    for node in _probable(book, claim, terms) if few is None else few:
        if node not in seen:
            seen.add(node)
            if admits(claim.cls.shape, node):
                yield node


def _probable(book: LeaseBook, claim: Claim, terms: Terms) -> Iterator[Node]:
    for node in list(book.unclaimed):
        if node.leaving:
            yield node
        else:
            del book.unclaimed[node]
    for idle in book.surplus:
        yield from _nodes_of(idle.leases.values())
    for job in _losers(book, claim, terms):
        yield from _nodes_of_losers(book, job, claim, terms)
    if terms is Terms.OWN_JOB:
        for promise in claim.cls.shape.promises:
            if promise.claim.cls.job is claim.cls.job:
                yield promise.node


def _losers(book: LeaseBook, claim: Claim, terms: Terms) -> list[Job]:
    """Jobs that might lose a lease to the claim, the one with the largest share first."""
    winner = claim.cls.job
    if terms is Terms.OWN_JOB:
        return [winner]
    jobs: Iterable[Job] = book.jobs.values()
    if terms is Terms.FAIR:
        least = _Scales(book, claim, terms).job_after - _EPSILON
        jobs = [
            job
            for job in jobs
            if job is winner
            or (job.share >= least and any(_left(book, job, s) >= least for s in book.shapes.values()))
        ]
    return sorted(jobs, key=lambda job: (-job.share, job.turn))


def _nodes_of_losers(book: LeaseBook, job: Job, claim: Claim, terms: Terms) -> Iterator[Node]:
    """Nodes of the job's leases, of whoever can spare most first. What shares forbid anyway is left out here:
    there may be thousands of leases, and of shapes but a few."""
    scales = _Scales(book, claim, terms)
    spares: dict[Shape, bool] = {}
    for holder in job.holders.ranked():
        shape = holder.cls.shape
        if terms is Terms.FAIR and job is claim.cls.job:
            if (holder.kept - 1) * shape.cost < scales.claim_after - _EPSILON:
                return
        elif terms is Terms.FAIR:
            if shape not in spares:
                spares[shape] = _left(book, job, shape) >= scales.job_after - _EPSILON
            if not spares[shape]:
                continue
        yield from _nodes_of(holder.leases.values())


def _left(book: LeaseBook, job: Job, shape: Shape) -> float:
    """The share of the job after the loss of a lease of that shape."""
    return dominant_share(Resources(job.usage) - shape.request, book.nodes.total)


def _nodes_of(leases: Collection[Lease]) -> Iterator[Node]:
    for lease in leases:
        if lease.revocable:
            yield lease.node
