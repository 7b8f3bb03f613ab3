"""Who may take a lease from whom.

Idle leases go first and need no justification. Otherwise, in this order (`Terms`):

- a job that has less than its guaranteed minimum takes from whoever has more than his;
- one takes from a worse tier, but a class that is new or has used much of its level only a few leases at a
  time (`reach`), lest a burst of quick tasks stops the whole cluster for a moment;
- shares are max-min fair by dominant resource and weight (Ghodsi et al., NSDI 2011) among those of the same
  tier and worse: a lease moves only if its loser, after losing it, still has at least what the winner, after
  winning, will have. Equal shares therefore rest, and no lease moves back and forth;
- slots are whole, so shares can rest far from the weights where a job has few of them. One that has less by weight
  than another, and was served less so far (`service`), takes a lease from that, whatever it is left with. The rule
  before does not take it back, for whoever loses had more;
- where there are more claims than slots, some hold nothing although nobody holds too much. They take turns:
  one without any lease may, after some patience, have a lease that was kept for `TURN` seconds. It takes from
  its own job first, so that a job with many classes gets no more than one with few; from another only if its own job
  has something already, or was served no more than that;
- one that has had nothing for seconds, because others are more urgent all the time, may have any lease.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from math import ceil

from rustray.model.resources import CPU, Resources
from rustray.scheduler import levels
from rustray.scheduler.leases import LeaseBook
from rustray.scheduler.placement import is_meant, leaves_room
from rustray.scheduler.records import NOTHING, Claim, Job, Lease, Node, Shape, dominant_share

TURN = 0.1
"""Seconds that a lease is kept at least while others have none. Changing hands costs about a millisecond
(a function to load, a worker to wake), so turns of 100 ms lose about 1 %."""

REACH = 0.05
"""A class may take a lease of a worse tier for each so many lease-seconds that are left to it at its level."""

REACH_OF_BRIEF = 8
"""One of brief tasks may take half of its share whatever is left to it, but no more than so many."""

SWING = 0.2
SWING_OF_SOME = 4.0
"""Seconds of a lease that a job must be behind another to take one for that: few if the other is left with none, for
then it waits until they are even; more if it keeps some, for a lease that goes back and forth gains nobody much."""

FEW = 8
"""One that is behind takes a lease only if a job has no more of them than that: of more, one is too little."""

TOLERANCE = 0.05
EPSILON = 1e-9


class Terms(Enum):
    """From whom one may take leases that are in use."""

    IDLE = "idle"
    GUARANTEE = "another job's guaranteed minimum"
    TIER = "more urgent work"
    FAIR = "more than its fair share"
    BEHIND = "the share of one that was served less"
    OWN_JOB = "another class's turn"
    ANY_JOB = "another job's turn"
    STARVING = "one that had nothing for long"


class Bid:
    """Who wants room: a claim, or a parked lease of it, which fits its own node only. `request`: how much room."""

    __slots__ = "claim", "lease", "request"

    def __init__(self, claim: Claim, lease: Lease | None = None) -> None:
        shape = claim.cls.shape
        self.claim = claim
        self.lease = lease
        self.request = shape.request if lease is None else NOTHING if lease.blocked else shape.lent

    def suits(self, node: Node) -> bool:
        """Whether the node would do if it had the room."""
        if self.lease is not None:
            return node is self.lease.node
        shape = self.claim.cls.shape
        return is_meant(shape, node) and not (
            shape.stays and node.resting and not leaves_room(shape.lent, node)
        )


class Scales:
    """Weighs one victim after another against the bid, each as if those before had been lost."""

    __slots__ = (
        "_bid",
        "_book",
        "_claim",
        "_claim_after",
        "_job",
        "_job_after",
        "_lost_by_claim",
        "_lost_by_job",
        "_must_be_own",
        "_parked",
        "_shares",
        "terms",
        "tier",
    )

    def __init__(self, book: LeaseBook, bid: Bid, terms: Terms) -> None:
        self._book = book
        self.terms = terms
        self._bid = bid
        self._claim = bid.claim
        self._job = bid.claim.cls.job
        self._parked = bid.lease is not None
        self.tier = bid.claim.cls.tier
        self._lost_by_claim: dict[Claim, int] = {}
        self._lost_by_job: dict[Job, Resources] = {}
        self.renew()

    def renew(self) -> None:
        """Shares have changed."""
        bid, job = self._bid, self._job
        self._claim_after = self._job_after = -1.0
        self._must_be_own = (
            0 if job.cap is None else own_only(job, bid.claim.cls.shape.cpus if bid.request else 0)
        )
        self._shares: dict[tuple[Job, Shape], float] = {}
        self.forget()

    @property
    def claim_after(self) -> float:
        """What the bidder will have, as a share of the cluster."""
        if self._claim_after < 0:
            self._claim_after = (self._claim.standing + 1) * self._claim.cls.shape.cost
        return self._claim_after

    @property
    def job_after(self) -> float:
        """The share that a loser must be left with, if shares are what counts."""
        if self._job_after < 0:
            self._job_after = fair_from(self._book, self._bid) if self.terms is Terms.FAIR else 0.0
        return self._job_after

    def forget(self) -> None:
        """Begin with the victims anew."""
        if self._lost_by_claim:
            self._lost_by_claim, self._lost_by_job = {}, {}

    def able(self, leases: Iterable[Lease]) -> list[Lease]:
        """Those of the leases that may go. Most are weighed in vain, so what rules out most of them comes first."""
        own_only, tier, job = self.terms is Terms.OWN_JOB, self.tier, self._job
        found = []
        for lease in leases:
            if not lease.revocable:
                continue
            loser = lease.claim
            if own_only and loser.surplus <= 0 and (lease.tier < tier or loser.cls.job is not job):
                continue
            if self.allows(lease):
                found.append(lease)
        return found

    def allows(self, lease: Lease) -> bool:
        loser = lease.claim
        job = loser.cls.job
        own = job is self._job
        if self._must_be_own and not own:
            return False
        if loser is self._claim and not self._parked:
            return False
        lost = self._lost_by_claim.get(loser, 0)
        if loser.surplus > lost:
            return True
        terms = self.terms
        if terms is Terms.IDLE or lease.shield > self._book.now:
            return False
        if terms is Terms.STARVING:
            return True
        if job.floor and not own and self._cpus_after(job, lease) < job.floor:
            return False
        if terms is Terms.FAIR:
            if lease.tier < self.tier:
                return False
            if own:
                return (loser.kept - lost - 1) * loser.cls.shape.cost >= self.claim_after - EPSILON
            least = self.job_after - EPSILON
            return job.share >= least and self._share_after(job, lease) >= least
        if terms is Terms.BEHIND:
            had = self._book.now - lease.since >= TURN
            return had and not own and lease.tier >= self.tier and self._is_behind(job, loser.cls.shape)
        if terms is Terms.TIER:
            return lease.tier > self.tier
        if terms is Terms.GUARANTEE:
            return not own
        if lease.tier < self.tier:
            return False
        if own or terms is not Terms.ANY_JOB:
            return own
        return self._job.share > 0 or self._had_as_much(job, loser.cls.shape)

    def _had_as_much(self, job: Job, shape: Shape) -> bool:
        """Whether the bidder's job was served no more than the other, or by less than a turn."""
        mine = self._job
        turn = TURN / 2 * shape.cost * (1 / mine.weight + 1 / job.weight)
        return job.served > mine.served - turn

    def _is_behind(self, job: Job, shape: Shape) -> bool:
        """Whether the bidder's job has less than the other, and was served less."""
        mine = self._job
        lag, turn = job.served - mine.served, shape.cost * (1 / mine.weight + 1 / job.weight)
        if lag < SWING * turn:
            return False
        lost = self._lost_by_job.get(job)
        has = job.share if lost is None else self._weighed(job, lost)
        if has * job.weight > 1.5 * shape.cost and lag < SWING_OF_SOME * turn:
            return False
        few = FEW * shape.cost + EPSILON
        return has > mine.share + EPSILON and (has * job.weight <= few or mine.share * mine.weight < few)

    def _cpus_after(self, job: Job, lease: Lease) -> int:
        lost = self._lost_by_job.get(job, NOTHING)
        return job.usage.get(CPU, 0) - lost.get(CPU, 0) - lease.claim.cls.shape.cpus

    def _share_after(self, job: Job, lease: Lease) -> float:
        lost, shape = self._lost_by_job.get(job, NOTHING), lease.claim.cls.shape
        if not lost and (known := self._shares.get((job, shape))) is not None:
            return known
        hold = lease.hold
        share = self._weighed(job, lost + hold)
        if not lost:
            self._shares[job, shape] = share
        return share

    def _weighed(self, job: Job, lost: Resources) -> float:
        left = {name: units - lost.get(name, 0) for name, units in job.usage.items()}
        return dominant_share(left, self._book.nodes.total) / job.weight

    def lose(self, lease: Lease) -> None:
        loser, job = lease.claim, lease.claim.cls.job
        self._lost_by_claim[loser] = self._lost_by_claim.get(loser, 0) + 1
        self._lost_by_job[job] = self._lost_by_job.get(job, NOTHING) + lease.hold

    def open_to(self, node: Node) -> bool:
        """Whether the node has not just given something to one that starved."""
        return self.terms is not Terms.STARVING or node.relief_at <= self._book.now

    def with_own(self, lacking: Resources) -> Resources:
        """What is lacking, if a job near its cap must give up so much itself."""
        if self._must_be_own <= lacking.get(CPU, 0):
            return lacking
        return Resources({**lacking, CPU: self._must_be_own})

    def satisfied(self, victims: list[Lease]) -> bool:
        """Whether a job at its cap gives up as much itself."""
        if not self._must_be_own:
            return True
        return sum(lease.claim.cls.shape.cpus for lease in victims) >= self._must_be_own


