"""The book of leases: every change to who holds a slot, on top of who waits (`lines`) and is promised one (`promises`).

Each operation leaves all sums and queues right (`invariants.check` proves it); none of them decides.

Rule 1. What a lease takes of its node is given back by `drop`, and by nothing else; while its worker waits or
        is parked it is the smaller amount `Lease.hold`.
Rule 2. A job is charged for leases that it keeps and for promises; a lease that is leaving or parked is charged
        to nobody, and one in a bundle neither: the bundle itself is charged.
Rule 3. On a node with parked leases, what stays for good leaves room for each of them to run one day.
"""

from __future__ import annotations

from collections.abc import Mapping

from rustray.model.resources import CPU, Resources
from rustray.scheduler.lines import PATIENCE
from rustray.scheduler.promises import Promises
from rustray.scheduler.records import NOTHING, Claim, Job, Lease, Node, Promise, SchedulingClass


class LeaseBook(Promises):
    """Leases, and the nodes that they are on."""

    def __init__(self, first_lease: int = 1) -> None:
        super().__init__()
        self._next_lease = first_lease

    # -- nodes

    def add_node(self, name: str, total: Resources, labels: Mapping[str, str]) -> Node:
        node = self.nodes.add(name, total, labels)
        self._count_hosts(node, 1)
        self._cluster_changed()
        self.freed[node] = None
        return node

    def drain_node(self, node: Node) -> None:
        for promise in list(node.promises):
            self.break_promise(promise)
        self._count_hosts(node, -1)
        self.nodes.drain(node)
        for shape in self.shapes.values():
            if shape.constraint.soft:
                self.nodes.count_hosts(shape)
        self._cluster_changed()

    def remove_node(self, node: Node) -> None:
        for promise in list(node.promises):
            self.break_promise(promise)
        for lease in [*node.leases.values(), *node.leaving.values(), *node.parked.values()]:
            self.drop(lease)
        self.nodes.remove(node)
        if not node.draining:
            self._count_hosts(node, -1)
        self.unlist_node(node)
        self._cluster_changed()

    def unlist_node(self, node: Node) -> None:
        """Nothing is to be done on a node, or a bundle, that is no more."""
        for nodes in (self.ripe, self.unclaimed, self.pressed, self.freed):
            nodes.pop(node, None)
        self.watched.discard(node)

    def machine(self, node: Node) -> Node:
        """The node whose memory it is: that on which a bundle lies."""
        return node.host or node

    # -- jobs and claims

    def set_terms(self, job: Job, weight: float, minimum: int, cap: int | None) -> None:
        super().set_terms(job, weight, minimum, cap)
        self._below_cap(job)

    def set_demand(self, claim: Claim, wanted: int) -> None:
        self._want(claim, wanted)
        while claim.promises and claim.need < 0:
            self._break(next(reversed(claim.promises)))
        self.refresh(claim)

    def void(self, claim: Claim) -> None:
        """Drop all of a claim: its demand, its promises, its leases."""
        self.set_demand(claim, 0)
        for lease in [*claim.leases.values(), *claim.leaving.values(), *claim.parked.values()]:
            self.drop(lease)

    def remove_job(self, job: Job) -> None:
        for cls in list(job.classes.values()):
            for claim in list(cls.claims.values()):
                self.void(claim)
            self.end_class(cls)
        del self.jobs[job.number]
        self._set_floors()

    # -- leases

    def grant(self, claim: Claim, node: Node, charged: bool = False) -> Lease:
        """`charged`: its job is charged for it already, by the promise of it."""
        number = self._next_lease
        self._next_lease += 1
        cls = claim.cls
        lease = Lease(number, claim, node, self.now, self.now, cls.shape.request)
        cls.job.turn = claim.turn = self._next_turn()
        self._add(lease, charged)
        return lease

    def keep_promise(self, promise: Promise, node: Node) -> Lease:
        """Grant what was promised, on `node`: the promised one, or another that had room earlier."""
        lease = promise.lease
        if lease is None:
            self._clear(promise)
            lease = self.grant(promise.claim, node, charged=True)
        else:
            self.break_promise(promise)
            self.resume(lease)
        lease.shield = self.now + promise.shield
        return lease

    def adopt(self, number: int, cls: SchedulingClass, client: int, node: Node, blocked: bool) -> Lease:
        """A lease that an earlier leader granted; what it takes it has already, whether that is free or not."""
        hold = cls.shape.held if blocked else cls.shape.request
        lease = Lease(number, self.claim(cls, client), node, self.now, self.now, hold, blocked)
        self._add(lease)
        while lease.claim.promises and lease.claim.need < 0:
            self.break_promise(next(reversed(lease.claim.promises)))
        self._break_uncovered(node)
        return lease

    def _add(self, lease: Lease, charged: bool = False) -> None:
        claim, node, number = lease.claim, lease.node, lease.number
        cls = claim.cls
        self.leases[number] = claim.leases[number] = node.leases[number] = lease
        claim.need -= 1
        self._take(node, lease.hold)
        if cls.shape.stays:
            self._fix(node, cls.shape.lent, 1)
        if not lease.blocked:
            claim.awake += 1
            cls.job.cpus += cls.shape.cpus
            if not cls.pinned:
                self._list(lease)
        self._charge(cls.job, node, NOTHING if charged else lease.hold, 1)
        self.refresh(claim)

    def drop(self, lease: Lease) -> None:
        """The lease is back, or void."""
        claim, node, number = lease.claim, lease.node, lease.number
        cls = claim.cls
        if lease.promise is not None:
            self.break_promise(lease.promise)
        del self.leases[number]
        claim.need += 1
        if lease.revocable:
            self._delist(lease)
        if lease.parked:
            del claim.parked[number], node.parked[number], self.parked[lease]
            cls.job.resting -= 1
            node.waking.pop(number, None)
            self.hungry.discard(lease)
        elif lease.revoked:
            del claim.leaving[number], node.leaving[number]
            self._comes(node, lease.hold, -1)
        else:
            del claim.leases[number], node.leases[number]
            self._charge(cls.job, node, lease.hold, -1)
        if number in node.resting:
            self._unrest(lease)
        if cls.shape.stays:
            self._fix(node, cls.shape.lent, -1)
        self._give(node, lease.hold)
        if not (lease.blocked or lease.parked):
            claim.awake -= lease.counted
            self._uses_less(cls.job, cls.shape.cpus)
        if not lease.revoked or lease.counted or claim.need >= 0:
            self.refresh(claim)  # else it was idle: nothing changes for its claim

    def revoke(self, lease: Lease) -> None:
        claim, node, number = lease.claim, lease.node, lease.number
        self._delist(lease)
        lease.revoked = True
        del claim.leases[number], node.leases[number]
        claim.leaving[number] = node.leaving[number] = lease
        self._comes(node, lease.hold, 1)
        self._charge(claim.cls.job, node, lease.hold, -1)
        if claim.surplus:
            lease.counted = False
            claim.awake -= 1
            self._one_idle_less(claim)
        else:
            self.refresh(claim)

    def block(self, lease: Lease) -> None:
        """The worker waits: lend its CPU."""
        if lease.blocked:
            return
        if lease.revocable:
            self._delist(lease)
        lease.blocked = True
        if lease.parked:
            lease.node.waking[lease.number] = lease
            self._released(lease.node)  # it may go on: that takes nothing
            return
        shape, job = lease.claim.cls.shape, lease.claim.cls.job
        lease.hold = shape.held
        self._give(lease.node, shape.lent)
        lease.claim.awake -= lease.counted
        if lease.revoked:
            self._comes(lease.node, shape.lent, -1)
        else:
            self._charge(job, lease.node, shape.lent, -1)
        self._uses_less(job, shape.cpus)
        self.refresh(lease.claim)

    def unblock(self, lease: Lease) -> None:
        """The worker woke: take its CPU back, and break the promises that this uncovers, latest first."""
        if not lease.blocked:
            return
        lease.blocked = False
        if not lease.parked:
            self._wake(lease)
        elif CPU in lease.claim.cls.shape.lent:
            del lease.node.waking[lease.number]

    def _wake(self, lease: Lease) -> None:
        """It runs, and takes what it lends otherwise."""
        shape, job = lease.claim.cls.shape, lease.claim.cls.job
        lease.hold = shape.request
        self._take(lease.node, shape.lent)
        lease.claim.awake += 1
        lease.counted = True
        job.cpus += shape.cpus
        job.stale = True  # it may have reached its cap
        if lease.may_be_revoked:
            self._list(lease)
        if lease.revoked:
            self._comes(lease.node, shape.lent, 1)
        else:
            self._charge(job, lease.node, shape.lent, 1)
            self._break_uncovered(lease.node)
        self.refresh(lease.claim)

    # -- suspension

    def park(self, lease: Lease) -> None:
        """The worker was stopped: it is charged no more, and its CPU is open."""
        if lease.parked:
            return
        claim, node, number = lease.claim, lease.node, lease.number
        if lease.revocable:
            self._delist(lease)
        if lease.revoked:
            del claim.leaving[number], node.leaving[number]
            self._comes(node, lease.hold, -1)
        else:  # nobody asked for it
            del claim.leases[number], node.leases[number]
            self._charge(claim.cls.job, node, lease.hold, -1)
        awake = not lease.blocked
        lease.parked, lease.revoked, lease.stopping, lease.parked_at = True, False, False, self.now
        lease.hold = claim.cls.shape.held
        claim.parked[number] = node.parked[number] = lease
        self.parked[lease] = None
        claim.cls.job.resting += 1
        if lease.blocked or CPU not in claim.cls.shape.lent:
            node.waking[number] = lease
        self.hungry.put(lease, (self.now + PATIENCE, self._next_turn()))
        self._rest(lease, lease.bytes)
        shape = claim.cls.shape
        if awake:
            self._give(node, shape.lent)
            claim.awake -= lease.counted
            self._uses_less(claim.cls.job, shape.cpus)
        else:
            self._released(node)
        self._break_uncovered(node)
        self.refresh(claim)

    def resume(self, lease: Lease) -> None:
        """The worker goes on, and its lease is kept again."""
        if lease.promise is not None:
            self.break_promise(lease.promise)
        claim, node, number = lease.claim, lease.node, lease.number
        del claim.parked[number], node.parked[number], self.parked[lease]
        claim.cls.job.resting -= 1
        node.waking.pop(number, None)
        self.hungry.discard(lease)
        self._unrest(lease)
        lease.parked, lease.since = False, self.now
        claim.leases[number] = node.leases[number] = lease
        self._charge(claim.cls.job, node, claim.cls.shape.held, 1)
        claim.cls.job.turn = self._next_turn()
        if lease.blocked:
            self.refresh(claim)
        else:
            self._wake(lease)

    def stop(self, lease: Lease) -> None:
        """Its suspension is ordered."""
        lease.stopping = True
        self._rest(lease, lease.bytes)

    def kill(self, lease: Lease) -> None:
        """Its end is ordered: it will be back soon, and then weigh nothing."""
        lease.stopping = True
        if lease.parked:
            self._rest(lease, 0)
        else:
            self._unrest(lease)

    def weigh(self, lease: Lease, memory: int) -> None:
        lease.memory = memory
        if lease.number in lease.node.resting and not (lease.parked and lease.stopping):
            self._rest(lease, lease.bytes)

    def _rest(self, lease: Lease, memory: int) -> None:
        lease.node.resting[lease.number] = lease
        self.machine(lease.node).parked_bytes += memory - lease.weighs
        lease.weighs = memory

    def _unrest(self, lease: Lease) -> None:
        if lease.node.resting.pop(lease.number, None) is not None:
            self.machine(lease.node).parked_bytes -= lease.weighs
            lease.weighs = 0
