"""Queues and sums that follow from claims: who waits in which line, and at what rank; who may lose what.

Rule 1. A claim stands in its job's line of its shape exactly while `need` > 0.
Rule 2. A job stands in a shape's queue while it has a line there and is below its cap, at the rank of the first
        in that line: tier, then weighted share, then whose turn it is. `waiting` has the shapes with such jobs.
        Ranks change with every lease and are seldom asked for: those of jobs that `moved` are put right by
        `rank_moved`, which whoever reads the queue calls. Who stands in it is right at any time.
Rule 3. A lease that may be revoked is in its job's list of its tier, and the job in `tiers`.
Rule 4. A claim that waits with nothing, and a parked lease, are in `hungry` until they are served.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from rustray.model.resources import CPU, Resources
from rustray.scheduler import levels, service
from rustray.scheduler.constraints import ANYWHERE, Constraint
from rustray.scheduler.levels import LOWEST
from rustray.scheduler.placement import Nodes
from rustray.scheduler.queues import RankedQueue
from rustray.scheduler.records import OWED, Claim, Job, Lease, Node, SchedulingClass, Shape

PATIENCE = 0.1
"""Seconds that one with nothing waits before it asks for the turn of another."""

SHARES_LAST = 0.1
"""Seconds after which the fair share of a class that is used is found anew."""

SHARES_LOOKED_AT = 1.0
"""Seconds after which that is done although nothing happens to a class whose share covers what runs of it: others may
have come."""


class Lines:
    """`now` is the time of the current step, in seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.nodes = Nodes()
        self.jobs: dict[int, Job] = {}
        self.classes: dict[bytes, SchedulingClass] = {}
        self.shapes: dict[tuple[Resources, Constraint, bool], Shape] = {}
        self.leases: dict[int, Lease] = {}
        self.claims_of: dict[int, dict[Claim, None]] = {}  # by client
        self.waiting: dict[Shape, None] = {}  # shapes with a job to be served
        self.called: dict[Shape, None] = {}  # those of them with someone new since slots were given out last
        self.freed: dict[Node, None] = {}  # nodes with something new open since then
        self.surplus: dict[Claim, None] = {}  # claims that keep leases without use
        self.idle: dict[Shape, dict[Claim, None]] = {}  # the same, by shape
        self.tiers: dict[int, dict[Job, None]] = {}  # jobs with revocable leases
        self.parked: dict[Lease, None] = {}  # suspended, the oldest first
        self.hungry: RankedQueue[Claim | Lease] = RankedQueue()  # by when they may next ask for a turn
        self.expiries: RankedQueue[SchedulingClass] = RankedQueue()  # by when their level ends, or earlier
        self.grown: dict[Job, None] = {}  # jobs that were charged for more since `top_share` was asked for
        self.least_loss = 0.0  # no lease is a smaller share of any job; likewise
        self.most_served = 0.0  # no job that could lose a lease was served more; likewise
        self.demanding = 0.0  # the weights of all jobs that demand something
        self.fixed_cpus = 0  # units of CPU of all nodes that no preemption gets back
        self.largest: list[Job] = []  # jobs by share, at the last tick
        self._turn = 0
        self._top_share = 0.0

    # -- ranks

    def _next_turn(self) -> int:
        self._turn += 1
        return self._turn

    def _charge(self, job: Job, node: Node, amounts: Mapping[str, int], sign: int) -> None:
        """Whoever charges refreshes a claim of the job then."""
        job.stale = True
        if node.host is None:
            job.weighed = None
            if sign > 0:
                self.grown[job] = None
            usage = job.usage
            for name, units in amounts.items():
                usage[name] = usage.get(name, 0) + sign * units

    def top_share(self) -> float:
        """No job's share is greater, and at the last tick one was as great."""
        if self.grown:
            self._top_share = max(self._top_share, max(job.share for job in self.grown))
            self.grown.clear()
        return self._top_share

    def _reweigh(self, job: Job) -> None:
        """Its weight has changed, or the cluster."""
        job.weighed, job.cluster = None, self.nodes.total
        self.grown[job] = None
        self._rerank(job)

    def _rerank(self, job: Job) -> None:
        job.stale = False
        if job.cap is None:
            for shape in job.lines:
                shape.moved[job] = None
        else:
            self._place_lines(job)

    def rank_moved(self, shape: Shape) -> None:
        """Rule 2."""
        moved = shape.moved
        while moved:
            job = moved.popitem()[0]
            line = job.lines.get(shape)
            if line is not None and job in shape.jobs.ranks:
                self._place(job, shape, line)

    def _place_lines(self, job: Job) -> None:
        for shape, line in job.lines.items():
            self._place(job, shape, line)

    def _moved(self, job: Job, shape: Shape, line: RankedQueue[Claim]) -> None:
        """The first of a line may be another, or none."""
        if job.cap is None and line.ranks and job in shape.jobs.ranks:
            shape.moved[job] = None
        else:
            self._place(job, shape, line)

    def _place(self, job: Job, shape: Shape, line: RankedQueue[Claim]) -> None:
        """Rule 2."""
        jobs, first = shape.jobs, line.first()
        if first is None or (job.cap is not None and job.capped(shape.cpus)):
            if job in jobs.ranks:
                jobs.discard(job)
                if not jobs.ranks:
                    self.waiting.pop(shape, None)
            return
        if job not in jobs.ranks:
            self.waiting[shape] = self.called[shape] = None
        tier = OWED if job.floor and job.owed else first.cls.tier
        jobs.put(job, (tier, job.share, job.turn))

    def rank_jobs(self) -> None:
        service.even_out(self.jobs.values(), self.now)
        self.largest = sorted(self.jobs.values(), key=lambda job: -job.share)
        self._top_share = self.largest[0].share if self.largest else 0.0
        self.grown.clear()
        least = min((shape.cost for shape in self.shapes.values() if shape.cost), default=0.0)
        self.most_served = max((job.served for job in self.largest if job.tiers), default=0.0)
        self.least_loss = least / max((job.weight for job in self.largest), default=1.0)

    def _list(self, lease: Lease) -> None:
        cls = lease.claim.cls
        tier, tiers = cls.tier, cls.job.tiers
        if tier not in tiers:
            tiers[tier] = {}
            self.tiers.setdefault(tier, {})[cls.job] = None
        tiers[tier][lease] = None
        lease.tier = tier
        lease.revocable = True

    def _delist(self, lease: Lease) -> None:
        job, tier = lease.claim.cls.job, lease.tier
        leases = job.tiers[tier]
        del leases[lease]
        lease.revocable = False
        if not leases:
            del job.tiers[tier]
            jobs = self.tiers[tier]
            del jobs[job]
            if not jobs:
                del self.tiers[tier]

    def _relist(self, claim: Claim) -> None:
        """The tier of its class has changed."""
        for lease in claim.leases.values():
            if lease.revocable:
                self._delist(lease)
                self._list(lease)

    # -- claims

    def refresh(self, claim: Claim) -> None:
        """Bring every queue that the claim is in, or should be in, up to date."""
        cls, need = claim.cls, claim.need
        job, shape = cls.job, cls.shape
        if not cls.pinned:
            idle = 0
            if need < 0:  # a task of a parked one is all that it wants that for
                idle = -need - len(claim.leaving)
                if idle > len(claim.leases):
                    idle = len(claim.leases)
                elif idle < 0:
                    idle = 0
            if idle != claim.surplus:
                self._note_idle(claim, idle)
            in_use = claim.awake - idle
            if in_use < 0:
                in_use = 0
            if in_use != claim.in_use:
                self._use(cls, in_use - claim.in_use)
                claim.in_use = in_use
        line = job.lines.get(shape)
        if need > 0:
            if line is None:
                line = job.lines[shape] = RankedQueue()
            if claim not in line.ranks:
                claim.turn, claim.since = self._next_turn(), self.now
                self.called[shape] = None
            standing = claim.standing
            line.put(claim, (cls.tier, standing, claim.turn))
            self._moved(job, shape, line)
            if standing:
                self.hungry.discard(claim)
            elif claim not in self.hungry.ranks:
                claim.bare_since = self.now
                self.hungry.put(claim, (self.now + PATIENCE, claim.turn))
        elif line is not None and claim in line.ranks:
            self.hungry.discard(claim)
            line.discard(claim)
            if not line.ranks:
                del job.lines[shape]
            self._moved(job, shape, line)
        if job.stale:
            self._rerank(job)
        job.unranked[claim] = None
        if not (need or claim.wanted):  # nor has it anything
            self._forget(claim)

    def _one_idle_less(self, claim: Claim) -> None:
        """As `refresh`, for a claim that is to give up something idle: it uses as much as before, and waits for
        nothing."""
        self._note_idle(claim, claim.surplus - 1)
        self._rerank(claim.cls.job)
        claim.cls.job.unranked[claim] = None

    def _note_idle(self, claim: Claim, idle: int) -> None:
        if not claim.surplus:
            self.surplus[claim] = None
            self.idle.setdefault(claim.cls.shape, {})[claim] = None
        elif not idle:
            del self.surplus[claim]
            same = self.idle[claim.cls.shape]
            del same[claim]
            if not same:
                del self.idle[claim.cls.shape]
        claim.surplus = idle

    def _use(self, cls: SchedulingClass, more: int) -> None:
        job, now = cls.job, self.now
        if now != job.stamp:
            service.settle(job, now)
        job.pace += more * cls.shape.toll
        if cls.level == LOWEST and (cls.start == LOWEST or cls.running > max(0, -more)):
            cls.running += more  # what it uses there counts for nothing
            return
        if now - cls.share_at > SHARES_LAST:
            cls.share, cls.share_at = self.fair_share(cls), now
        if now > cls.stamp:
            levels.settle(cls, now)
        cls.running += more
        if more > 0:
            self._note_expiry(cls)

    def fair_share(self, cls: SchedulingClass) -> float:
        """The slots that a class may have if all who demand something now do so for ever: of those that nobody holds
        for good a part by its job's weight, and in its job equal parts. Of one that may not go everywhere no more is
        known than that each node where it may go has a slot."""
        job, shape = cls.job, cls.shape
        if not (shape.cost and shape.hosts and job.demanding):
            return 0.0
        slots = max(0.0, 1.0 - self.fixed_cpus / max(1, self.nodes.total.get(CPU, 0))) / shape.cost
        if shape.constraint is not ANYWHERE:
            slots = min(slots, float(shape.hosts))
        slots *= job.weight / self.demanding
        if job.cap is not None and shape.cpus:
            slots = min(slots, job.cap / shape.cpus)
        return slots / job.demanding

    def _note_expiry(self, cls: SchedulingClass) -> None:
        """An entry may be too early, for then the class is only looked at; it is never too late by more than a
        millisecond, or a quarter of what is left."""
        due, now = levels.expiry(cls), self.now
        if due == inf:
            if not cls.running or cls.level == LOWEST:
                return
            due = now + SHARES_LOOKED_AT  # as long as its share is what it was
        if due <= now:
            due = now + 1e-6
        rank = self.expiries.ranks.get(cls)
        if rank is None or due < rank[0] - max(0.001, 0.25 * (rank[0] - now)):
            self.expiries.put(cls, (due,))

    def _forget(self, claim: Claim) -> None:
        cls = claim.cls
        cls.claims.pop(claim.client, None)
        cls.job.unranked.pop(claim, None)
        cls.job.holders.discard(claim)
        claims = self.claims_of.get(claim.client, {})
        claims.pop(claim, None)
        if not claims:
            self.claims_of.pop(claim.client, None)
        if cls.pinned and not cls.claims:
            self.end_class(cls)  # an actor has a class of its own, and there are many

    def end_class(self, cls: SchedulingClass) -> None:
        if self.classes.pop(cls.key, None) is None:
            return  # it was pinned, and ended with its last claim
        del cls.job.classes[cls.key]
        self.expiries.discard(cls)
        shape = cls.shape
        shape.classes -= 1
        if not shape.classes:
            del self.shapes[shape.request, shape.constraint, shape.stays]
