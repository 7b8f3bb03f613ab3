"""The scheduling classes that a node knows, its own clients' and those whose tasks other nodes have run here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from rustray.node.clients import Clients
from rustray.wire.frames import Message


class TaskClass(NamedTuple):
    """`spec` has "name", "resources", "env_key", "runtime_env" and what the scheduler wants to know."""

    job: int
    spec: dict[str, Any]


class Classes:
    """See the module. What clients demand of them is passed to the head.

    The head is told of those that no client here uses any more, and tells when nobody uses them.
    """

    def __init__(self, clients: Clients, head: Callable[[Message], None]) -> None:
        self._clients = clients
        self._head = head
        self.known: dict[bytes, TaskClass] = {}
        self._used: dict[int, set[bytes]] = {}
        """Those that each client of ours has told of, and not that it does not use them."""
        self._users: Counter[bytes] = Counter()
        self._refused: dict[bytes, str] = {}
        """Those that could not be handled, and why: demand for them is infeasible."""

    def on_class(self, client: int, key: bytes, spec: dict[str, Any]) -> None:
        """A client of ours is about to demand leases of this class."""
        self._refused.pop(key, None)
        job = self._clients.connected[client].job
        used = self._used.setdefault(client, set())
        if key not in used:
            used.add(key)
            self._users[key] += 1
        self.on_told(key, job, spec)
        self._head(("class", key, job, spec, client))

    def on_unused(self, client: int, keys: Iterable[bytes]) -> None:
        """A client of ours has not used these for a while; it tells of them again before it does."""
        used = self._used.get(client, set())
        self._let_go([key for key in keys if key in used])
        used.difference_update(keys)

    def on_client_gone(self, client: int) -> None:
        """It has ended."""
        self._let_go(self._used.pop(client, ()))

    def _let_go(self, keys: Iterable[bytes]) -> None:
        unused = []
        for key in keys:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key]
                unused.append(key)
        if unused:
            self._head(("unused", unused))

    def refuse(self, _client: int, text: str, key: bytes, *_spec: Any) -> None:
        """The class cannot be handled; nothing waits for it yet."""
        self._refused[key] = text

    def on_told(self, key: bytes, job: int, spec: dict[str, Any]) -> None:
        """The head tells of a class before it grants leases of it."""
        self.known[key] = TaskClass(job, spec)

    def on_gone(self, keys: Sequence[bytes]) -> None:
        """Nobody used them when the head said this; it will tell of those again that others use from now on."""
        for key in keys:
            if key not in self._users:
                self.known.pop(key, None)
                self._refused.pop(key, None)

    def report(self, leased: set[bytes]) -> list[tuple[bytes, int, dict[str, Any], bool]]:
        """Key, job, spec, and whether a client of ours uses it, for a head that has just been found.

        Others than these and those of leases here are forgotten, for the head may not know that we know them.
        """
        self.known = {key: at for key, at in self.known.items() if key in leased or key in self._users}
        return [(key, at.job, at.spec, key in self._users) for key, at in self.known.items()]

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
