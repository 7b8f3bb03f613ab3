"""When an actor is started: each of its incarnations once by each leader, on a lease that the head itself holds.

An actor is a pinned scheduling class with one lease, that of client 0. The lease of a process that has died may come
back, and the next be granted, before the facts tell what the death meant. Such a grant is postponed: its slot is kept
for the actor until that is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rustray.cluster import commands, facts
from rustray.cluster.state import ClusterState
from rustray.head.commits import Commits
from rustray.head.jobs import Jobs
from rustray.head.log import Then
from rustray.head.node_links import NodeLink, NodeLinks
from rustray.head.restart_pace import RestartPace
from rustray.head.scheduling import Scheduling
from rustray.head.task_classes import resources_of
from rustray.scheduler import actions, events
from rustray.scheduler.constraints import Constraint

NO_CLIENT = 0
"""Stands for the head itself where it holds a lease: that of an actor."""


class ActorStarts:
    """See the module.

    Parameters
    ----------
    now: monotonic seconds.

    Attributes
    ----------
    specs: what it takes to start each actor that is not dead.
    pace: how soon those that died are started again.
    on_without_lease: called with an actor that might be started now, and has no lease.
    """

    def __init__(
        self,
        state: ClusterState,
        now: Callable[[], float],
        commits: Commits,
        nodes: NodeLinks,
        scheduling: Scheduling,
        jobs: Jobs,
    ) -> None:
        self._state = state
        self._now = now
        self._commits = commits
        self._nodes = nodes
        self._scheduling = scheduling
        self._jobs = jobs
        self.specs: dict[bytes, dict[str, Any]] = {}
        self.pace = RestartPace()
        self.on_without_lease: Callable[[bytes], None] = lambda _actor: None
        self._ending: dict[bytes, int] = {}
        """Actors whose incarnation is over by commands that are not committed yet, and how many of these."""
        self._exits: dict[bytes, tuple[str, int]] = {}
        """Actors of which a node has yet to say how an incarnation ended: which node, which incarnation."""
        self._postponed: dict[bytes, actions.Grant] = {}
        self._resting: set[bytes] = set()
        """Those of the postponed that may not be started yet."""
        scheduling.carry_out[actions.Evict] = self._evict

    def add(self, actor: bytes, job: int, spec: dict[str, Any]) -> None:
        """There is an actor, to be started when it is demanded."""
        self.specs[actor] = spec
        self._scheduling.step(
            events.ClassAdded(
                actor,
                0 if spec["detached"] else job,
                spec["name"],
                resources_of(spec["resources"]),
                pinned=True,
                priority=spec.get("priority", 0),
                constraint=Constraint.of(spec.get("constraint")),
            )
        )

    def remove(self, actor: bytes) -> bool:
        """It is dead; whether it was known."""
        self._scheduling.step(events.Demand(actor, NO_CLIENT, 0))
        self.start_postponed(actor)
        self.pace.forget(actor)
        return self.specs.pop(actor, None) is not None

    def demand(self, actor: bytes) -> None:
        """It wants a lease, now and after each death."""
        self._scheduling.step(events.Demand(actor, NO_CLIENT, 1))

    def may_live(self, actor: bytes) -> bool:
        """Whether a process of it may live, or what the end of the last one meant is not known yet."""
        record = self._state.actors.get(actor)
        if record is None:
            return False
        exiting = self._exits.get(actor, ("", -1))[1] == record.incarnation
        return actor in self._ending or exiting or record.state == facts.ALIVE

    def start(self, grant: actions.Grant, link: NodeLink) -> bool:
        """Start the actor that the lease was granted for; False when it is no actor's lease."""
        actor = grant.key
        if grant.client != NO_CLIENT or actor not in self.specs:
            return False
        record = self._state.actors[actor]
        if self.may_live(actor):
            self._postponed[actor] = grant
            return True
        if record.state == facts.DEAD:
            # Others that died by the same command are told first, and that has made room.
            self._scheduling.step(events.Demand(actor, NO_CLIENT, 0))
            self._scheduling.step(events.LeaseReturned(grant.lease))
            return True
        time = self.pace.not_before(actor)
        if self._now() < time:
            self._postponed[actor] = grant
            self._resting.add(actor)
            self._scheduling.wake_at(time)
            return True
        self._jobs.acquaint(link, record.job)
        spec = {**self.specs[actor], "incarnation": record.incarnation}
        link.send(("start_actor", grant.lease, actor, record.job, spec))
        return True

    def start_postponed(self, actor: bytes) -> None:
        """What has kept the actor from being started may be over."""
        if actor in self._ending:
            return
        self._resting.discard(actor)
        grant = self._postponed.pop(actor, None)
        if grant is None or grant.lease not in self._scheduling.status.leases_on(grant.node):
            self.on_without_lease(actor)
            return
        link = self._nodes.get(grant.node)
        if link is None or not self.start(grant, link):
            self._scheduling.step(events.LeaseReturned(grant.lease))

    def _evict(self, action: actions.Evict) -> None:
        """What runs on a lease is to end: its node sees to it, which knows of it if anything was started."""
        for actor, grant in self._postponed.items():
            if grant.lease == action.lease:
                del self._postponed[actor]
                self._resting.discard(actor)
                self._scheduling.step(events.LeaseReturned(grant.lease))
                return
        self._nodes.to_node(action.node, ("evict", action.lease, action.reason))

    def tick(self, now: float) -> None:
        """Those that have rested are started."""
        for actor in [actor for actor in self._resting if now >= self.pace.not_before(actor)]:
            self.start_postponed(actor)

    # -- ends ------------------------------------------------------------------------------------------

    def submit_end(self, actor: bytes, command: commands.Command, then: Then) -> None:
        """Submit a command that ends the actor's incarnation. Nothing is started until it is committed."""
        self._ending[actor] = self._ending.get(actor, 0) + 1

        def ended(result: dict[str, Any]) -> None:
            self._ending[actor] -= 1
            if not self._ending[actor]:
                del self._ending[actor]
            then(result)
            self.start_postponed(actor)

        self._commits.submit(command, ended)

    def exits_are_coming(self, node: str, exits: Iterable[tuple[bytes, int]]) -> None:
        """A node that joins again will say how these incarnations ended: until then no other one is started."""
        for actor, incarnation in exits:
            self._exits[actor] = (node, incarnation)

    def exit_has_come(self, actor: bytes) -> None:
        """A node says how an incarnation ended."""
        self._exits.pop(actor, None)

    def forget_node(self, name: str) -> None:
        """The node is gone, and says nothing any more."""
        for actor in [actor for actor, (node, _incarnation) in self._exits.items() if node == name]:
            del self._exits[actor]
            self.start_postponed(actor)
