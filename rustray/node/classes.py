"""The scheduling classes that a node knows, its own clients' and those whose tasks other nodes have run here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from rustray.node.clients import Clients
from rustray.wire.frames import Message


class TaskClass(NamedTuple):
    """`spec` has "name", "resources", "env_key", "runtime_env" and what the scheduler wants to know."""

    job: int
    spec: dict[str, Any]


class Classes:
    """See the module. What clients demand of them is passed to the head."""

    def __init__(self, clients: Clients, head: Callable[[Message], None]) -> None:
        self._clients = clients
        self._head = head
        self.known: dict[bytes, TaskClass] = {}
        self._refused: dict[bytes, str] = {}
        """Those that could not be handled, and why: demand for them is infeasible."""

    def on_class(self, client: int, key: bytes, spec: dict[str, Any]) -> None:
        """A client of ours is about to demand leases of this class."""
        self._refused.pop(key, None)
        job = self._clients.connected[client].job
        self.on_told(key, job, spec)
        self._head(("class", key, job, spec, client))

    def refuse(self, _client: int, text: str, key: bytes, *_spec: Any) -> None:
        """The class cannot be handled; nothing waits for it yet."""
        self._refused[key] = text

    def on_told(self, key: bytes, job: int, spec: dict[str, Any]) -> None:
        """The head tells of a class before it grants leases of it."""
        self.known[key] = TaskClass(job, spec)

    def on_demand(self, client: int, key: bytes, count: int, near: dict[int, int] | None = None) -> None:
        """A client has use for `count` leases; `near`: bytes of its arguments on each node."""
        if key not in self._refused:
            demands = self._clients.connected[client].demands
            if count:
                demands[key] = count
            else:
                demands.pop(key, None)
            self._head(("demand", key, client, count, near))
        elif count:
            self._clients.send(client, ("infeasible", key, self._refused[key]))

    def forget_job(self, job: int) -> None:
        """Nothing of this job runs here any more."""
        for key in [key for key, known in self.known.items() if known.job == job]:
            del self.known[key]
            self._refused.pop(key, None)
