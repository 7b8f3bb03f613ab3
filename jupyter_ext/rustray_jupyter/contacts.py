"""Asking clusters from an event loop that must not wait: one connection a cluster, its questions asked in its threads.

Rule 1. A connection is opened by the first question, and closed when nobody has asked for a while.
Rule 2. A cluster that does not answer holds up its own threads only, and who asks waits for a bounded time.
Rule 3. A connection that has ended is opened anew by the next question: the cluster may have been started again.
Rule 4. Once they are closed none is opened any more, also not by a question that was on its way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, Protocol, TypeVar

from rustray.errors import SessionError

T = TypeVar("T")

THREADS = 2
"""Of each cluster, so that a slow question does not hold up a quick one."""
ENDING = "The Jupyter server is ending: it asks clusters no more."


class Contact(Protocol):
    """What `rustray.clusters.contact` gives: a session that only asks."""

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""

    def query(self, what: str, *args: Any) -> Any:
        """The answer, a plain value. Blocks."""

    def close(self) -> None:
        """End it: what is being asked fails with SessionError. Blocks."""


class Contacts:
    """The connections of one Jupyter server, by the cluster's name.

    Parameters
    ----------
    connect: opens a connection to the cluster of this name; it may block, and raises RustRayError.
    timeout: seconds after which a question counts as unanswered.
    idle: seconds without a question after which a connection is closed.
    """

    def __init__(self, connect: Callable[[str], Contact], timeout: float, idle: float) -> None:
        self._connect = connect
        self._timeout = timeout
        self._idle = idle
        self._lines: dict[str, _Line] = {}
        self._closed = False

    @property
    def open(self) -> list[str]:
        """The clusters that there is a connection to, or will be at once."""
        return list(self._lines)

    async def query(self, cluster: str, what: str, *args: Any) -> Any:
        """What the cluster answers; RustRayError in place of it, SessionError after `timeout` seconds."""
        return await self.call(cluster, lambda contact: contact.query(what, *args))

    async def call(self, cluster: str, ask: Callable[[Contact], T]) -> T:
        """The same of several questions at once: `ask` is called with the connection, in a thread."""
        if self._closed:
            raise SessionError(ENDING)
        line = self._lines.get(cluster)
        if line is None:
            line = self._lines[cluster] = _Line(cluster, self._connect)
        line.asking += 1
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.wrap_future(line.threads.submit(line.ask, ask))
        except TimeoutError:
            raise SessionError(
                f"The cluster {cluster!r} has not answered within {self._timeout:g} s. Its heads may be choosing a new "
                "leader: try again, or see its logs."
            ) from None
        finally:
            line.asking -= 1
            line.used = time.monotonic()

    async def close_idle(self) -> None:
        """Close what was not used of late; to be called now and then."""
        now = time.monotonic()
        idle = [
            name
            for name, line in self._lines.items()
            if not line.asking and now - line.used > self._idle
        ]
        await self._close(*idle)

    async def close(self) -> None:
        """Close all, for good. One that is just being opened is waited for, as long as that takes at most."""
        self._closed = True
        await self._close(*self._lines)

    async def _close(self, *names: str) -> None:
        lines = [self._lines.pop(name) for name in names]
        for line in lines:
            line.closed = True
        await asyncio.gather(*(asyncio.to_thread(line.close) for line in lines))


class _Line:
    """One cluster: its connection once there is one, and the threads that ask."""

    def __init__(self, cluster: str, connect: Callable[[str], Contact]) -> None:
        self.used = time.monotonic()
        self.asking = 0
        self.closed = False
        self.threads = ThreadPoolExecutor(THREADS, f"rustray-{cluster}")
        self._connect: Callable[[], Contact] = lambda: connect(cluster)
        self._contact: Contact | None = None
        self._opening = Lock()

    def ask(self, ask: Callable[[Contact], T]) -> T:
        with self._opening:
            if self.closed:
                raise SessionError(ENDING)
            if self._contact is not None and not self._contact.alive:
                self._contact.close()
                self._contact = None
            if self._contact is None:
                self._contact = self._connect()
            contact = self._contact
        return ask(contact)

    def close(self) -> None:
        self.threads.shutdown(wait=False)  # what still waits there is refused
        with self._opening:
            if self._contact is not None:
                self._contact.close()
