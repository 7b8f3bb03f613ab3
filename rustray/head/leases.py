"""What nodes say of classes, demands and leases is told to the scheduler, and what it grants to the nodes.

A report corrects the scheduler: leases that are not in it have come back, others are adopted, and so with demands. So a
message that was lost with a link does no harm.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rustray.head.actor_starts import ActorStarts
from rustray.head.forecasts import Forecasts
from rustray.head.jobs import Jobs
from rustray.head.node_links import NodeLink, NodeLinks
from rustray.head.scheduling import Scheduling
from rustray.head.task_classes import Spec, TaskClasses, class_event
from rustray.scheduler import actions, events


class Leases:
    """Leases of one cluster: those of tasks go to clients, those of actors to `starts`."""

    def __init__(
        self,
        nodes: NodeLinks,
        scheduling: Scheduling,
        classes: TaskClasses,
        forecasts: Forecasts,
        jobs: Jobs,
        starts: ActorStarts,
    ) -> None:
        self._nodes = nodes
        self._scheduling = scheduling
        self._classes = classes
        self._forecasts = forecasts
        self._jobs = jobs
        self._starts = starts
        scheduling.carry_out[actions.Grant] = self._grant

    def _grant(self, action: actions.Grant) -> None:
        link = self._nodes.get(action.node)
        if link is None:
            return  # it is being removed, and its leases with it
        if self._starts.start(action, link):
            return
        job, spec = self._classes[action.key]
        if not self._jobs.acquaint(link, job):
            return  # it has ended this moment, and its leases with it
        if action.key not in link.classes:
            link.classes.add(action.key)
            link.send(("class", action.key, job, spec))
        link.send(("grant", action.lease, action.key, action.client))

    # -- messages --------------------------------------------------------------------------------------

    def on_class(self, node: str, key: bytes, job: int, spec: Spec, client: int = 0) -> None:
        """A client is about to run tasks of a class."""
        self.add_class(self._nodes[node], key, job, spec)
        self._classes.use(key, node)
        if client:
            self._forecasts.tell_client(client, key, spec)

    def add_class(self, link: NodeLink, key: bytes, job: int, spec: Spec) -> None:
        """The node knows this class."""
        link.classes.add(key)
        if key in self._classes or "incarnation" in spec:
            return
        self._classes.add(key, job, spec)
        self._scheduling.step(class_event(key, job, spec, self._forecasts.of(spec)))

    def on_unused(self, node: str, keys: Iterable[bytes]) -> None:
        """On this node no client uses these classes any more: those that nobody uses anywhere are forgotten."""
        self._classes.let_go(keys, node)
        gone = []
        for key in self._classes.unused():
            self._scheduling.step(events.ClassUnused(key))
            if not self._scheduling.status.knows(key):
                self._classes.forget(key)
                gone.append(key)
        for link in self._nodes:
            known = [key for key in gone if key in link.classes]
            if known:
                link.classes.difference_update(known)
                link.send(("unused", known))

    def take_classes(self, link: NodeLink, classes: Iterable[tuple[bytes, int, Spec, bool]]) -> None:
        """All that a node knows which has just joined: key, job, spec, and whether a client there uses it."""
        used = set()
        for key, job, spec, is_used in classes:
            self.add_class(link, key, job, spec)
            if is_used:
                self._classes.use(key, link.name)
                used.add(key)
        self.on_unused(link.name, [key for key in self._classes.used_on(link.name) if key not in used])

    def forget_users(self, node: str) -> None:
        """The node is gone, with its clients."""
        self.on_unused(node, self._classes.used_on(node))

    def on_demand(
        self, node: str, key: bytes, client: int, count: int, near: dict[int, int] | None = None
    ) -> None:
        """`near`: bytes of the tasks' arguments by the number of the node that has them."""
        self._nodes[node].clients.add(client)
        places: dict[str, int] | None = None
        if near:
            links = ((self._nodes.numbered(number), size) for number, size in near.items())
            places = {link.name: size for link, size in links if link is not None}
        self._scheduling.step(events.Demand(key, client, count, places))

    def on_returned(self, _node: str, lease: int) -> None:
        """Its client has given it back, or its worker is dead."""
        self._scheduling.step(events.LeaseReturned(lease))

    def on_worker_blocked(self, _node: str, lease: int) -> None:
        """Its worker waits, and lends its slot."""
        self._scheduling.step(events.LeaseBlocked(lease))

    def on_worker_unblocked(self, _node: str, lease: int) -> None:
        """Its worker goes on."""
        self._scheduling.step(events.LeaseUnblocked(lease))

    def on_suspended(self, _node: str, lease: int, memory: int) -> None:
        """Its worker has been stopped, and keeps so many bytes."""
        self._scheduling.step(events.LeaseMemory(lease, memory))
        self._scheduling.step(events.LeaseSuspended(lease))

    def on_resumed(self, _node: str, lease: int) -> None:
        """Its worker, which was stopped, goes on."""
        self._scheduling.step(events.LeaseResumed(lease))

    # -- reports ---------------------------------------------------------------------------------------

    def take_leases(self, node: str, leases: Iterable[events.LeaseAdopted]) -> None:
        """The leases of a node that was cut off, as they are."""
        step, status = self._scheduling.step, self._scheduling.status
        reported = {lease.lease: lease for lease in leases}
        for number in status.leases_on(node):
            if number not in reported:
                step(events.LeaseReturned(number))
        known = set(status.leases_on(node))
        for number, lease in reported.items():
            if number not in known:
                step(lease)
                continue
            step(events.LeaseBlocked(number) if lease.blocked else events.LeaseUnblocked(number))
            step(events.LeaseSuspended(number) if lease.suspended else events.LeaseResumed(number))
            step(events.OrdersLost(number))

    def take_demands(self, report: dict[str, Any], clients: Iterable[int]) -> None:
        """What the clients of a node want, and nothing else."""
        step, status = self._scheduling.step, self._scheduling.status
        told = {(key, client): count for key, client, count in report.get("demands", ())}
        for client in clients:
            for key in status.demanded_by(client):
                if (key, client) not in told:
                    step(events.Demand(key, client, 0))  # withdrawn while the node was cut off
            for lease in status.leaving_of(client):
                step(events.OrdersLost(lease))
        for (key, client), count in told.items():
            step(events.Demand(key, client, count))
