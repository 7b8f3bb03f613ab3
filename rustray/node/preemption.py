"""What the head has done to leases whose slots others need more: their workers are stopped, go on, or are killed."""

from __future__ import annotations

from collections.abc import Callable

from rustray.node.clients import Clients
from rustray.node.leases import Leases
from rustray.node.pool import WorkerPool
from rustray.wire.frames import Message


class Preemption:
    """See the module. A lease that has ended meanwhile is passed over: the head hears of its end."""

    def __init__(
        self, clients: Clients, leases: Leases, pool: WorkerPool, head: Callable[[Message], None]
    ) -> None:
        self._clients = clients
        self._leases = leases
        self._pool = pool
        self._head = head

    def on_suspend(self, lease: int) -> None:
        """Stop the worker where it is; its slot goes to others."""
        at = self._leases.here.get(lease)
        if at is not None and at.worker.doom is None:
            memory = self._pool.suspend(at.worker)
            self._head(("suspended", lease, memory))
            self._clients.send(at.client, ("suspended", lease, True))

    def on_resume(self, lease: int) -> None:
        """Let the worker go on."""
        at = self._leases.here.get(lease)
        if at is not None:
            self._pool.resume(at.worker)
            self._head(("resumed", lease))
            self._clients.send(at.client, ("suspended", lease, False))

    def on_requeue(self, lease: int) -> None:
        """End the worker; its client runs the task anew when there is room."""
        at = self._leases.here.get(lease)
        if at is not None:
            text = (
                "was stopped to make room for more urgent work, with too little memory to keep it meanwhile"
            )
            self._pool.kill(at.worker, "requeue", text)

    def on_evict(self, lease: int, reason: str) -> None:
        """End the worker, because what it runs in has been taken away."""
        at = self._leases.here.get(lease)
        if at is not None:
            self._pool.kill(at.worker, "evicted", f"was stopped because {reason}")
