"""Who calls an actor, or waits to: clients are led to where it lives, and told when it restarts or is dead."""

from __future__ import annotations

from collections.abc import Callable

from rustray.cluster import facts
from rustray.cluster.state import ClusterState
from rustray.head.node_links import NodeLinks
from rustray.model import ids

ERRORS_KEPT = 1_000
"""Errors of dead actors; of older ones only the cause is told."""
UNKNOWN_FOR_S = 5.0
"""Seconds for which a call waits for an actor that is not known: a handle may travel faster than its registration."""


class ActorCallers:
    """See the module.

    Parameters
    ----------
    now: monotonic seconds.
    """

    def __init__(self, state: ClusterState, now: Callable[[], float], nodes: NodeLinks) -> None:
        self._state = state
        self._now = now
        self._nodes = nodes
        self._waiting: dict[bytes, set[int]] = {}
        """Clients that wait for a channel to an actor."""
        self._connected: dict[bytes, set[int]] = {}
        """Clients that have one."""
        self._unknown: dict[bytes, tuple[float, set[int]]] = {}
        """Actors that somebody wants to call and that are not registered: since when, and who."""
        self._errors: dict[bytes, tuple[str, bytes]] = {}

    def add(self, actor: bytes) -> None:
        """There is an actor: those who asked for it early wait for it."""
        self._connected[actor] = set()
        _since, early = self._unknown.pop(actor, (0.0, set()))
        self._waiting[actor] = early

    def waiting_for(self, actor: bytes) -> set[int]:
        """The clients that wait for a channel to it."""
        return self._waiting.get(actor, set())

    # -- connecting ------------------------------------------------------------------------------------

    def on_connect_actor(self, node: str, client: int, actor: bytes, lost: int) -> None:
        """`lost` is the worker that the client's channel led to before: it is dead, told or not."""
        self._nodes[node].clients.add(client)
        record = self._state.actors.get(actor)
        if record is None:
            self._unknown.setdefault(actor, (self._now(), set()))[1].add(client)
        elif record.state == facts.DEAD:
            self.say_dead(client, actor)
        elif record.state == facts.ALIVE and record.worker != lost:
            self._connect(client, record)
        else:
            self._waiting[actor].add(client)
            if record.state == facts.RESTARTING:
                self._say_restarting(client, record)

    def _connect(self, client: int, record: facts.Actor) -> None:
        link = self._nodes.get(record.node)
        if link is None:
            self._waiting[record.id].add(client)  # the node is cut off: it comes back, or its actors restart
            return
        self._waiting[record.id].discard(client)
        self._connected[record.id].add(client)
        link.send(("actor_place", client, record.id))

    def connect_waiting(self, record: facts.Actor) -> None:
        """It lives: those who wait are led to it."""
        for client in sorted(self._waiting.get(record.id, ())):
            self._connect(client, record)

    def client_gone(self, client: int) -> None:
        """A client has ended."""
        for callers in (*self._waiting.values(), *self._connected.values()):
            callers.discard(client)
        for _since, callers in self._unknown.values():
            callers.discard(client)

    def tick(self, now: float) -> None:
        """Those who asked for an actor that nobody has registered for long are told that it is not there."""
        for actor, (since, clients) in list(self._unknown.items()):
            if now - since > UNKNOWN_FOR_S:
                del self._unknown[actor]
                for client in clients:
                    self.say_dead(client, actor)

    # -- telling ---------------------------------------------------------------------------------------

    def on_restarting(self, record: facts.Actor) -> None:
        """Its process is dead, and another will be started: its callers wait for that."""
        callers, self._connected[record.id] = self._connected.get(record.id, set()), set()
        self._waiting.setdefault(record.id, set()).update(callers)
        for client in callers:
            self._say_restarting(client, record)

    def _say_restarting(self, client: int, record: facts.Actor) -> None:
        self._nodes.to_client(client, ("actor_restarting", client, record.id, record.cause))

    def on_dead(self, actor: bytes) -> None:
        """All who may call it learn why it is dead."""
        callers = self._connected.pop(actor, set()) | self._waiting.pop(actor, set())
        for client in {ids.owner_of(actor), *callers}:
            self.say_dead(client, actor)

    def refused(self, actor: bytes, client: int) -> None:
        """It could not be registered: who made it and those who asked for it early learn why."""
        _since, callers = self._unknown.pop(actor, (0.0, set()))
        for caller in {client, *callers}:
            self.say_dead(caller, actor)

    def keep_error(self, actor: bytes, kind: str, packed: bytes) -> None:
        """Whoever asks for the actor when it is dead gets this error."""
        self._errors[actor] = kind, packed
        while len(self._errors) > ERRORS_KEPT:
            del self._errors[next(iter(self._errors))]

    def say_dead(self, client: int, actor: bytes) -> None:
        """Tell a client that the actor is dead, and why."""
        record = self._state.actors.get(actor)
        cause = record.cause if record is not None else "it is not known here, or died long ago"
        kind, told = self._errors.get(actor, ("text", cause))
        self._nodes.to_client(client, ("actor_dead", client, actor, kind, told))
