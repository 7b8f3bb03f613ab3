"""Workers that are to end because nobody wants anything of them any more: first they say what they have counted.

Else the tasks of a program that ends would be missing in what functions took, and one that has just given its result
would be told as stopped.
"""

from __future__ import annotations

import time

from rustray.node.clients import Clients
from rustray.node.pool import WorkerPool, WorkerProcess

PARTING_S = 0.2
"""Seconds that a worker gets for it; one that is busy may not come to it."""


class Partings:
    """See the module."""

    def __init__(self, clients: Clients, pool: WorkerPool) -> None:
        self._clients = clients
        self._pool = pool
        self._due: dict[int, float] = {}

    def end(self, worker: WorkerProcess, kind: str, text: str) -> None:
        """End `worker` as `WorkerPool.kill` does, once it has said what it has to say."""
        if worker.client in self._due:
            return
        if worker.doom is not None or worker.suspended or worker.client not in self._clients.connected:
            self._pool.kill(worker, kind, text)
            return
        worker.doom = (kind, text)
        self._due[worker.client] = time.monotonic() + PARTING_S
        self._clients.send(worker.client, ("part",))

    def on_parted(self, client: int) -> None:
        """A worker has said all."""
        if self._due.pop(client, None) is not None:
            self._kill(client)

    def tick(self, now: float) -> None:
        """End those that take too long. `now` is monotonic."""
        for client in [client for client, due in self._due.items() if now >= due]:
            del self._due[client]
            self._kill(client)

    def _kill(self, client: int) -> None:
        worker = self._pool.workers.get(client)
        if worker is not None:
            self._pool.end(worker)
