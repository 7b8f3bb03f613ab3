"""The leases of a node's workers: who has them, from the head's grant until it is told that they have returned."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from rustray.model.ids import node_of
from rustray.node.classes import Classes
from rustray.node.clients import Clients
from rustray.node.gpus import GpuSlots
from rustray.node.introductions import Introductions
from rustray.node.jobs import Jobs
from rustray.node.partings import Partings
from rustray.node.pool import Setting, WorkerPool, WorkerProcess
from rustray.wire.frames import Message

log = logging.getLogger(__name__)

OWNER_ENDED = "was stopped because the owner of its task has ended"


class Lease(NamedTuple):
    """`client` has `worker` for tasks of the class `key`; of an actor's own lease these are 0 and the actor."""

    worker: WorkerProcess
    client: int
    key: bytes


class Leases:
    """See the module.

    Parameters
    ----------
    gpus: how many the node has.
    owes: whether others wait for values that a client, of which nothing runs, has promised.
    """

    def __init__(
        self,
        clients: Clients,
        classes: Classes,
        jobs: Jobs,
        pool: WorkerPool,
        partings: Partings,
        gpus: int,
        introductions: Introductions,
        head: Callable[[Message], None],
        owes: Callable[[int], bool],
    ) -> None:
        self._clients = clients
        self._owes = owes
        self._classes = classes
        self._jobs = jobs
        self._pool = pool
        self._partings = partings
        self._gpus = GpuSlots(gpus)
        self._introductions = introductions
        self._head = head
        self.here: dict[int, Lease] = {}
        self.guests: dict[int, set[int]] = {}
        """Those of clients of other nodes."""

    # -- the head --------------------------------------------------------------------------------------

    def on_grant(self, lease: int, key: bytes, client: int) -> None:
        """A client gets a worker for its tasks of this class."""
        known = self._classes.known.get(key)
        if self._clients.is_gone(client) or known is None or known.job not in self._jobs.known:
            self._head(("returned", lease))
            return
        job, spec = known
        worker = self.open(lease, client, key, job, spec)
        if self._clients.is_ours(client):
            self._clients.connected[client].leases.add(lease)
        else:
            self.guests.setdefault(client, set()).add(lease)
        message = ("lease", key, lease, worker.client)
        self._introductions.introduce(worker, client, lease, message, spec["resources"], spec.get("group"))

    def open(self, lease: int, client: int, key: bytes, job: int, spec: dict[str, Any]) -> WorkerProcess:
        """Take an idle worker that suits `spec`, or have one forked, and note whose it is."""
        gpus = self._gpus.take(lease, spec["resources"].get("GPU", 0.0))
        setting = Setting(job, spec["env_key"], max(1, int(spec["resources"].get("CPU", 1))), gpus)
        worker = self._pool.take_idle(setting, lambda worker: bool(client) or self._may_host(worker))
        if worker is None:
            place = self._jobs.known[job].place
            if spec.get("runtime_env") is not None:
                place = {**place, "runtime_env": spec["runtime_env"]}
            worker = self._pool.start(self._clients.new_number(), setting, place)
        worker.leases[lease] = client
        self.here[lease] = Lease(worker, client, key)
        return worker

    def _may_host(self, worker: WorkerProcess) -> bool:
        """Whether it may end with the actor that it is to host: not if a task has returned refs of tasks that it has
        submitted there, and that have not ended."""
        self._clients.hear(worker.client)  # its lease may have come back by way of another
        return not self._owes(worker.client)

    # -- their clients ---------------------------------------------------------------------------------

    def on_return(self, client: int, lease: int) -> None:
        """A client, ours or of another node, has no use for its lease any more."""
        at = self.here.get(lease)
        if at is None:
            return  # its worker has ended meanwhile
        if at.client != client:
            log.warning("client %x returns the lease %x, which is that of %x", client, lease, at.client)
            return
        self.close(lease)
        worker = at.worker
        if not worker.leases and not worker.exited and worker.doom is None:
            self._jobs.take_back(worker)

    def on_lent(self, client: int, event: str) -> None:
        """A worker lends its slots while it waits for others, or wants them back.

        Parameters
        ----------
        event: "worker_blocked" or "worker_unblocked".
        """
        worker = self._clients.connected[client].worker
        if worker is not None:
            worker.blocked = event == "worker_blocked"
            for lease in worker.leases:
                self._head((event, lease))

    def on_client_gone(self, leases: set[int]) -> None:
        """A client of ours has ended, which had these: it may be in the middle of a task whose result nobody wants."""
        for lease in list(leases):
            self._partings.end(self.here[lease].worker, "owner", OWNER_ENDED)

    def on_guest_gone(self, client: int) -> None:
        """A client of another node has ended: what it had running here is of no use any more."""
        for lease in list(self.guests.get(client, ())):
            self._partings.end(self.here[lease].worker, "owner", OWNER_ENDED)

    def on_node_down(self, node: int) -> None:
        """All clients of another node are gone."""
        for guest in [client for client in self.guests if node_of(client) == node]:
            self.on_guest_gone(guest)

    # -- the end ---------------------------------------------------------------------------------------

    def close(self, lease: int) -> None:
        """The lease has ended: what it took is free, and the head is told."""
        worker, client, _key = self.here.pop(lease)
        worker.leases.pop(lease, None)
        worker.relays.pop(lease, None)
        if worker.suspended:
            self._pool.resume(worker)
        at = self._clients.connected.get(client)
        if at is not None:
            at.leases.discard(lease)
        elif client in self.guests:
            self.guests[client].discard(lease)
            if not self.guests[client]:
                del self.guests[client]
        self._gpus.give_back(lease)
        self._head(("returned", lease))
