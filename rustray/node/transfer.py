"""The bytes of objects on their way from one node's store to another's.

Who wants an object dials its source, one channel for all that it pulls from there, beside the ordered stream of the two
nodes (`neighbours.py`), which big objects would hold up:

    ("pull", node)                         the first message: who pulls
    ("get", number, oid, start)            -> ("chunk", number, at, checksum, bytes), ... from `start` to the end
    ("cancel", number)                     -> ("failed", number, text)

Rule 1. The source reads an object only for a node that its ledger has as a reader: until that says that it has read,
        the block stays in place.
Rule 2. What is read and not yet taken by the channel is bounded; several objects take turns, chunk by chunk.
Rule 3. A chunk has a checksum (CRC-32) where nothing else vouches for the bytes; TLS does, and so does a way without
        a network. There it is None, for it costs half as much as all the rest.
Rule 4. A pull that is cut goes on where it was, on a new channel. After `TRIES` in a row that brought nothing it fails.

Chunks are copied between file and message in the event loop: each takes a fraction of a millisecond.
"""

from __future__ import annotations

import asyncio
import logging
import os
import zlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from rustray.errors import RustRayError
from rustray.wire.frames import Message

if TYPE_CHECKING:
    from rustray.wire.channel import Channel

log = logging.getLogger(__name__)

CHUNK_BYTES = (1 << 20) - 4096
"""With what is around it, a chunk is one batch of a channel (`wire.batches`)."""
AHEAD_BYTES = 8 << 20
"""Read by the source, and not yet taken by the channel."""
TRIES = 4
RETRY_S = (0.05, 0.2, 0.5, 1.0)
IDLE_S = 30.0

Dial = Callable[[int, Message], Awaitable["Channel"]]
"""dial(node, hello): a channel of its own to a node; raises a RustRayError when it cannot be reached."""
Place = tuple[int, int, int]
"""file descriptor, offset and size, in bytes"""


class Source:
    """The way out: one other node pulls from us.

    Parameters
    ----------
    find: where the object lies that this node is reading; None when it reads no such object.
    """

    def __init__(self, channel: Channel, find: Callable[[bytes], Place | None]) -> None:
        self._channel = channel
        self._find = find
        self._turns: deque[tuple[int, bytes, int]] = (
            deque()
        )  # number of a pull, its object, how far it has come
        channel.on_messages = self._on_messages
        channel.on_drained = self._send
        channel.on_closed = lambda _reason: self._turns.clear()

    def _on_messages(self, messages: list[Message]) -> None:
        for op, number, *fields in messages:
            if op == "get":
                oid, start = fields
                self._turns.append((number, oid, start))
            elif op == "cancel":
                self._turns = deque(turn for turn in self._turns if turn[0] != number)
        self._send()

    def _send(self) -> None:
        channel, turns = self._channel, self._turns
        while turns and channel.backlog <= AHEAD_BYTES and not channel.closed:
            number, oid, at = turns.popleft()
            place = self._find(oid)
            if place is None:
                channel.send(("failed", number, "the node has no such object for us"))
                continue
            fd, offset, size = place
            data = os.pread(fd, min(CHUNK_BYTES, size - at), offset + at)
            checksum = None if channel.intact else zlib.crc32(data)
            channel.send(("chunk", number, at, checksum, data))
            at += len(data)
            if at < size:
                turns.append((number, oid, at))

    @property
    def sent(self) -> int:
        """Bytes."""
        return self._channel.sent

    @property
    def closed(self) -> bool:
        """Whether its channel has ended."""
        return self._channel.closed

    def close(self) -> None:
        """That node is gone."""
        self._turns.clear()
        self._channel.close()


class _Pull:
    __slots__ = ("done", "offset", "oid", "fd", "size", "tries")

    def __init__(self, oid: bytes, place: Place) -> None:
        self.oid = oid
        self.fd, self.offset, self.size = place
        self.done = 0
        self.tries = 0


_dials: set[asyncio.Task[None]] = set()
"""Until they have ended: a dial that was cancelled still hangs up, when its puller may be gone, and the event loop
itself keeps only weak references of its tasks."""


