"""Actors: those that workers of this node host, and those that its clients wait for. What they are the head decides."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from rustray.model.ids import owner_of
from rustray.model.own_work import is_own_code
from rustray.node.client_messages import refusal
from rustray.node.clients import Clients
from rustray.node.introductions import Introductions
from rustray.node.jobs import Jobs
from rustray.node.leases import Leases
from rustray.node.pool import WorkerPool, WorkerProcess
from rustray.node.store import StoreService
from rustray.wire.frames import Message

log = logging.getLogger(__name__)


class Actors:
    """See the module."""

    def __init__(
        self,
        clients: Clients,
        jobs: Jobs,
        leases: Leases,
        introductions: Introductions,
        pool: WorkerPool,
        store: StoreService,
        head: Callable[[Message], None],
    ) -> None:
        self._clients = clients
        self._jobs = jobs
        self._leases = leases
        self._introductions = introductions
        self._pool = pool
        self._store = store
        self._head = head
        self.hosted: dict[bytes, WorkerProcess] = {}
        self._last_channel = -1
        """Channels to actors count downwards, leases upwards."""

    # -- their creators and callers --------------------------------------------------------------------

    def on_create(self, client: int, request: int, actor: bytes, spec: dict[str, Any]) -> None:
        """A client of ours makes one; `request` is 0 if it does not wait for word of it."""
        job = self._clients.connected[client].job
        if spec["detached"]:
            self._jobs.keep_for(actor, job)
            self._store.keep(actor)
        self._head(("create_actor", client, request, actor, job, spec))

    def refuse_create(self, client: int, text: str, request: int, actor: bytes, *_spec: Any) -> None:
        """It cannot be made."""
        self.on_over(actor)
        if request:
            self._clients.send(client, ("answer", request, False, refusal(text)))
        else:
            self._clients.send(client, ("actor_dead", actor, "text", f"it cannot be created: {text}"))

    def on_connect(self, client: int, actor: bytes, lost: int) -> None:
        """A client wants a channel to a process of the actor other than the worker that it has lost."""
        self._clients.connected[client].awaited[actor] = lost
        self._head(("connect_actor", client, actor, lost))

    def ask_again(self) -> None:
        """Ask for the actors that clients wait for: a new leader, or the actor's node, may not know of them."""
        for client in self._clients.connected.values():
            for actor, lost in client.awaited.items():
                self._head(("connect_actor", client.client, actor, lost))

    def on_place(self, client: int, actor: bytes) -> None:
        """The head sends a caller here."""
        worker = self.hosted.get(actor)
        if worker is None or worker.exited or worker.doom is not None:
            return  # the head hears of its end and tells the client
        self._last_channel -= 1
        at = self._clients.connected.get(client)
        if at is not None:
            at.awaited.pop(actor, None)
        message = ("actor_channel", actor, worker.client)
        self._introductions.introduce(worker, client, self._last_channel, message, {})

    def on_dead(self, client: int, actor: bytes, kind: str, cause: Any) -> None:
        """The head tells a caller that there will be no other process of it."""
        at = self._clients.connected.get(client)
        if at is not None:
            at.awaited.pop(actor, None)
        self._clients.send(client, ("actor_dead", actor, kind, cause))

    # -- their processes -------------------------------------------------------------------------------

    def on_start(self, lease: int, actor: bytes, job: int, spec: dict[str, Any]) -> None:
        """A worker of ours is to host it."""
        if job not in self._jobs.known:
            text = "was not started because its job has ended"
            self._head(("actor_exited", actor, 0, "job", text, spec["incarnation"]))
            self._head(("returned", lease))
            return
        if spec["detached"]:
            self._jobs.keep_for(actor, job)
        worker = self._leases.open(lease, 0, actor, job, spec)
        worker.actor = actor
        worker.incarnation = spec["incarnation"]
        worker.is_own = is_own_code(spec["name"])
        self.hosted[actor] = worker
        self._clients.send(worker.client, ("host", actor, spec))

    def on_ready(self, client: int, actor: bytes, borrowed: list[bytes]) -> None:
        """Its constructor has returned, and still uses these of its arguments."""
        worker = self._host(client, actor)
        if worker is not None:
            self._store.borrow(client, actor, borrowed)
            self._head(("actor_ready", actor, client, worker.incarnation, worker.pid))

    def on_failed(self, client: int, actor: bytes, packed: bytes) -> None:
        """Its constructor has raised this, or, as its creator says, could not be given its arguments."""
        if owner_of(actor) == client or self._host(client, actor) is not None:
            self._head(("actor_failed", actor, packed))

    def on_ended(self, client: int, actor: bytes, text: str) -> None:
        """It ends itself, for this reason."""
        if self._host(client, actor) is not None:
            self._head(("actor_ended", actor, text))

    def _host(self, client: int, actor: bytes) -> WorkerProcess | None:
        worker = self._clients.connected[client].worker
        if worker is None or worker.actor != actor:
            log.warning("client %x speaks for the actor %s, which it does not host", client, actor.hex())
            return None
        return worker

    def on_exited(self, worker: WorkerProcess, kind: str, text: str) -> None:
        """A worker that hosted one has ended."""
        assert worker.actor is not None
        if self.hosted.get(worker.actor) is worker:
            del self.hosted[worker.actor]
        self._head(("actor_exited", worker.actor, worker.client, kind, text, worker.incarnation))

    def on_stop(self, actor: bytes, graceful: bool, text: str) -> None:
        """The head ends it: when it is idle (`graceful`), or at once."""
        worker = self.hosted.get(actor)
        if worker is None:
            return
        if graceful:
            self._clients.send(worker.client, ("exit_when_idle",))
        else:
            self._pool.kill(worker, "killed", text)

    def on_over(self, actor: bytes) -> None:
        """It is gone for good."""
        self._jobs.let_go_of(actor)
        self._store.let_go_of(actor)
