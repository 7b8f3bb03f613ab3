"""The book of leases: every change to who holds, waits for, or is promised a slot.

Each operation leaves all sums and queues right (`invariants.check` proves it); none of them decides.

Rule 1. What a lease takes of its node is given back by `drop`, and by nothing else; while its worker waits
        it is the smaller amount `Lease.hold`.
Rule 2. A job is charged for leases that it keeps and for promises; a revoked lease is charged to nobody, and one in
        a bundle neither: the bundle itself is charged.
Rule 3. A promise takes of `open`, not of `free`, and is covered: what is open and what is to come from
        revoked leases are together not below zero. One that a waking worker uncovers is broken at once.
Rule 4. A claim stands in its job's line of its shape exactly while `need` > 0; a job in the shape's queue
        exactly while that line is not empty.
"""

from __future__ import annotations

from collections.abc import Mapping

from rustray.model.resources import Resources
from rustray.scheduler.constraints import ANYWHERE, Constraint
from rustray.scheduler.placement import Nodes, dominant_share
from rustray.scheduler.queues import RankedQueue
from rustray.scheduler.records import (
    LENT,
    SPARE_REQUEST,
    Claim,
    Job,
    Lease,
    Node,
    Promise,
    SchedulingClass,
    Shape,
)


class LeaseBook:
    """Jobs, classes, claims, leases and promises. `now` is the time of the current step, in seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.nodes = Nodes()
        self.jobs: dict[int, Job] = {}
        self.classes: dict[bytes, SchedulingClass] = {}
        self.shapes: dict[tuple[Resources, Constraint], Shape] = {}
        self.leases: dict[int, Lease] = {}
        self.claims_of: dict[int, dict[Claim, None]] = {}  # by client
        self.waiting: dict[Shape, None] = {}  # shapes with a claim in line
        self.promised: dict[Shape, None] = {}  # shapes with promises
        self.surplus: dict[Claim, None] = {}  # claims that keep leases without use
        self.ripe: dict[Node, None] = {}  # nodes with promises that may have become true
        self.unclaimed: dict[Node, None] = {}  # nodes with slots to come that may be nobody's
        self._turn = 0
        self._leases_made = 0

    # -- nodes and classes

    def add_node(self, name: str, total: Resources, labels: Mapping[str, str]) -> None:
        node = self.nodes.add(name, total, labels)
        for shape in self.shapes.values():
            self.nodes.count_host(shape, node, 1)
        self._cluster_changed()

    def remove_node(self, node: Node) -> None:
        for promise in list(node.promises):
            self.break_promise(promise)
        for lease in [*node.leases.values(), *node.leaving.values()]:
            self.drop(lease)
        self.nodes.remove(node)
        self.ripe.pop(node, None)
        self.unclaimed.pop(node, None)
        for shape in self.shapes.values():
            self.nodes.count_host(shape, node, -1)
        self._cluster_changed()

    def _cluster_changed(self) -> None:
        for shape in self.shapes.values():
            shape.cost = dominant_share(shape.request, self.nodes.total)
        for job in self.jobs.values():
            self._rerank(job)
            for claim in list(job.holders):
                self._rank_holder(claim)

    def add_class(
        self,
        key: bytes,
        number: int,
        name: str,
        request: Resources,
        pinned: bool,
        constraint: Constraint = ANYWHERE,
    ) -> None:
        job = self.jobs.get(number)
        if job is None:
            job = self.jobs[number] = Job(number, self._next_turn())
        asked = request if request or pinned else SPARE_REQUEST
        shape = self.shapes.get((asked, constraint))
        if shape is None:
            lent = Resources({name: units for name, units in asked.items() if name in LENT})
            shape = Shape(asked, lent, asked - lent, constraint, self.nodes.domain(constraint))
            self.shapes[asked, constraint] = shape
            shape.cost = dominant_share(asked, self.nodes.total)
            self.nodes.count_hosts(shape)
        shape.classes += 1
        self.classes[key] = job.classes[key] = SchedulingClass(key, job, name, pinned, shape)

    def remove_job(self, job: Job) -> None:
        for cls in list(job.classes.values()):
            for claim in list(cls.claims.values()):
                self.void(claim)
            self._end_class(cls)
        del self.jobs[job.number]

    def _end_class(self, cls: SchedulingClass) -> None:
        if self.classes.pop(cls.key, None) is None:
            return  # it was pinned, and ended with its last claim
        del cls.job.classes[cls.key]
        cls.shape.classes -= 1
        if not cls.shape.classes:
            del self.shapes[cls.shape.request, cls.shape.constraint]

    # -- claims

    def claim(self, cls: SchedulingClass, client: int) -> Claim:
        claim = cls.claims.get(client)
        if claim is None:
            claim = cls.claims[client] = Claim(cls, client, self._next_turn())
            self.claims_of.setdefault(client, {})[claim] = None
        return claim

    def set_demand(self, claim: Claim, wanted: int) -> None:
        claim.wanted = wanted
        while claim.promises and claim.need < 0:
            self.break_promise(next(reversed(claim.promises)))
        self._refresh(claim)

    def void(self, claim: Claim) -> None:
        """Drop all of a claim: its demand, its promises, its leases."""
        self.set_demand(claim, 0)
        for lease in [*claim.leases.values(), *claim.leaving.values()]:
            self.drop(lease)

    # -- leases

    def grant(self, claim: Claim, node: Node) -> Lease:
        self._leases_made += 1
        lease = Lease(self._leases_made, claim, node, self.now)
        self.leases[lease.number] = claim.leases[lease.number] = node.leases[lease.number] = lease
        self._take(node, lease.hold)
        job = claim.cls.job
        job.turn = claim.turn = self._next_turn()
        self._charge(job, node, lease.hold, 1)
        self._refresh(claim)
        return lease

    def drop(self, lease: Lease) -> None:
        """The lease is back, or void."""
        claim, node = lease.claim, lease.node
        del self.leases[lease.number]
        if lease.revoked:
            del claim.leaving[lease.number], node.leaving[lease.number]
        else:
            del claim.leases[lease.number], node.leases[lease.number]
            self._charge(claim.cls.job, node, lease.hold, -1)
        self._give(node, lease.hold)
        self._refresh(claim)

    def revoke(self, lease: Lease) -> None:
        claim, node = lease.claim, lease.node
        lease.revoked = True
        del claim.leases[lease.number], node.leases[lease.number]
        claim.leaving[lease.number] = node.leaving[lease.number] = lease
        self._charge(claim.cls.job, node, lease.hold, -1)
        self._refresh(claim)

    def block(self, lease: Lease) -> None:
        """The worker waits: lend its CPU."""
        if lease.blocked:
            return
        lease.blocked = True
        lent = lease.claim.cls.shape.lent
        self._give(lease.node, lent)
        if not lease.revoked:
            self._charge(lease.claim.cls.job, lease.node, lent, -1)

    def unblock(self, lease: Lease) -> None:
        """The worker woke: take its CPU back, and break the promises that this uncovers, latest first."""
        if not lease.blocked:
            return
        lease.blocked = False
        node, lent = lease.node, lease.claim.cls.shape.lent
        self._take(node, lent)
        if not lease.revoked:
            self._charge(lease.claim.cls.job, lease.node, lent, 1)
            for promise in list(reversed(node.promises)):
                outlook = node.outlook()
                if all(units >= 0 for units in outlook.values()):
                    break
                if any(outlook[name] < 0 for name in promise.claim.cls.shape.request):
                    self.break_promise(promise)

    # -- promises

    def promise(self, claim: Claim, node: Node) -> None:
        shape = claim.cls.shape
        promise = Promise(claim, node)
        claim.promises[promise] = node.promises[promise] = shape.promises[promise] = None
        self.promised[shape] = None
        for name, units in shape.request.items():
            node.open[name] -= units
        self._charge(claim.cls.job, node, shape.request, 1)
        self._refresh(claim)

    def break_promise(self, promise: Promise) -> None:
        claim, node, shape = promise.claim, promise.node, promise.claim.cls.shape
        del claim.promises[promise], node.promises[promise], shape.promises[promise]
        if not shape.promises:
            del self.promised[shape]
        for name, units in shape.request.items():
            node.open[name] += units
        self._released(node)
        if node.leaving:
            self.unclaimed[node] = None
        self._charge(claim.cls.job, node, shape.request, -1)
        self._refresh(claim)

    def keep_promise(self, promise: Promise, node: Node) -> Lease:
        """Grant what was promised, on `node`: the promised one, or another that had room earlier."""
        claim = promise.claim
        self.break_promise(promise)
        return self.grant(claim, node)

    # -- sums and queues

    def _next_turn(self) -> int:
        self._turn += 1
        return self._turn

    def _take(self, node: Node, amounts: Resources) -> None:
        free, left = node.free, node.open
        for name, units in amounts.items():
            free[name] -= units
            left[name] -= units

    def _give(self, node: Node, amounts: Resources) -> None:
        free, left = node.free, node.open
        for name, units in amounts.items():
            free[name] += units
            left[name] += units
        self._released(node)

    def _released(self, node: Node) -> None:
        node.domain.released(node)
        if node.promises:
            self.ripe[node] = None

    def _charge(self, job: Job, node: Node, amounts: Resources, sign: int) -> None:
        if node.host is None:
            usage = job.usage
            for name, units in amounts.items():
                usage[name] = usage.get(name, 0) + sign * units
        self._rerank(job)

    def _rerank(self, job: Job) -> None:
        job.share = dominant_share(job.usage, self.nodes.total)
        for shape in job.lines:
            shape.jobs.put(job, job.rank)

    def _rank_holder(self, claim: Claim) -> None:
        job, kept = claim.cls.job, claim.kept
        if claim.leases:
            # by what would be left to it after one lease, so that big leases and many leases compare
            job.holders.put(claim, (-(kept - 1) * claim.cls.shape.cost, claim.turn))
        else:
            job.holders.discard(claim)

    def _refresh(self, claim: Claim) -> None:
        """Bring every queue that the claim is in, or should be in, up to date."""
        cls = claim.cls
        job, shape = cls.job, cls.shape
        line = job.lines.get(shape)
        if claim.need > 0:
            if line is None:
                line = job.lines[shape] = RankedQueue()
                shape.jobs.put(job, job.rank)
                self.waiting[shape] = None
            if claim not in line:
                claim.turn, claim.since = self._next_turn(), self.now
            line.put(claim, claim.rank)
        elif line is not None and claim in line:
            line.discard(claim)
            if not len(line):
                del job.lines[shape]
                shape.jobs.discard(job)
                if not len(shape.jobs):
                    del self.waiting[shape]
        self._rank_holder(claim)
        if claim.surplus > 0:
            self.surplus[claim] = None
        else:
            self.surplus.pop(claim, None)
        if not (claim.wanted or claim.leases or claim.leaving or claim.promises):
            cls.claims.pop(claim.client, None)
            claims = self.claims_of.get(claim.client, {})
            claims.pop(claim, None)
            if not claims:
                self.claims_of.pop(claim.client, None)
            if cls.pinned and not cls.claims:
                self._end_class(cls)  # an actor has a class of its own, and there are many