def own_only(job: Job, cpus: int) -> int:
    """Units of CPU that a job near its cap must give up itself to have so many more."""
    return 0 if job.cap is None or not cpus else max(0, job.usage.get(CPU, 0) + cpus - job.cap)


def fair_from(book: LeaseBook, bid: Bid) -> float:
    """The share that a loser must be left with: what the bidder's job will have, and, where that is many leases, a
    little more (`TOLERANCE`): to even out the last of a hundred is not worth its price."""
    after, shape = job_after(book, bid), bid.claim.cls.shape
    return after + max(0.0, TOLERANCE * after - shape.cost / bid.claim.cls.job.weight)


def job_after(book: LeaseBook, bid: Bid) -> float:
    """The weighted share of the bidder's job if it wins."""
    job, cluster = bid.claim.cls.job, book.nodes.total
    usage: Mapping[str, int] = job.usage
    share = job.share * job.weight
    for name, units in bid.request.items():
        there = cluster.get(name)
        part = (usage.get(name, 0) + units) / there if there else 1.0
        if part > share:
            share = part
    return share / job.weight


def reach(claim: Claim) -> int:
    """How many leases of worse tiers the claim may have taken at a time."""
    cls = claim.cls
    left = levels.QUANTA[cls.level] - cls.used
    if left == levels.QUANTA[-1]:
        return 2**31
    light = min(REACH_OF_BRIEF, int(cls.share / 2)) if levels.is_brief(cls) else 0
    return max(ceil(left / REACH), light)
