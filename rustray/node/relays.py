"""Leases and actor channels between a client on one node and a worker on another.

Client and worker each have a socket and a page, as they have inside a node. The two nodes carry what is written to
one socket to the other, as opaque bytes, in messages ``("data", relay, bytes)`` of the stream between them.

Rule 1. Each direction has a window: at most `WINDOW` bytes are on their way that the receiver's socket has not
        taken. So one that does not read holds up its own relay only, and neither node gathers what it cannot pass on.
Rule 2. The node of the worker ends a relay with the number of the task that the worker began last and, for a lease,
        with what is to be told to the client: after all that the worker wrote, and after its socket has ended.
Rule 3. The page of the client (the task begun last, and the worker's process id) follows the worker's with each
        tick while the relay lasts. When the worker's node is gone the page says that it may be behind.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from rustray.wire.frames import Message
from rustray.wire.page import LeasePage, new_page

WINDOW = 4 << 20
READ_BYTES = 256 << 10


class Stream(Protocol):
    """The way to other nodes: see `node.neighbours`."""

    handlers: dict[str, Callable[..., None]]

    def send(self, node: int, *messages: Message) -> None: ...


class Pipe:
    """This node's end of one relay: a socket whose other end a local process has."""

    __slots__ = (
        "client",
        "ended",
        "last_words",
        "node",
        "number",
        "page",
        "sock",
        "to_write",
        "told",
        "unread",
        "unwritten",
        "worker",
    )

    def __init__(
        self, number: int, node: int, sock: socket.socket, page: LeasePage, client: int, worker: int = 0
    ) -> None:
        self.number = number
        self.node = node
        self.sock = sock
        self.page = page
        self.client = client
        """The local client, 0 where the local process is the worker."""
        self.worker = worker
        self.told = 0
        self.unread = 0
        """Bytes sent to the other node that its process has not taken."""
        self.to_write: deque[memoryview] = deque()
        self.unwritten = 0
        """Bytes taken by the local process that the other node has not been told of."""
        self.ended = False
        self.last_words: Message | None = None


