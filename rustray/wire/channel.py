"""A channel: a stream of messages between heads and nodes, over one gRPC call. `wire.channels` makes both ends.

After that both ends are alike. The bytes are the frames that processes of one
machine send each other (`wire/frames.py`), cut into batches: what is sent while one batch is on its way goes with the
next. A batch costs about the same whatever is in it, so this is what makes many small messages cheap.

Rule 1. Messages arrive in the order in which they were sent, each once, or the channel ends.
Rule 2. `on_closed` is called once, unless this side has closed the channel itself.

Imports grpc, which starts threads: only heads and nodes import this, after they have forked their zygote.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from rustray.wire import batches
from rustray.wire.frames import ConnectionClosed, FrameReader, Message, encode_parts
from rustray.wire.grpc_text import meaning

log = logging.getLogger(__name__)

HIGH_WATER = 8 << 20
LOW_WATER = 2 << 20
"""Bytes of backlog: who can wait had better do so above the high mark, and is told below the low one."""
CLOSE_S = 2.0
"""Seconds that a closed channel may take to deliver what was sent before."""

Read = Callable[[], Awaitable[Any]]
Write = Callable[[bytes], Awaitable[Any]]
Finish = Callable[[], Awaitable[Any]]


class Channel:
    """One end of a stream; all of it happens in the event loop that made it.

    Attributes
    ----------
    peer: address of the other side.
    on_messages: called with the messages of each batch that arrives, in order.
    on_closed: called once with a reason for people when the other side has closed the channel or is gone.
    on_drained: called when the backlog has fallen below LOW_WATER after it was over HIGH_WATER.
    sent: bytes sent so far.
    backlog: bytes sent and not yet taken by gRPC, which takes little more than the other side has room for.
    closed: nothing that is sent now will arrive.
    intact: bytes arrive as they were sent: TLS checks them, or no network lies between. TCP's own checksum lets one
        damaged segment in 65,536 pass.
    """

    def __init__(self, peer: str, far: bool, tls: bool = False) -> None:
        self.peer = peer
        self.intact = tls or not far
        self.backlog = 0
        self.sent = 0
        self.closed = False
        self.on_messages: Callable[[list[Message]], None] = lambda _messages: None
        self.on_closed: Callable[[str], None] = lambda _reason: None
        self.on_drained: Callable[[], None] = lambda: None
        self.farewell = ""
        self._far = far
        self._queue: deque[bytes | memoryview] = deque()
        self._wake = asyncio.Event()
        self._high = False
        self._writing: asyncio.Task[str] | None = None
        self._ended = asyncio.Event()

    def send(self, *messages: Message) -> None:
        """Send; encoded at once, so buffers in the messages may change afterwards. Into a closed channel: nothing."""
        if self.closed:
            return
        length, body = encode_parts(messages)
        self._queue.append(length)
        self._queue.append(body)
        self.backlog += len(length) + len(body)
        if self.backlog > HIGH_WATER:
            self._high = True
        self._wake.set()

    def close(self, reason: str = "") -> None:
        """Deliver what was sent, within CLOSE_S, and end; from now on nothing is handled, and `on_closed` not called.

        The `reason` of a server's end becomes that of the other side's `on_closed`.
        """
        if self.closed:
            return
        self.closed = True
        self.farewell = reason
        self._wake.set()
        if self._writing is not None:
            asyncio.get_running_loop().call_later(CLOSE_S, self._writing.cancel)

    async def wait_closed(self) -> None:
        """Until nothing of this channel is left to be done."""
        await self._ended.wait()

    async def run(self, read: Read, write: Write, finish: Finish | None) -> None:
        """For `dial` and `ChannelServer`: read and write until one side ends the channel.

        `finish` tells the other side that no more will come, whereupon it ends the call.
        """
        reading = asyncio.create_task(self._read_all(read))
        self._writing = writing = asyncio.create_task(self._write_all(write))
        try:
            await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
            if not reading.done() and not self.closed:
                await asyncio.wait((reading,), timeout=CLOSE_S)  # writing has failed: reading tells why
            elif not reading.done() and finish is not None and _succeeded(writing):
                await finish()
                await asyncio.wait((reading,), timeout=CLOSE_S)
        finally:
            by_us, self.closed = self.closed, True
            self._queue.clear()
            self.backlog = 0
            reasons = [await _reason(reading), await _reason(writing)]
            if not by_us:
                self.on_closed(next(filter(None, reasons), "the connection has ended"))
            self._ended.set()

    async def _read_all(self, read: Read) -> str:
        """Why no more comes."""
        frames = FrameReader()
        while (batch := await read()) is not grpc.aio.EOF:
            try:
                messages = frames.feed(batches.unpack(batch))
                _check(messages)
            except (ConnectionClosed, ValueError) as error:
                log.warning("%s sends what are no messages: %s", self.peer, error)
                return f"{self.peer} sent what are no messages: {error}"
            if messages and not self.closed:
                try:
                    self.on_messages(messages)
                except Exception as error:
                    # A defect of ours, or a peer of another version. Going on would hang somebody.
                    log.exception("a message of %s could not be handled: the channel is closed", self.peer)
                    return f"a message of {self.peer} could not be handled: {type(error).__name__}: {error}"
        return f"{self.peer} has closed the connection"

    async def _write_all(self, write: Write) -> str:
        while self._queue or not self.closed:
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
                continue
            parts, size = batches.take(self._queue)
            await write(await batches.pack(parts, size, self._far))
            self.backlog -= size
            self.sent += size
            if self._high and self.backlog < LOW_WATER:
                self._high = False
                if not self.closed:
                    self.on_drained()
        return ""


def _succeeded(task: asyncio.Task[str]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


async def _reason(task: asyncio.Task[str]) -> str:
    """What a task says of its end; one that goes on is ended and says nothing."""
    if not task.done():
        task.cancel()
    try:
        return await task
    except asyncio.CancelledError:
        return ""
    except ConnectionClosed as error:
        return str(error)
    except grpc.aio.AioRpcError as error:
        details = error.details() or f"the connection was lost ({error.code().name})"
        return meaning(details) if error.code() == grpc.StatusCode.UNAVAILABLE else details
    except Exception as error:
        # grpc has several types for calls that are over; all of them are told as the reason.
        return f"the connection was lost ({type(error).__name__}: {error})"


def _check(messages: list[Message]) -> None:
    for message in messages:
        if type(message) is not tuple or not message or type(message[0]) is not str:
            raise ValueError(f"a {type(message).__name__} that begins with no name")
