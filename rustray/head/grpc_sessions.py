"""The sessions of gRPC clients and their leases: a client that has gone silent loses its session.

Nothing here reads a clock or closes anything: `now` is given, and what is to be closed is returned.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from rustray.errors import OptionError
from rustray.head.gateway import Gateway, TooManyError, UnknownIdError

DEFAULT_LEASE_S = 60.0
MAX_LEASE_S = 24 * 3600.0
MAX_SESSIONS = 64
"""Each has a thread and a socket in the server."""
ID_BYTES = 16


class ClientSession:
    """One client's session.

    Attributes
    ----------
    calls: how many of its calls are under way; while there are any, the lease does not run out.
    order: held while a call is handed to the cluster, so that a client's calls go in their order.
    """

    def __init__(self, gateway: Gateway, lease_s: float, now: float) -> None:
        self.id = secrets.token_bytes(ID_BYTES)
        self.gateway = gateway
        self.lease_s = lease_s
        self.calls = 0
        self.last = now
        self.order = asyncio.Lock()


class ClientSessions:
    """All sessions, by id."""

    def __init__(self) -> None:
        self._sessions: dict[bytes, ClientSession] = {}
        self._opening = 0

    def __len__(self) -> int:
        return len(self._sessions)

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Entered while a gateway for a new session is made. TooManyError."""
        if len(self._sessions) + self._opening >= MAX_SESSIONS:
            raise TooManyError(
                f"{MAX_SESSIONS} sessions are open, as many as there may be. Close those that are not needed; "
                "those of clients that have gone are closed when their leases run out."
            )
        self._opening += 1
        try:
            yield
        finally:
            self._opening -= 1

    def add(self, gateway: Gateway, lease_s: float, now: float) -> ClientSession:
        """A session whose lease begins now."""
        session = ClientSession(gateway, lease_s, now)
        self._sessions[session.id] = session
        return session

    def find(self, sid: bytes, now: float) -> ClientSession:
        """The session of an id, its lease renewed. UnknownIdError."""
        session = self._sessions.get(sid)
        if session is None:
            raise UnknownIdError(
                "There is no such session: it was closed, its lease ran out, or the cluster is another one. "
                "Open one with OpenSession, and renew it with any call before its lease ends."
            )
        session.last = now
        return session

    def remove(self, sid: bytes) -> ClientSession | None:
        """Forget a session, to be closed by the caller; None if there is none."""
        return self._sessions.pop(sid, None)

    def expired(self, now: float) -> list[ClientSession]:
        """Forget those whose leases have run out; the caller closes them."""
        over = [s for s in self._sessions.values() if not s.calls and now - s.last > s.lease_s]
        for session in over:
            del self._sessions[session.id]
        return over

    def remove_all(self) -> list[ClientSession]:
        """Forget all; the caller closes them."""
        every = list(self._sessions.values())
        self._sessions.clear()
        return every


def lease_of(asked: float) -> float:
    """The lease that a client asks for, 0 for the usual one. OptionError."""
    if not asked:
        return DEFAULT_LEASE_S
    if not 0 < asked <= MAX_LEASE_S:
        raise OptionError(f"lease_s={asked}: give from 0 to {MAX_LEASE_S:g} seconds.")
    return asked
