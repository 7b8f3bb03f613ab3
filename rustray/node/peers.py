"""Connections of the node in its event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from rustray.wire.frames import SHORTAGE_PAUSE_S, Connection, ConnectionClosed, Message


class Peer:
    """A frame connection served by asyncio.

    Attributes
    ----------
    on_messages: called with what has come.
    on_closed: called when the other end has gone.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: Connection,
        on_messages: Callable[[list[Message]], None],
        on_closed: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._connection = connection
        self.on_messages = on_messages
        self.on_closed = on_closed
        connection.on_backlog = self._on_backlog
        loop.add_reader(connection.fd, self._on_readable)

    def send(self, *messages: Message, fds: Sequence[int] = ()) -> None:
        """Send one frame."""
        self._connection.send(messages, fds)

    def _on_backlog(self, connection: Connection) -> None:
        self._loop.add_writer(connection.fd, self._on_writable)

    def _on_writable(self) -> None:
        if self._connection.flush():
            self._loop.remove_writer(self._connection.fd)
        elif self._connection.short:
            self._loop.remove_writer(self._connection.fd)
            self._loop.call_later(SHORTAGE_PAUSE_S, self._write_again)

    def _write_again(self) -> None:
        if not self._connection.closed:
            self._on_backlog(self._connection)

    def _on_readable(self) -> None:
        try:
            messages = self._connection.receive()
        except ConnectionClosed:
            self.close()
            self.on_closed()
            return
        if messages:
            self.on_messages(messages)

    def drain(self) -> None:
        """Handle all that has arrived, without waiting for the peer to close its end."""
        try:
            while messages := self._connection.receive():
                self.on_messages(messages)
        except ConnectionClosed:
            pass  # that was all

    def take_fd(self) -> int:
        """The next descriptor that came with the messages being handled."""
        return self._connection.fds.popleft()

    @property
    def closed(self) -> bool:
        return self._connection.closed

    def close(self) -> None:
        """End the connection without telling `on_closed`."""
        if not self._connection.closed:
            self._loop.remove_reader(self._connection.fd)
            self._loop.remove_writer(self._connection.fd)
            self._connection.close()
