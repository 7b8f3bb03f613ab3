"""What clients ask of the state of things: the node answers what it knows itself, and passes the rest to the head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rustray.node.client_messages import refusal
from rustray.node.clients import Clients
from rustray.node.pool import WorkerPool
from rustray.node.store import StoreService
from rustray.store.errors import InvalidRequest
from rustray.wire.frames import Message


class Queries:
    """See the module."""

    def __init__(
        self, clients: Clients, pool: WorkerPool, store: StoreService, head: Callable[[Message], None]
    ) -> None:
        self._clients = clients
        self._pool = pool
        self._store = store
        self._head = head
        self._own: dict[str, Callable[..., Any]] = {
            "store": store.ledger.stats,
            "workers": self._workers,
            "lose": self._lose,
        }
        self._gathered: dict[str, Callable[..., dict[str, Any]]] = {"objects": self._objects}

    def on_query(self, client: int, request: int, what: str, args: tuple[Any, ...]) -> None:
        """A client waits for an answer."""
        answer = self._own.get(what)
        if answer is None:
            self._head(("query", client, request, what, args))
        else:
            self._clients.send(client, ("answer", request, True, answer(*args)))

    def refuse(self, client: int, text: str, request: int, *_question: Any) -> None:
        """It cannot be answered."""
        self._clients.send(client, ("answer", request, False, refusal(text)))

    def on_explain(self, client: int, token: int, number: int) -> None:
        """The head asks a client of ours where one of its tasks is."""
        if client in self._clients.connected:
            self._clients.send(client, ("explain", token, number))
        else:
            self._head(("explained", token, None))

    def on_gather(self, token: int, what: str, args: tuple[Any, ...]) -> None:
        """The head asks all nodes."""
        self._head(("gathered", token, self._gathered[what](*args)))

    def _objects(self, largest: int) -> dict[str, Any]:
        stats = self._store.ledger.stats()
        return {
            "used": stats["used"],
            "capacity": stats["capacity"],
            "spilled": stats["spilled_bytes"],
            "count": stats["objects"],
            "objects": self._store.ledger.largest(largest),
        }

    def _workers(self) -> list[dict[str, Any]]:
        return [
            {
                "worker": worker.client,
                "pid": worker.pid,
                "job": worker.setting.job,
                "leases": len(worker.leases),
                "actor": worker.actor.hex() if worker.actor else None,
            }
            for worker in self._pool.workers.values()
        ]

    def _lose(self, oid: bytes) -> bool:
        # For tests of recovery: as if the machine's memory had failed. False: somebody reads it.
        try:
            self._store.do(self._store.ledger.lose(oid))
        except InvalidRequest:
            return False
        return True
