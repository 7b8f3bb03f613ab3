"""The scheduler: facts in, orders out. It has no clock, does no I/O and starts no thread.

It schedules classes onto slots by leases and never sees a task. A step is a short pipeline: note the event
in the book, keep promises that came true, give out what is open, and, when a demand changed or time passed,
ask leases back for those who are owed one.

Events may be late or told twice, for their senders are other processes: whatever names a lease, class, node
or client that is not known (any more) changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rustray.scheduler import invariants, reclaim
from rustray.scheduler.actions import Action, Grant, Infeasible, Revoke
from rustray.scheduler.events import (
    ClassAdded,
    ClientGone,
    Demand,
    Event,
    JobEnded,
    LeaseAdopted,
    LeaseBlocked,
    LeaseReturned,
    LeaseUnblocked,
    NodeAdded,
    NodeRemoved,
    PlacementGroupAdded,
    PlacementGroupRemoved,
    Recovered,
    Tick,
)
from rustray.scheduler.groups import Groups
from rustray.scheduler.leases import LeaseBook
from rustray.scheduler.queues import RankedQueue
from rustray.scheduler.reclaim import TURN, Terms
from rustray.scheduler.records import Claim, Job, Lease, Node, Shape, visible
from rustray.scheduler.status import Status


class Scheduler:
    """Leases of classes onto the nodes of a cluster, fair between jobs and within them.

    `status` answers questions about it without changing anything.
    """

    def __init__(self, first_lease: int = 0, recovering: bool = False) -> None:
        self._book = LeaseBook()
        self._book._leases_made = first_lease
        self._recovering = recovering
        self._actions: list[Action] = []
        self._overcommitted: dict[Node, float] = {}  # since when
        self._groups = Groups(self._book, lambda action: self._actions.append(action))
        self.status = Status(self._book, self._groups)

    def step(self, event: Event, now: float) -> list[Action]:
        """Take in one event; return what is to be done, in order.

        Parameters: now: seconds on any clock that does not go back.
        """
        self._book.now = now
        self._actions = []
        if type(event) in _HANDLERS:
            _HANDLERS[type(event)](self, event)
        return self._actions

    def next_wake(self) -> float | None:
        """When `Tick` should come at the latest, on the clock of `step`; None: whenever."""
        return None

    def sanity_check(self) -> None:
        """Raises AssertionError if any sum or queue is wrong, or an open slot is withheld from a waiter."""
        invariants.check(self._book, serving=not self._recovering)

    # -- events

    def _on_node_added(self, event: NodeAdded) -> None:
        known = self._book.nodes.by_name.get(event.node)
        if known is not None:
            self._remove_node(known)
        self._book.add_node(event.node, event.total, event.labels)
        self._groups.node_added(self._book.nodes.by_name[event.node])
        self._serve()
        self._place_groups()

    def _on_node_removed(self, event: NodeRemoved) -> None:
        node = self._book.nodes.by_name.get(event.node)
        if node is None:
            self._groups.node_lost(event.node)  # one that was expected to come back
        else:
            self._remove_node(node)
            self._tell_infeasible(self._book.waiting)
        self._serve()
        self._place_groups()

    def _remove_node(self, node: Node) -> None:
        self._overcommitted.pop(node, None)
        self._groups.node_lost(node.name)
        self._book.remove_node(node)

    def _on_class_added(self, event: ClassAdded) -> None:
        if event.key not in self._book.classes:
            self._book.add_class(
                event.key, event.job, event.name, event.request, event.pinned, event.constraint
            )

    def _on_demand(self, event: Demand) -> None:
        book = self._book
        cls = book.classes.get(event.key)
        if cls is None:
            return
        claim = book.claim(cls, event.client)
        if claim.wanted != event.count:
            claim.told_infeasible = False
        claim.near = _by_bytes(event.near)
        book.set_demand(claim, max(0, event.count))
        self._tell_if_infeasible(claim)
        if self._recovering:
            return
        self._serve()
        if claim.need > 0:
            self._take_fair_share(cls.shape, cls.job)
        elif claim.surplus > 0:  # anybody may want what is idle now
            for shape, job in self._those_who_wait():
                self._take_fair_share(shape, job)

    def _on_lease_returned(self, event: LeaseReturned) -> None:
        lease = self._book.leases.get(event.lease)
        if lease is not None:
            self._book.drop(lease)
            if lease.node.host is not None:
                self._tell_if_infeasible(lease.claim)  # its group may have been removed
            self._serve()

    def _on_lease_blocked(self, event: LeaseBlocked) -> None:
        lease = self._book.leases.get(event.lease)
        if lease is not None:
            self._book.block(lease)
            self._serve()

    def _on_lease_unblocked(self, event: LeaseUnblocked) -> None:
        lease = self._book.leases.get(event.lease)
        if lease is not None:
            self._book.unblock(lease)
            if min(lease.node.free.values()) < 0:
                self._overcommitted.setdefault(lease.node, self._book.now)
            self._serve()

    def _on_client_gone(self, event: ClientGone) -> None:
        for claim in list(self._book.claims_of.get(event.client, ())):
            self._book.void(claim)
        self._serve()

    def _on_job_ended(self, event: JobEnded) -> None:
        job = self._book.jobs.get(event.job)
        if job is not None:
            shapes = self._groups.remove_job(event.job)
            self._book.remove_job(job)
            self._tell_infeasible(shapes)
            self._serve()
            self._place_groups()

    def _on_group_added(self, event: PlacementGroupAdded) -> None:
        self._groups.add(event)
        self._place_groups()

    def _on_group_removed(self, event: PlacementGroupRemoved) -> None:
        self._tell_infeasible(self._groups.remove(event.group))
        self._serve()
        self._place_groups()

    def _on_recovered(self, _event: Recovered) -> None:
        self._recovering = False
        self._serve()
        self._place_groups()

    def _on_lease_adopted(self, event: LeaseAdopted) -> None:
        book = self._book
        cls, node = book.classes.get(event.key), book.nodes.by_name.get(event.node)
        if cls is None or node is None or event.lease in book.leases:
            return
        made, book._leases_made = book._leases_made, event.lease - 1
        at = self._groups.place_of(cls.shape, node)
        if at is None:
            return
        book.grant(book.claim(cls, event.client), at)
        book._leases_made = made
        if event.blocked:
            book.block(book.leases[event.lease])

    def _on_tick(self, _event: Tick) -> None:
        if self._recovering:
            return
        self._serve()
        self._place_groups()
        self._take_turns()  # before shares are evened out: each stage leaves less to revoke to the next
        for shape, job in self._those_who_wait():
            self._take_fair_share(shape, job)
        self._relieve_overcommitted()

    # -- the stages of a step

    def _serve(self) -> None:
        """Give out all that is open: first to those to whom a slot was promised, then fairly to the rest."""
        self._groups.sweep()
        if self._recovering:
            return
        self._keep_ripe_promises()
        self._keep_promises_elsewhere()
        while (choice := self._next_served()) is not None:
            claim, node = choice
            self._granted(self._book.grant(claim, node))

    def _keep_ripe_promises(self) -> None:
        """Grant promises of nodes that got something back; what an earlier one awaits no later one gets."""
        book = self._book
        while book.ripe:
            node = next(iter(book.ripe))
            del book.ripe[node]
            left = dict(node.free)
            for promise in list(node.promises):
                request = promise.claim.cls.shape.request
                if request.fits(left):
                    self._granted(book.keep_promise(promise, node))
                for name, units in request.items():
                    left[name] -= units
            book.ripe.pop(node, None)

    def _keep_promises_elsewhere(self) -> None:
        """Who was promised a slot takes one that opens elsewhere; the promised one is then to be had."""
        book = self._book
        for shape in list(book.promised):
            while shape.promises and (node := book.nodes.best(shape)) is not None:
                promise = next(iter(shape.promises))
                self._granted(book.keep_promise(promise, node))
        if book.ripe:
            self._keep_ripe_promises()

    def _next_served(self) -> tuple[Claim, Node] | None:
        """Of all claims that fit somewhere now: of the job with the least share, the one that holds least."""
        best: tuple[tuple[Any, Any], Claim, Node] | None = None
        for shape in self._book.waiting:
            job = shape.jobs.first()
            claim = job.lines[shape].first() if job is not None else None
            if job is None or claim is None:
                continue
            node = self._book.nodes.best(shape, claim.near)
            if node is None:
                continue
            rank = job.rank, claim.rank
            if best is None or rank < best[0]:
                best = rank, claim, node
        return best[1:] if best else None

    def _take_fair_share(self, shape: Shape, job: Job) -> None:
        while (claim := self._first_waiting(shape, job)) is not None:
            plan = reclaim.find(self._book, claim, Terms.FAIR)
            if plan is None:
                return
            self._promise(claim, plan, Terms.FAIR)

    def _take_turns(self) -> None:
        """For claims that have nothing yet, whoever was served longest ago first, whatever its shape: else
        requests of one shape could take every turn before those of another are asked."""
        lines: RankedQueue[tuple[Shape, Job]] = RankedQueue()
        for line in self._those_who_wait():
            self._queue_for_turn(lines, line)
        while (line_ := lines.first()) is not None:
            claim = self._first_waiting(*line_)
            if claim is None or not self._take_turn(claim):
                lines.discard(line_)
            else:
                self._queue_for_turn(lines, line_)

    def _queue_for_turn(self, lines: RankedQueue[tuple[Shape, Job]], line: tuple[Shape, Job]) -> None:
        claim = self._first_waiting(*line)
        if claim is None or claim.standing or self._book.now - claim.since < TURN:
            lines.discard(line)
        else:
            lines.put(line, (claim.turn,))

    def _take_turn(self, claim: Claim) -> bool:
        terms = Terms.OWN_JOB
        plan = reclaim.find(self._book, claim, terms) if claim.cls.job.share else None
        if plan is None:
            terms = Terms.ANY_JOB
            plan = reclaim.find(self._book, claim, terms)
        if plan is None or not plan.in_turn(self._book.now):
            return False
        self._promise(claim, plan, terms)
        return True

    def _relieve_overcommitted(self) -> None:
        """Workers that woke may leave a node with more of them than CPUs. Those that wake only to wait again
        would make leases come and go, so only what lasts is put right."""
        for node, since in list(self._overcommitted.items()):
            if min(node.free.values()) >= 0:
                del self._overcommitted[node]
            elif self._book.now - since >= TURN:
                for lease in reclaim.relieve(node):
                    self._revoke(lease, "more workers awake than CPUs")

    def _those_who_wait(self) -> list[tuple[Shape, Job]]:
        """Every line of claims that some node could serve, those of the job with the least share first."""
        lines = [(shape, job) for shape in self._book.waiting if shape.hosts for job in shape.jobs]
        return sorted(lines, key=lambda line: line[1].rank)

    def _first_waiting(self, shape: Shape, job: Job) -> Claim | None:
        line = job.lines.get(shape) if shape.hosts else None
        return line.first() if line is not None else None

    def _promise(self, claim: Claim, plan: reclaim.Plan, terms: Terms) -> None:
        for lease in plan.victims:
            self._revoke(lease, "idle" if lease.claim.surplus > 0 else terms.value)
        self._book.promise(claim, plan.node)

    def _revoke(self, lease: Lease, reason: str) -> None:
        self._book.revoke(lease)
        self._actions.append(Revoke(lease.number, lease.claim.client, lease.node.name, reason))

    def _granted(self, lease: Lease) -> None:
        claim = lease.claim
        if self._groups.reserved(lease):
            return
        self._actions.append(Grant(lease.number, claim.cls.key, claim.client, lease.node.name))

    def _place_groups(self) -> None:
        if not self._recovering and self._groups.place():
            self._serve()  # who waited for the groups

    def _tell_infeasible(self, shapes: Iterable[Shape]) -> None:
        for shape in shapes:
            for job in shape.jobs:
                for claim in job.lines[shape]:
                    self._tell_if_infeasible(claim)

    def _tell_if_infeasible(self, claim: Claim) -> None:
        shape = claim.cls.shape
        if shape.hosts or claim.told_infeasible or claim.need <= 0:
            return
        claim.told_infeasible = True
        missing, have, reason = self._book.nodes.closest(shape)
        self._actions.append(Infeasible(claim.cls.key, claim.client, visible(missing), visible(have), reason))


def _by_bytes(near: Mapping[str, int] | None) -> tuple[str, ...]:
    """The nodes on which arguments lie, the one with the most bytes first."""
    return tuple(sorted(near, key=lambda node: (-near[node], node))) if near else ()


_HANDLERS: dict[type[Any], Callable[[Scheduler, Any], None]] = {
    NodeAdded: Scheduler._on_node_added,
    NodeRemoved: Scheduler._on_node_removed,
    ClassAdded: Scheduler._on_class_added,
    Demand: Scheduler._on_demand,
    LeaseReturned: Scheduler._on_lease_returned,
    LeaseBlocked: Scheduler._on_lease_blocked,
    LeaseUnblocked: Scheduler._on_lease_unblocked,
    ClientGone: Scheduler._on_client_gone,
    JobEnded: Scheduler._on_job_ended,
    PlacementGroupAdded: Scheduler._on_group_added,
    PlacementGroupRemoved: Scheduler._on_group_removed,
    Recovered: Scheduler._on_recovered,
    LeaseAdopted: Scheduler._on_lease_adopted,
    Tick: Scheduler._on_tick,
}
