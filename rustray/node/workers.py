"""What is asked of worker processes while they live: to be killed, to retire, to stay."""

from __future__ import annotations

from rustray.model.ids import node_of
from rustray.node.clients import Clients
from rustray.node.neighbours import Neighbours
from rustray.node.pool import WorkerPool

RETIRE_AFTER_S = 10.0
"""Seconds after which an idle worker beyond `keep` may go."""


class Workers:
    """See the module.

    Parameters
    ----------
    keep: idle workers that are never sent away.
    """

    def __init__(self, clients: Clients, pool: WorkerPool, neighbours: Neighbours, keep: int) -> None:
        self._clients = clients
        self._pool = pool
        self._neighbours = neighbours
        self._keep = keep

    def on_kill(self, client: int, worker: int, why: str) -> None:
        """A client wants a worker killed: one that it has a lease of, or one of its job."""
        if not self._clients.is_ours(worker):
            self._neighbours.send(node_of(worker), ("kill_worker", client, worker, why))
            return
        at = self._pool.workers.get(worker)
        if at is None:
            return
        local = self._clients.connected.get(client)
        if client in at.leases.values() or local is not None and at.setting.job == local.job:
            self._pool.kill(at, "cancelled", why)

    def on_setup_failed(self, client: int, text: str) -> None:
        """A worker could not make itself what its tasks need."""
        worker = self._clients.connected[client].worker
        if worker is not None:
            self._pool.kill(worker, "setup", f"could not be set up: {text}")

    def retire(self) -> None:
        """Let idle workers go that were started for a burst, or for waiting ones that lent their slot."""
        for worker in self._pool.superfluous(self._keep, RETIRE_AFTER_S):
            self._clients.send(worker.client, ("retire",))

    def on_staying(self, client: int) -> None:
        """One that was to retire had still something to do."""
        worker = self._clients.connected[client].worker
        if worker is not None and not worker.leases and worker.doom is None:
            self._pool.put_idle(worker)
