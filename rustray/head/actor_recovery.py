"""What becomes of actors when a leader takes office, a node reports, or a node is gone."""

from __future__ import annotations

import marshal
from typing import Any

from rustray.cluster import facts
from rustray.cluster.state import ClusterState
from rustray.head.actor_callers import ActorCallers
from rustray.head.actor_starts import ActorStarts
from rustray.head.actors import Actors
from rustray.head.node_links import NodeLink
from rustray.model import ids


class ActorRecovery:
    """A leader knows the facts: which actors there are, and where those lived that were alive. Where they run now, or
    are being started, the nodes' reports say."""

    def __init__(
        self, state: ClusterState, actors: Actors, starts: ActorStarts, callers: ActorCallers
    ) -> None:
        self._state = state
        self._actors = actors
        self._starts = starts
        self._callers = callers

    def take_over(self) -> None:
        """Learn of the actors that the facts tell of."""
        for record in self._state.actors.values():
            if record.state == facts.DEAD:
                continue
            spec = marshal.loads(record.spec)
            if record.arguments:
                spec["args"], spec["deps"] = marshal.loads(record.arguments)
                spec["complete"] = True
            self._actors.add(record.id, record.job, spec)
            self._actors.unseen.add(record.id)

    def take_report(self, link: NodeLink, report: dict[str, Any], clients: set[int]) -> None:
        """A node says which actors it has, started or being started."""
        unseen = self._actors.unseen
        reported = {actor: worker for actor, worker, _incarnation in report.get("actors", ())}
        for actor, _worker, incarnation in report.get("actors", ()):
            record = self._state.actors.get(actor)
            if record is None or record.state == facts.DEAD or record.incarnation != incarnation:
                link.send(("stop_actor", actor, False, "it was replaced while its node was cut off"))
            elif actor in unseen:
                unseen.discard(actor)
                self._starts.demand(actor)
        for record in list(self._state.actors.values()):
            if record.state == facts.ALIVE and record.node == link.name:
                if reported.get(record.id) != record.worker:
                    # It has ended, or is being killed: the node's word of how is on its way.
                    unseen.discard(record.id)
                    self._starts.demand(record.id)
                else:
                    self._callers.connect_waiting(record)
            if record.state == facts.DEAD:
                if record.detached and record.job in link.jobs:
                    link.send(("actor_over", record.id))  # it may not have been told
            else:
                owner = ids.owner_of(record.id)
                if ids.node_of(owner) == link.number and owner not in clients:
                    self._actors.owner_gone(record)

    def settled(self) -> None:
        """All nodes have reported: what none of them has is started now, and what nobody owns ends."""
        members = {node.number for node in self._state.nodes.values() if node.removed is None}
        for owned in list(self._state.actors.values()):
            if owned.state != facts.DEAD and ids.home_of(owned.id) not in members:
                self._actors.owner_gone(owned)
        for actor in list(self._actors.unseen):
            record = self._state.actors.get(actor)
            if record is not None and record.state == facts.ALIVE and record.node in self._state.nodes:
                if self._state.nodes[record.node].removed is None:
                    continue  # its node is expected still, or is being given up
            self._actors.unseen.discard(actor)
            self._start(actor)

    def forget_node(self, name: str) -> None:
        """A node is gone; what it may have hosted will be started elsewhere."""
        self._starts.forget_node(name)
        for actor in list(self._actors.unseen):
            record = self._state.actors.get(actor)
            if record is None or record.state != facts.ALIVE:
                self._actors.unseen.discard(actor)
                if record is not None and record.state != facts.DEAD:
                    self._start(actor)

    def _start(self, actor: bytes) -> None:
        if actor in self._starts.specs and self._starts.specs[actor]["complete"]:
            self._starts.demand(actor)

    def end_owned_by_node(self, number: int) -> None:
        """The node is gone, and so are the processes on it that have created actors."""
        for record in list(self._state.actors.values()):
            if record.state != facts.DEAD and ids.home_of(record.id) == number:
                self._actors.owner_gone(record)
