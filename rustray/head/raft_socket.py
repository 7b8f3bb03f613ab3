"""A TCP connection to another head that carries a `SecureLink`, served by PySyncObj's poller."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Protocol

from rustray.head.raft_link import LinkRefused, SecureLink

READ, WRITE, ERROR = 1, 2, 4  # PySyncObj's POLL_EVENT_TYPE

REFUSED = "refused"  # begins the reason of a connection that was closed because of what the peer said

HANDSHAKE_TIMEOUT = 2.0  # seconds from dialing, or being dialed, to a proven peer
SILENCE_TIMEOUT = 3.0  # seconds without a byte, after which the peer counts as gone
BACKLOG_LIMIT = 64 << 20  # bytes that a peer may leave unread before it counts as gone

_GREETING_BYTES = 128  # what is read at once of a peer that has proved nothing
_READ_BYTES = 256 << 10


class Poller(Protocol):
    def subscribe(self, descr: int, callback: Callable[[int, int], None], eventMask: int) -> None: ...
    def unsubscribe(self, descr: int) -> None: ...


class Connection:
    """`on_open` is called once the peer has proved itself, `on_closed` once in any case, with a reason.

    `peer` is for whoever uses the connection: who it is with, as soon as that is known.
    """

    def __init__(
        self,
        poller: Poller,
        sock: socket.socket,
        link: SecureLink,
        now: float,
        on_open: Callable[[Connection], None],
        on_message: Callable[[Connection, Any], None],
        on_closed: Callable[[Connection, str], None],
        peer: str = "",
    ) -> None:
        self._poller = poller
        self._socket = sock
        self._fd = sock.fileno()
        self._link = link
        self._on_open = on_open
        self._on_message = on_message
        self._on_closed = on_closed
        self._mask = READ | WRITE | ERROR
        self.peer = peer
        self.now = now  # set by the owner at each turn
        self.closed = False
        self.began = self._heard = self._said = now
        poller.subscribe(self._fd, self._on_event, self._mask)

    @property
    def backlog(self) -> int:
        return len(self._link.outgoing)

    @property
    def quiet_for(self) -> float:
        """Seconds since something was sent."""
        return self.now - self._said

    def excuse_silence(self) -> None:
        """It was us who did not listen."""
        self._heard = self.now

    def check_timeouts(self) -> None:
        if not self._link.established:
            if self.now - self.began > HANDSHAKE_TIMEOUT:
                self.close("no connection, or no proof of the token, in time")
        elif self.now - self._heard > SILENCE_TIMEOUT:
            self.close(f"silent for {SILENCE_TIMEOUT:g} s")

    def send(self, message: Any) -> None:
        if self.closed or not self._link.established:
            return
        self._link.send(message)
        self._said = self.now
        if self.backlog > BACKLOG_LIMIT:
            self.close("it does not read")
        else:
            self._write()

    def close(self, reason: str) -> None:
        if self.closed:
            return
        self.closed = True
        self._poller.unsubscribe(self._fd)
        self._socket.close()
        self._on_closed(self, reason)

    def _on_event(self, fd: int, mask: int) -> None:
        if self.closed:  # closed by another event of the same poll
            return
        if mask & READ:
            self._read()
        elif mask & ERROR:
            error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self.close(f"connection error {error}")
        if mask & WRITE and not self.closed:
            self._write()

    def _write(self) -> None:
        outgoing = self._link.outgoing
        try:
            while outgoing:
                del outgoing[: self._socket.send(outgoing)]
        except (BlockingIOError, InterruptedError):
            pass  # the poller tells when there is room again
        except OSError as error:
            self.close(str(error))
            return
        mask = READ | ERROR | (WRITE if outgoing else 0)
        if mask != self._mask:
            self._mask = mask
            self._poller.subscribe(self._fd, self._on_event, mask)

    def _read(self) -> None:
        try:
            data = self._socket.recv(_READ_BYTES if self._link.established else _GREETING_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.close(str(error))
            return
        if not data:
            self.close("the peer closed the connection")
            return
        self._heard = self.now
        was_established = self._link.established
        try:
            messages = self._link.receive(data)
        except (LinkRefused, ValueError, EOFError, TypeError) as error:  # the last three: marshal's
            self.close(f"{REFUSED}: {error}")
            return
        self._write()
        if self._link.established and not was_established and not self.closed:
            self._on_open(self)
        for message in messages:
            if not self.closed:
                self._on_message(self, message)
