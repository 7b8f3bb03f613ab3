"""The scheduler: facts in, orders out. It has no clock, does no I/O and starts no thread.

It schedules classes onto slots by leases and never sees a task. A step is a short pipeline: note the event
in the book, give out what is open (`serving`), and, when a demand changed or time passed, ask leases back for those
who have a right to them (`bidding`) and suspend what does not come back (`preemption`).

Events may be late or told twice, for their senders are other processes: whatever names a lease, class, node
or client that is not known (any more) changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from rustray.model.resources import UNIT
from rustray.scheduler import bidding, caps, invariants, preemption
from rustray.scheduler.actions import Action
from rustray.scheduler.events import (
    ClassAdded,
    ClassUnused,
    ClientGone,
    Demand,
    Event,
    JobAdded,
    JobEnded,
    LeaseAdopted,
    LeaseBlocked,
    LeaseMemory,
    LeaseResumed,
    LeaseReturned,
    LeaseSuspended,
    LeaseUnblocked,
    NodeAdded,
    NodeDraining,
    NodeMemory,
    NodeRemoved,
    OrdersLost,
    PlacementGroupAdded,
    PlacementGroupRemoved,
    Predicted,
    Recovered,
    Tick,
)
from rustray.scheduler.leases import LeaseBook
from rustray.scheduler.orders import Orders
from rustray.scheduler.records import Claim, Node
from rustray.scheduler.relief import Relief
from rustray.scheduler.serving import serve
from rustray.scheduler.status import Status


class Scheduler:
    """Leases of classes onto the nodes of a cluster, by urgency, and fair between jobs and within them.

    `status` answers questions about it without changing anything.

    Parameters
    ----------
    first_lease: the number of the first lease that it grants; a leader's are greater than those of all before it.
    recovering: grant and ask for nothing until `Recovered` is told.
    """

    def __init__(self, first_lease: int = 1, recovering: bool = False) -> None:
        self._book = LeaseBook(first_lease)
        self._orders = Orders(self._book)
        self._recovering = recovering
        self._relief = Relief(self._book, self._orders)
        self._groups = self._orders.groups
        self.status = Status(self._book, self._groups)

    def step(self, event: Event, now: float) -> list[Action]:
        """Take in one event; return what is to be done, in order.

        Parameters: now: seconds on any clock that does not go back.
        """
        book, orders = self._book, self._orders
        book.now = now
        said: list[Action] = []
        orders.said = said
        _HANDLERS[type(event)](self, event)
        if book.ripe or book.freed or book.called:
            self._serve()
        if book.pressed and not self._recovering:
            preemption.preempt(book, orders)
        return said

    def next_wake(self) -> float | None:
        """When `Tick` should come at the latest, on the clock of `step`; None: whenever."""
        if self._recovering:
            return None  # a tick does nothing yet
        book = self._book
        wake = min(book.watched.next(), self._groups.next_wake())
        if book.waiting or book.parked:
            wake = min(wake, book.expiries.next())
        return None if wake == inf else wake

    def sanity_check(self) -> None:
        """Raises AssertionError if any sum or queue is wrong, or an open slot is withheld from a waiter."""
        invariants.check(self._book, serving=not self._recovering)

    # -- nodes

    def _on_node_added(self, event: NodeAdded) -> None:
        known = self._book.nodes.by_name.get(event.node)
        if known is not None:
            self._remove_node(known)
        self._book.add_node(event.node, event.total, event.labels)
        self._groups.node_added(self._book.nodes.by_name[event.node])
        for lease in event.leases:
            self._adopt(lease)
        self._place_groups()

    def _on_node_removed(self, event: NodeRemoved) -> None:
        node = self._book.nodes.by_name.get(event.node)
        if node is None:
            self._groups.node_lost(event.node)  # one that was expected to come back
        else:
            self._remove_node(node)
            self._tell_the_infeasible()
        self._place_groups()

    def _remove_node(self, node: Node) -> None:
        self._relief.forget(node)
        self._groups.node_lost(node.name)
        self._book.remove_node(node)

    def _on_node_draining(self, event: NodeDraining) -> None:
        node = self._book.nodes.by_name.get(event.node)
        if node is None or node.draining:
            return
        self._book.drain_node(node)
        self._relief.drain(node)
        self._tell_the_infeasible()

    def _on_node_memory(self, event: NodeMemory) -> None:
        node = self._book.nodes.by_name.get(event.node)
        if node is not None:
            node.parking = event.free_bytes + node.parked_bytes
            preemption.relieve_memory(self._book, self._orders, node)
            self._book.pressed[node] = None

    # -- jobs and classes

    def _on_job_added(self, event: JobAdded) -> None:
        cap = None if event.max_cpus is None else round(event.max_cpus * UNIT)
        job = self._book.job(event.job)
        job.priority = event.priority
        self._book.set_terms(job, event.weight, round(event.min_cpus * UNIT), cap)

    def _on_job_ended(self, event: JobEnded) -> None:
        job = self._book.jobs.get(event.job)
        if job is not None:
            self._groups.remove_job(event.job)
            self._book.remove_job(job)
            self._tell_the_infeasible()
            self._place_groups()

    def _on_group_added(self, event: PlacementGroupAdded) -> None:
        self._groups.add(event)
        self._place_groups()

    def _on_group_removed(self, event: PlacementGroupRemoved) -> None:
        self._groups.remove(event.group)
        self._tell_the_infeasible()
        self._place_groups()

    def _on_class_added(self, event: ClassAdded) -> None:
        book = self._book
        if event.key not in book.classes:
            cls = book.add_class(
                event.key,
                event.job,
                event.name,
                event.request,
                event.pinned,
                event.constraint,
                event.priority,
                event.preemptible,
                event.retriable,
            )
            book.predict(cls, event.predicted, event.predicted_memory)

    def _on_class_unused(self, event: ClassUnused) -> None:
        cls = self._book.classes.get(event.key)
        if cls is not None and not cls.claims:
            self._book.end_class(cls)

    def _on_predicted(self, event: Predicted) -> None:
        cls = self._book.classes.get(event.key)
        if cls is not None:
            self._book.predict(cls, event.run_s, event.memory)

    def _on_demand(self, event: Demand) -> None:
        book = self._book
        cls = book.classes.get(event.key)
        if cls is None:
            return
        claim = cls.claims.get(event.client) or book.claim(cls, event.client)
        if claim.wanted != event.count:
            claim.told_infeasible = False
        claim.near = _by_bytes(event.near) if event.near else ()
        book.set_demand(claim, max(0, event.count))
        if not cls.shape.hosts:
            self._orders.tell_if_infeasible(claim)
        if book.ripe or book.freed or book.called:
            self._serve()
        if self._recovering:
            return
        if claim.need > 0:
            book.searches_left = 1
            bidding.bid_for_first(book, self._orders, cls.shape, cls.job)
        if cls.job.cap is not None:
            caps.give_up_idle(book, self._orders, cls.job)
        if claim.surplus > 0 and (book.waiting or book.parked):  # anybody may want what is idle now
            bidding.offer_idle(book, self._orders, claim)

    def _on_client_gone(self, event: ClientGone) -> None:
        for claim in list(self._book.claims_of.get(event.client, ())):
            self._book.void(claim)

    # -- leases

    def _on_lease_adopted(self, event: LeaseAdopted) -> None:
        self._adopt(event)

    def _adopt(self, event: LeaseAdopted) -> None:
        book = self._book
        cls, node = book.classes.get(event.key), book.nodes.by_name.get(event.node)
        if cls is None or node is None or event.lease in book.leases:
            return
        at = self._groups.place_of(cls.shape, node)
        if at is None:
            return
        lease = book.adopt(event.lease, cls, event.client, at, event.blocked)
        if event.suspended:
            book.park(lease)
        self._relief.note_woken(at)

    def _on_lease_returned(self, event: LeaseReturned) -> None:
        lease = self._book.leases.get(event.lease)
        if lease is not None:
            self._book.drop(lease)
            if lease.node.host is not None:
                self._orders.tell_if_infeasible(lease.claim)  # its group may have been removed
            if self._groups.settling:
                self._place_groups()

    def _on_lease_blocked(self, event: LeaseBlocked) -> None:
        lease = self._book.leases.get(event.lease)
        if lease is not None:
            self._book.block(lease)

    def _on_lease_unblocked(self, event: LeaseUnblocked) -> None:
        lease = self._book.leases.get(event.lease)
        if lease is not None:
            self._book.unblock(lease)
            self._relief.note_woken(lease.node)

    def _on_lease_suspended(self, event: LeaseSuspended) -> None:
        lease = self._book.leases.get(event.lease)
        if lease is not None:
            self._book.park(lease)

    def _on_lease_resumed(self, event: LeaseResumed) -> None:
        lease = self._book.leases.get(event.lease)
        if lease is None:
            return
        if lease.parked:
            self._book.resume(lease)
            self._relief.note_woken(lease.node)
            self._serve()
        lease.since = self._book.now

    def _on_lease_memory(self, event: LeaseMemory) -> None:
        lease = self._book.leases.get(event.lease)
        if lease is not None:
            self._book.weigh(lease, event.bytes)
            preemption.relieve_memory(self._book, self._orders, self._book.machine(lease.node))

    def _on_orders_lost(self, event: OrdersLost) -> None:
        lease = self._book.leases.get(event.lease)
        if lease is not None:
            self._orders.repeat(lease)

    # -- time

    def _on_recovered(self, _event: Recovered) -> None:
        self._recovering = False
        self._on_tick(Tick())

    def _on_tick(self, _event: Tick) -> None:
        if self._recovering:
            return
        book, orders = self._book, self._orders
        book.demote_expired()
        book.rank_jobs()
        self._place_groups()
        bidding.bid_for_turns(
            book, orders
        )  # before shares are evened out: each stage leaves less to the next
        bidding.bid_for_all(book, orders)
        for job in book.jobs.values():
            if job.cap is not None:
                caps.give_up_idle(book, orders, job)
        self._relief.tick()
        preemption.preempt(book, orders)

    def _serve(self) -> None:
        """Give out what is open. Each step ends with it."""
        if self._groups.doomed:
            self._groups.sweep()
        if not self._recovering:
            serve(self._book, self._orders)

    def _place_groups(self) -> None:
        """After all others have been served: groups get what these leave."""
        if not self._recovering:
            self._serve()
            self._groups.place()
            self._serve()  # who waited for the groups

    def _tell_the_infeasible(self) -> None:
        lines: list[Claim] = [
            claim for job in self._book.jobs.values() for line in job.lines.values() for claim in line
        ]
        for claim in lines:
            self._orders.tell_if_infeasible(claim)


def _by_bytes(near: Mapping[str, int]) -> tuple[str, ...]:
    """The nodes on which arguments lie, the one with the most bytes first."""
    return tuple(sorted(near, key=lambda node: (-near[node], node)))


_HANDLERS: dict[type[Any], Callable[[Scheduler, Any], None]] = {
    NodeAdded: Scheduler._on_node_added,
    NodeRemoved: Scheduler._on_node_removed,
    NodeDraining: Scheduler._on_node_draining,
    NodeMemory: Scheduler._on_node_memory,
    JobAdded: Scheduler._on_job_added,
    JobEnded: Scheduler._on_job_ended,
    ClassAdded: Scheduler._on_class_added,
    ClassUnused: Scheduler._on_class_unused,
    Predicted: Scheduler._on_predicted,
    Demand: Scheduler._on_demand,
    ClientGone: Scheduler._on_client_gone,
    LeaseAdopted: Scheduler._on_lease_adopted,
    LeaseReturned: Scheduler._on_lease_returned,
    LeaseBlocked: Scheduler._on_lease_blocked,
    LeaseUnblocked: Scheduler._on_lease_unblocked,
    LeaseSuspended: Scheduler._on_lease_suspended,
    LeaseResumed: Scheduler._on_lease_resumed,
    LeaseMemory: Scheduler._on_lease_memory,
    OrdersLost: Scheduler._on_orders_lost,
    PlacementGroupAdded: Scheduler._on_group_added,
    PlacementGroupRemoved: Scheduler._on_group_removed,
    Recovered: Scheduler._on_recovered,
    Tick: Scheduler._on_tick,
}
