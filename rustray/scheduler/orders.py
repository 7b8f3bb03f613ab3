"""What the stages of a step decide: each order is entered in the book and said to whoever is to obey."""

from __future__ import annotations

from rustray.scheduler.actions import Action, Grant, Infeasible, Requeue, Resume, Revoke, Suspend
from rustray.scheduler.groups import Groups
from rustray.scheduler.leases import LeaseBook
from rustray.scheduler.preemption import hurry
from rustray.scheduler.reclaim import Plan
from rustray.scheduler.records import Claim, Lease, Node, Promise, visible
from rustray.scheduler.terms import Bid, Terms

RELIEF = 0.2
"""Seconds that one that had nothing for long may run, whoever waits."""
RELIEF_EACH = 1.0
"""A CPU is given away like that once in so many seconds at most."""


_IDLE: str = Terms.IDLE.value


class Orders:
    """The answers of one step, in order."""

    def __init__(self, book: LeaseBook) -> None:
        self._book = book
        self.said: list[Action] = []
        self.groups = Groups(book, lambda action: self.said.append(action), self.revoke)

    def grant(self, claim: Claim, node: Node) -> None:
        self._granted(self._book.grant(claim, node))

    def keep(self, promise: Promise, node: Node) -> None:
        """Give what was promised, on that node."""
        resumed = promise.lease
        lease = self._book.keep_promise(promise, node)
        if resumed is None:
            self._granted(lease)
        else:
            self.said.append(Resume(lease.number, node.name))

    def _granted(self, lease: Lease) -> None:
        claim = lease.claim
        if claim.cls.pinned and self.groups.reserved(lease):
            return
        self.said.append(Grant(lease.number, claim.cls.key, claim.client, lease.node.name))

    def resume(self, lease: Lease) -> None:
        self._book.resume(lease)
        self.said.append(Resume(lease.number, lease.node.name))

    def promise(self, bid: Bid, plan: Plan, terms: Terms, more: bool = False) -> None:
        """Ask the victims of a plan back, for the bidder. `more`: its claim is refreshed later."""
        if plan.broken is not None:
            self._book.break_promise(plan.broken)
        for lease in plan.victims:
            idle = lease.claim.surplus > 0
            if terms in (Terms.FAIR, Terms.BEHIND) and not idle:
                self._book.moves_left -= 1
            self.revoke(lease, _IDLE if idle else terms.value)
        starving = terms is Terms.STARVING
        if starving:
            cpus = max(1.0, visible(plan.node.total).get("CPU", 1.0))
            plan.node.relief_at = self._book.now + RELIEF_EACH / cpus
        urgent, ahead = starving or terms is Terms.GUARANTEE, terms is Terms.TIER
        shield = RELIEF if starving else 0.0
        promise = Promise(bid.claim, plan.node, bid.request, bid.lease, urgent, ahead, shield)
        self._book.promise(promise, more)
        hurry(self._book, promise)

    def revoke(self, lease: Lease, reason: str) -> None:
        self._book.revoke(lease)
        if lease.asked < 0:
            lease.asked = self._book.now
            self.said.append(Revoke(lease.number, lease.claim.client, lease.node.name, reason))

    def suspend(self, lease: Lease) -> None:
        self._book.stop(lease)
        self.said.append(Suspend(lease.number, lease.node.name))

    def requeue(self, lease: Lease) -> None:
        self._book.kill(lease)
        self.said.append(Requeue(lease.number, lease.node.name))

    def repeat(self, lease: Lease) -> None:
        """Say what was said of the lease and is not done yet."""
        if lease.stopping:
            order = Suspend if lease.number in lease.node.resting else Requeue
            self.said.append(order(lease.number, lease.node.name))
        elif lease.revoked:
            self.said.append(Revoke(lease.number, lease.claim.client, lease.node.name, "asked for before"))

    def tell_if_infeasible(self, claim: Claim) -> None:
        shape = claim.cls.shape
        if shape.hosts or claim.told_infeasible or claim.need <= 0:
            return
        claim.told_infeasible = True
        missing, have, reason = self._book.nodes.closest(shape)
        self.said.append(Infeasible(claim.cls.key, claim.client, visible(missing), visible(have), reason))