class Relays:
    """All relays of one node.

    Parameters
    ----------
    number: of this node.
    hear_first: called with a worker whose answers are about to be passed on.
    tell: tell(node, client, message, fds): word of that node for a local client; False when that is gone.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        number: int,
        stream: Stream,
        tell: Callable[[int, int, Message, Sequence[int]], bool],
        hear_first: Callable[[int], None] = lambda _worker: None,
    ) -> None:
        self._loop = loop
        self._stream = stream
        self._tell = tell
        self._hear_first = hear_first
        self._pipes: dict[int, Pipe] = {}
        self._next = number << 28
        stream.handlers.update(
            relay=self._on_relay,
            data=self._on_data,
            credit=self._on_credit,
            started=self._on_started,
            relay_end=self._on_end,
        )

    # -- the worker's node -----------------------------------------------------------------------------

    def lend(self, node: int, client: int, message: Message, worker: int = 0) -> tuple[int, int, int]:
        """Begin a relay to a client of another node, which is told `message` with its end; `worker` has the other.

        Returns
        -------
        (relay, socket, page): the two descriptors are the worker's, to be closed when it has them.
        """
        ours, theirs = socket.socketpair()
        page = new_page()
        self._next += 1
        pipe = Pipe(self._next, node, ours, LeasePage(page, writable=True), 0, worker)
        self._add(pipe)
        self._stream.send(node, ("relay", pipe.number, client, message))
        return pipe.number, theirs.detach(), page

    def end(self, relay: int, last_words: Message | None) -> None:
        """The worker is gone: pass on what it wrote, then `last_words` to the client."""
        pipe = self._pipes.get(relay)
        if pipe is None:
            return
        while not pipe.ended and self._read(pipe):
            pass
        self._stream.send(pipe.node, ("relay_end", pipe.number, pipe.page.started, last_words))
        self._close(pipe)

    def tick(self) -> None:
        """Tell which tasks workers have begun since the last time."""
        for pipe in self._pipes.values():
            if not pipe.client and (started := pipe.page.started) != pipe.told:
                pipe.told = started
                self._stream.send(pipe.node, ("started", pipe.number, started, pipe.page.pid))

    # -- the client's node -----------------------------------------------------------------------------

    def _on_relay(self, node: int, number: int, client: int, message: Message) -> None:
        ours, theirs = socket.socketpair()
        page = new_page()
        pipe = Pipe(number, node, ours, LeasePage(page, writable=True), client)
        if self._tell(node, client, message, [theirs.fileno(), page]):
            self._add(pipe)
        else:
            ours.close()
            self._stream.send(node, ("relay_end", number, 0, None))
        theirs.close()
        os.close(page)

    def _on_started(self, _node: int, number: int, started: int, pid: int) -> None:
        pipe = self._pipes.get(number)
        if pipe is not None:
            pipe.page.begin(started)
            pipe.page.pid = pid

    # -- both ------------------------------------------------------------------------------------------

    def forget_node(self, node: int) -> list[int]:
        """The other node is gone: end its relays. Returns their numbers."""
        gone = [pipe for pipe in self._pipes.values() if pipe.node == node]
        for pipe in gone:
            pipe.page.fall_behind()
            self._close(pipe)
        return [pipe.number for pipe in gone]

    def is_open(self, relay: int) -> bool:
        """Whether the relay has not ended."""
        return relay in self._pipes

    def _add(self, pipe: Pipe) -> None:
        pipe.sock.setblocking(False)
        self._pipes[pipe.number] = pipe
        self._loop.add_reader(pipe.sock.fileno(), self._on_readable, pipe)

    def _on_readable(self, pipe: Pipe) -> None:
        if self._read(pipe) and pipe.unread >= WINDOW:
            self._loop.remove_reader(pipe.sock.fileno())

    def _read(self, pipe: Pipe) -> bool:
        """Pass one piece on; False when there is nothing more."""
        try:
            piece = pipe.sock.recv(READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            piece = b""  # the process at the other end was killed with something unread
        if not piece:
            self._finish(pipe)
            return False
        if pipe.worker:
            self._hear_first(pipe.worker)
        pipe.unread += len(piece)
        self._stream.send(pipe.node, ("data", pipe.number, piece))
        return True

    def _finish(self, pipe: Pipe) -> None:
        """The local process has ended its side."""
        if pipe.client:
            self._stream.send(pipe.node, ("relay_end", pipe.number, 0, None))
            self._close(pipe)
        else:
            # A worker ends its side by dying; how it died the node hears from the zygote, and calls `end`.
            pipe.ended = True
            self._loop.remove_reader(pipe.sock.fileno())

    def _on_data(self, _node: int, number: int, piece: bytes) -> None:
        pipe = self._pipes.get(number)
        if pipe is None:
            return
        if pipe.to_write:
            pipe.to_write.append(memoryview(piece))
            return
        try:
            written = pipe.sock.send(piece)
        except BlockingIOError:
            written = 0
        except OSError:
            return  # its end is read, and told, in its turn
        self._took(pipe, written)
        if written < len(piece):
            pipe.to_write.append(memoryview(piece)[written:])
            self._loop.add_writer(pipe.sock.fileno(), self._on_writable, pipe)

    def _on_writable(self, pipe: Pipe) -> None:
        while pipe.to_write:
            piece = pipe.to_write[0]
            try:
                written = pipe.sock.send(piece)
            except BlockingIOError:
                return
            except OSError:
                pipe.to_write.clear()
                break
            self._took(pipe, written)
            if written < len(piece):
                pipe.to_write[0] = piece[written:]
                return
            pipe.to_write.popleft()
        self._loop.remove_writer(pipe.sock.fileno())
        if pipe.ended and pipe.client:
            self._end_for_client(pipe)

    def _took(self, pipe: Pipe, count: int) -> None:
        pipe.unwritten += count
        if pipe.unwritten >= WINDOW // 4:
            self._stream.send(pipe.node, ("credit", pipe.number, pipe.unwritten))
            pipe.unwritten = 0

    def _on_credit(self, _node: int, number: int, count: int) -> None:
        pipe = self._pipes.get(number)
        if pipe is None:
            return
        full = pipe.unread >= WINDOW
        pipe.unread -= count
        if full and pipe.unread < WINDOW and not pipe.ended:
            self._loop.add_reader(pipe.sock.fileno(), self._on_readable, pipe)

    def _on_end(self, _node: int, number: int, started: int, last_words: Message | None) -> None:
        pipe = self._pipes.get(number)
        if pipe is None:
            return
        if not pipe.client:
            self._close(pipe)
            return
        pipe.page.begin(started)
        pipe.ended = True
        pipe.last_words = last_words
        if not pipe.to_write:
            self._end_for_client(pipe)

    def _end_for_client(self, pipe: Pipe) -> None:
        self._close(pipe)
        if pipe.last_words is not None:
            self._tell(pipe.node, pipe.client, pipe.last_words, ())

    def _close(self, pipe: Pipe) -> None:
        self._pipes.pop(pipe.number, None)
        fd = pipe.sock.fileno()
        if fd >= 0:
            self._loop.remove_reader(fd)
            self._loop.remove_writer(fd)
            pipe.sock.close()

    def close(self) -> None:
        """The node is going down."""
        for pipe in list(self._pipes.values()):
            self._close(pipe)
