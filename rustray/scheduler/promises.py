"""Slots to come: room on a node, held free for a claim or a parked lease until leases that leave have come back.

Rule 1. A promise takes of `open`, not of `free`, and is covered: what is open and what is to come from revoked
        leases are together not below zero. One that a waking worker uncovers is broken at once.
Rule 2. Its job is charged for it as for a lease.
"""

from __future__ import annotations

from rustray.model.resources import CPU, Resources
from rustray.scheduler.lines import PATIENCE
from rustray.scheduler.queues import RankedQueue
from rustray.scheduler.records import Job, Node, Promise, Shape
from rustray.scheduler.roster import Roster


class Promises(Roster):
    """Promises, and what is taken of nodes and given back."""

    def __init__(self) -> None:
        super().__init__()
        self.promised: dict[Shape, None] = {}  # shapes with promises
        self.promises: dict[int, dict[Promise, None]] = {}  # by tier
        self.ripe: dict[Node, None] = {}  # nodes with promises that may have become true
        self.unclaimed: dict[Node, None] = {}  # nodes with slots to come that may be nobody's
        self.pressed: dict[Node, None] = {}  # nodes whose promises may want a lease suspended
        self.watched: RankedQueue[Node] = RankedQueue()  # by when one of their leases may be suspended
        self.searches_left = 0  # see bidding
        self.moves_left = 64  # leases in use that may move until the next tick so that shares are fair
        self.denied = 0  # bids for what others hold that came to nothing
        self.lines_bid = 0  # how far the lines have been gone through that bid in turn

    def promise(self, promise: Promise, more: bool = False) -> None:
        """Hold room free; what does not have it already is to come from leases that leave.

        Parameters: more: there will be more for the same claim, and then `refresh`.
        """
        claim, node, lease, takes = promise.claim, promise.node, promise.lease, promise.takes
        cls = claim.cls
        job, shape = cls.job, cls.shape
        promise.tier = cls.tier
        node.promises[promise] = job.promises[promise] = None
        self.promises.setdefault(cls.tier, {})[promise] = None
        if lease is None:
            claim.need -= 1
            claim.promises[promise] = shape.promises[promise] = self.promised[shape] = None
            if shape.stays:
                self._fix(node, shape.lent, 1)
        else:
            lease.promise = promise
            self.hungry.discard(lease)
        left = node.open
        for name, units in takes.items():
            left[name] -= units
        promise.cpus = shape.cpus if takes else 0
        job.pledged += promise.cpus
        self._charge(job, node, takes, 1)
        if takes.fits(node.free):
            self.ripe[node] = None  # only a cap can have kept it from having that at once
        if not more:
            self.refresh(claim)

    def break_promise(self, promise: Promise) -> None:
        self._break(promise)
        self.refresh(promise.claim)

    def _break(self, promise: Promise) -> None:
        """Whoever calls refreshes its claim then."""
        self._clear(promise)
        lease = promise.lease
        if lease is not None:
            lease.promise = None
            self.hungry.put(lease, (self.now + PATIENCE, self._next_turn()))
        self._charge(promise.claim.cls.job, promise.node, promise.takes, -1)

    def _clear(self, promise: Promise) -> None:
        """What it takes is open again."""
        claim, node = promise.claim, promise.node
        job, shape = claim.cls.job, claim.cls.shape
        same = self.promises[promise.tier]
        del node.promises[promise], job.promises[promise], same[promise]
        if not same:
            del self.promises[promise.tier]
        if promise.lease is None:
            claim.need += 1
            del claim.promises[promise], shape.promises[promise]
            if not shape.promises:
                del self.promised[shape]
            if shape.stays:
                self._fix(node, shape.lent, -1)
        left = node.open
        for name, units in promise.takes.items():
            left[name] += units
        job.pledged -= promise.cpus
        if job.cap is not None:
            self._below_cap(job)
        self._released(node)
        if node.leaving:
            self.unclaimed[node] = None

    def _break_uncovered(self, node: Node) -> None:
        for promise in list(reversed(node.promises)):
            outlook = node.outlook()
            if all(units >= 0 for units in outlook.values()):
                return
            if any(outlook[name] < 0 for name in promise.takes):
                self.break_promise(promise)

    # -- sums

    def _take(self, node: Node, amounts: Resources) -> None:
        free, left = node.free, node.open
        for name, units in amounts.items():
            free[name] = free.get(name, 0) - units
            left[name] = left.get(name, 0) - units

    def _give(self, node: Node, amounts: Resources) -> None:
        free, left = node.free, node.open
        for name, units in amounts.items():
            free[name] += units
            left[name] += units
        self._released(node)

    def _comes(self, node: Node, amounts: Resources, sign: int) -> None:
        coming = node.coming
        for name, units in amounts.items():
            coming[name] = coming.get(name, 0) + sign * units

    def _fix(self, node: Node, lent: Resources, sign: int) -> None:
        for name, units in lent.items():
            node.fixed[name] = node.fixed.get(name, 0) + sign * units
        if node.host is None:
            self.fixed_cpus += sign * lent.get(CPU, 0)

    def _released(self, node: Node) -> None:
        """Placement hears of it once the node has been offered to those who wait, see `serving`."""
        self.freed[node] = None
        if node.promises:
            self.ripe[node] = None

    def _uses_less(self, job: Job, cpus: int) -> None:
        job.cpus -= cpus
        if job.cap is not None:
            self._below_cap(job)
            self._rerank(job)

    def _below_cap(self, job: Job) -> None:
        """A job may have more than before: look at what only its cap held back."""
        for promise in job.promises:
            self.ripe[promise.node] = None
            if promise.lease is None:
                self.called[promise.claim.cls.shape] = None
        for lease in self.parked:
            if lease.claim.cls.job is job:
                self.freed[lease.node] = None