class Puller:
    """The way in: all that is pulled from one other node.

    Parameters
    ----------
    dial: opens a channel to it.
    finished: called with an object id and None, or why it could not be had.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        dial: Callable[[], Awaitable[Channel]],
        finished: Callable[[bytes, str | None], None],
    ) -> None:
        self._loop = loop
        self._dial = dial
        self._finished = finished
        self._pulls: dict[int, _Pull] = {}
        self._numbers = 0
        self._channel: Channel | None = None
        self._dialing: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None

    def pull(self, oid: bytes, place: Place) -> None:
        """Copy an object into our place for it."""
        self._numbers += 1
        pull = self._pulls[self._numbers] = _Pull(oid, place)
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if self._channel is not None:
            self._channel.send(("get", self._numbers, oid, pull.done))
        elif self._dialing is None:
            self._start_dialing()

    def _start_dialing(self) -> None:
        self._dialing = self._loop.create_task(self._connect())
        _dials.add(self._dialing)
        self._dialing.add_done_callback(_dials.discard)

    async def _connect(self) -> None:
        tries = 0
        try:
            while self._pulls:
                try:
                    channel = await self._dial()
                except RustRayError as error:
                    self._count_failure(str(error))
                    await asyncio.sleep(RETRY_S[min(tries, len(RETRY_S) - 1)])
                    tries += 1
                    continue
                self._opened(channel)
                return
        finally:
            self._dialing = None

    def _opened(self, channel: Channel) -> None:
        self._channel = channel
        channel.on_messages = lambda messages: self._on_messages(channel, messages)
        channel.on_closed = lambda reason: self._on_closed(channel, reason)
        for number, pull in self._pulls.items():
            channel.send(("get", number, pull.oid, pull.done))

    def _on_closed(self, channel: Channel, reason: str) -> None:
        if self._channel is channel:
            self._channel = None
            self._count_failure(reason)
            if self._pulls and self._dialing is None:
                self._start_dialing()

    def _count_failure(self, reason: str) -> None:
        for number, pull in list(self._pulls.items()):
            pull.tries += 1
            if pull.tries >= TRIES:
                self._end(number, f"it could not be fetched from another node: {reason}")

    def _on_messages(self, channel: Channel, messages: list[Message]) -> None:
        for op, number, *fields in messages:
            pull = self._pulls.get(number)
            if pull is None:
                continue
            if op == "chunk":
                self._take(channel, number, pull, *fields)
            elif op == "failed":
                self._end(number, fields[0])

    def _take(
        self, channel: Channel, number: int, pull: _Pull, at: int, checksum: int | None, data: bytes
    ) -> None:
        if at != pull.done or (checksum is not None and zlib.crc32(data) != checksum):
            log.warning("a piece of object %s has come damaged: once more", pull.oid.hex())
            pull.tries += 1
            if pull.tries >= TRIES:
                channel.send(("cancel", number))
                self._end(number, "it came damaged from another node, again and again")
                return
            # Under another number: what is still on its way for the old one does not count.
            channel.send(("cancel", number))
            del self._pulls[number]
            self._numbers += 1
            self._pulls[self._numbers] = pull
            channel.send(("get", self._numbers, pull.oid, pull.done))
            return
        os.pwrite(pull.fd, data, pull.offset + at)
        pull.done += len(data)
        pull.tries = 0
        if pull.done == pull.size:
            self._end(number, None)

    def _end(self, number: int, text: str | None) -> None:
        pull = self._pulls.pop(number)
        if not self._pulls and self._channel is not None:
            self._idle = self._loop.call_later(IDLE_S, self._close_idle)
        self._finished(pull.oid, text)

    def _close_idle(self) -> None:
        self._idle = None
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def close(self, reason: str) -> None:
        """That node is gone: nothing more comes from there."""
        self.abandon()
        for number in list(self._pulls):
            self._end(number, reason)

    def abandon(self) -> None:
        """Ours is going: nobody wants any of it."""
        if self._dialing is not None:
            self._dialing.cancel()
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        self._close_idle()
