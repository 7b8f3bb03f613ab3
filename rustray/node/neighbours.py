"""The way to other nodes: messages arrive in order, once each, however often the connection is cut.

Each node dials the others for what it has to say to them, so a pair of nodes has one channel for each direction. The
receiver answers on it with acknowledgements only. `Outbox` and `Inbox` are the pure halves of that.

Rule 1. Batches are numbered and kept until acknowledged; after a reconnection those that the receiver has not seen
        are sent again.
Rule 2. A node's number is never given twice, so a number names one life of a node. When the head says that a node is
        down, what was kept for it is dropped, and nothing of it is believed any more. Who dials says which life it
        means: a later one may listen at the same address.
Rule 3. Numbers count up: who has a lower one than we, and was not named to us when we joined, is down.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from rustray.errors import RustRayError
from rustray.node.outbox import Inbox, Outbox
from rustray.node.throughput import Rates
from rustray.wire.frames import Message

if TYPE_CHECKING:
    from rustray.wire.channel import Channel

log = logging.getLogger(__name__)

Dial = Callable[[str, Message], Awaitable["Channel"]]
"""dial(address, hello); raises a RustRayError when nobody answers there."""

RETRY_S = (0.05, 0.1, 0.2, 0.5, 1.0)
UNREACHABLE_S = 10.0
"""Seconds without any answer, while something waits for one, after which another node counts as cut off."""
ACK_EVERY = 32
ACK_AFTER_S = 0.05
DOWN_KEPT = 10_000
"""Numbers of dead nodes that are remembered."""


class _Neighbour:
    """One other node: the outgoing channel, and what has come from it."""

    __slots__ = (
        "ack_timer",
        "address",
        "channel",
        "connected",
        "dialing",
        "heard",
        "inbox",
        "incoming",
        "number",
        "outbox",
        "pending",
        "rtt",
        "sent",
        "tries",
    )

    def __init__(self, number: int, address: str) -> None:
        self.number = number
        self.address = address
        self.outbox = Outbox()
        self.inbox = Inbox()
        self.channel: Channel | None = None
        self.connected = False
        self.dialing: asyncio.Task[None] | None = None
        self.incoming: Channel | None = None
        self.pending: list[Message] = []
        self.ack_timer: asyncio.TimerHandle | None = None
        self.tries = 0
        """Times that it was dialled since it last took us."""
        self.heard = 0.0
        """When it last answered, or began to owe an answer."""
        self.rtt: float | None = None
        """Seconds, as last measured on the outgoing channel."""
        self.sent = Rates()


class Neighbours:
    """All other nodes of the cluster.

    Parameters
    ----------
    number: of this node.
    dial: opens channels; None for a node that is alone.
    on_epoch: called when another node knows a later leader than we do.

    Attributes
    ----------
    handlers: called with (node, *fields) for each message, by its op.
    on_down: called with the number of a node that is gone for good.
    epoch: of the leader that this node has followed last; told to others, so that who follows a deposed leader learns
        of it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        number: int,
        dial: Dial | None,
        on_epoch: Callable[[int], None] = lambda _epoch: None,
    ) -> None:
        self._loop = loop
        self.number = number
        self._open = dial
        self._on_epoch = on_epoch
        self.epoch = 0
        self.handlers: dict[str, Callable[..., None]] = {}
        self.on_down: list[Callable[[int], None]] = []
        self._known: dict[int, _Neighbour] = {}
        self._down: dict[int, None] = {}
        self._closed = False

    # -- what the head says ----------------------------------------------------------------------------

    def add(self, number: int, address: str) -> None:
        """There is a node at this address."""
        if number == self.number or number in self._down:
            return
        known = self._known.get(number)
        if known is None:
            known = self._known[number] = _Neighbour(number, address)
        known.address = address
        if len(known.outbox):
            self._dial(known)

    def remove(self, number: int) -> None:
        """The node is gone for good."""
        if number in self._down:
            return
        self._down[number] = None
        while len(self._down) > DOWN_KEPT:
            del self._down[next(iter(self._down))]
        known = self._known.pop(number, None)
        if known is not None:
            self._drop(known)
        for call in self.on_down:
            call(number)

    def keep_only(self, numbers: Iterable[int]) -> None:
        """All nodes of the cluster; who is missing went while we were cut off from the head."""
        wanted = set(numbers)
        for number in list(self._known):
            if number not in wanted:
                self.remove(number)

    def is_down(self, number: int) -> bool:
        """Whether the node is gone for good. Rule 3."""
        return number in self._down or number < self.number and number not in self._known

    def address_of(self, number: int) -> str:
        """Where a node listens, "" when it is not known."""
        known = self._known.get(number)
        return known.address if known is not None else ""

    def follow(self, epoch: int) -> None:
        """This node follows the leader of this epoch: those who are connected learn of it now, others when they are."""
        self.epoch = epoch
        for known in self._known.values():
            for channel in (known.channel if known.connected else None, known.incoming):
                if channel is not None:
                    channel.send(("epoch", epoch))

    # -- sending ---------------------------------------------------------------------------------------

    def send(self, node: int, *messages: Message) -> None:
        """Send in order; dropped when the node is down."""
        if self.is_down(node) or self._closed:
            return
        known = self._known.get(node)
        if known is None:
            # The head's word of it is on its way.
            known = self._known[node] = _Neighbour(node, "")
        if not known.pending:
            self._loop.call_soon(self._flush, known)
        known.pending += messages

    def unreachable(self) -> list[int]:
        """Nodes that have not answered for `UNREACHABLE_S`, though the head takes them for alive."""
        late = self._loop.time() - UNREACHABLE_S
        return [n for n, known in self._known.items() if len(known.outbox) and known.heard < late]

    def measure(self, sent_beside: Callable[[int], int]) -> None:
        """See how long those to whom there is a channel take to answer, and how much they are sent.

        Parameters
        ----------
        sent_beside: bytes that a node was sent on channels that are not ours.
        """
        now = self._loop.time()
        for known in self._known.values():
            if known.connected and known.channel is not None:
                known.channel.send(("ping", now))
                known.sent.take(now, {"bytes": known.channel.sent + sent_beside(known.number)})

    def links(self) -> list[tuple[int, float, float]]:
        """(node, round trip in seconds, bytes sent a second) of those to whom there is a channel, as last measured."""
        return [
            (known.number, known.rtt, known.sent.latest.get("bytes_per_s", 0.0))
            for known in self._known.values()
            if known.connected and known.rtt is not None
        ]

    def _flush(self, known: _Neighbour) -> None:
        messages, known.pending = known.pending, []
        if not messages or known.number in self._down:
            return
        if not len(known.outbox):
            known.heard = self._loop.time()
        batch = known.outbox.put(messages)
        if known.connected and known.channel is not None:
            known.channel.send(*batch)
        elif known.address:
            self._dial(known)

    # -- the outgoing channel --------------------------------------------------------------------------

    def _dial(self, known: _Neighbour) -> None:
        """See to it that there is a channel, or will be."""
        if known.dialing is None and known.channel is None:
            known.dialing = self._loop.create_task(self._dial_until_there(known))

    async def _dial_until_there(self, known: _Neighbour) -> None:
        assert self._open is not None
        try:
            while not self._closed and known.number not in self._down:
                if known.tries:
                    await asyncio.sleep(RETRY_S[min(known.tries, len(RETRY_S)) - 1])
                known.tries += 1
                hello = ("neighbour", self.number, self.epoch, known.number)
                try:
                    channel = await self._open(known.address, hello)
                except RustRayError as error:
                    log.info("node %d at %s cannot be reached: %s", known.number, known.address, error)
                    continue
                self._opened(known, channel)
                return
        finally:
            known.dialing = None

    def _opened(self, known: _Neighbour, channel: Channel) -> None:
        known.channel = channel
        channel.on_messages = lambda messages: self._on_answers(known, channel, messages)
        channel.on_closed = lambda reason: self._on_closed(known, channel, reason)

    def _on_answers(self, known: _Neighbour, channel: Channel, messages: list[Message]) -> None:
        known.heard = self._loop.time()
        for op, *fields in messages:
            if op == "ack":
                known.outbox.acknowledged(fields[0])
            elif op == "seen":
                seen, epoch = fields
                known.connected = True
                known.tries = 0
                for batch in known.outbox.again(seen):
                    channel.send(*batch)
                self._hear_epoch(epoch)
            elif op == "refused":
                # We are down for it, or it is not the node that we take it for. The head will say.
                log.warning("node %d refuses us: %s", known.number, fields[0])
                channel.close()
            elif op == "epoch":
                self._hear_epoch(fields[0])
            elif op == "pong":
                known.rtt = known.heard - fields[0]

    def _on_closed(self, known: _Neighbour, channel: Channel, reason: str) -> None:
        if known.channel is not channel:
            return
        log.info("the channel to node %d ended: %s", known.number, reason)
        known.channel = None
        known.connected = False
        if not self._closed and known.number not in self._down:
            self._dial(known)

    # -- the incoming channel --------------------------------------------------------------------------

    def on_channel(self, channel: Channel, hello: Message) -> None:
        """Another node has dialled us. hello: ("neighbour", its number, its epoch, the number it dials)."""
        number, epoch, wanted = (int(field) for field in hello[1:])
        trouble = ""
        if wanted != self.number:
            trouble = f"this is node {self.number}, not {wanted}"
        elif number == self.number or self.is_down(number):
            trouble = f"node {number} does not belong to the cluster any more"
        if trouble:
            channel.send(("refused", trouble))
            channel.close()
            return
        known = self._known.get(number)
        if known is None:
            known = self._known[number] = _Neighbour(number, "")
        if known.incoming is not None:
            known.incoming.close()
        known.incoming = channel
        at = known
        channel.on_messages = lambda messages: self._on_messages(at, channel, messages)
        channel.on_closed = lambda _reason: self._on_incoming_closed(at, channel)
        channel.send(("seen", known.inbox.seen, self.epoch))
        self._hear_epoch(epoch)

    def _on_incoming_closed(self, known: _Neighbour, channel: Channel) -> None:
        if known.incoming is channel:
            known.incoming = None

    def _hear_epoch(self, epoch: int) -> None:
        if epoch > self.epoch:
            self._on_epoch(epoch)

    def _on_messages(self, known: _Neighbour, channel: Channel, messages: list[Message]) -> None:
        if known.incoming is not channel or known.number in self._down:
            return
        wanted = False
        for message in messages:
            if message[0] == "batch":
                wanted = known.inbox.take(message[1])
                continue
            if message[0] == "epoch":
                self._hear_epoch(message[1])
                continue
            if message[0] == "ping":
                channel.send(("pong", message[1]))
                continue
            if wanted:
                self._handle(known.number, message)
                if known.number in self._down:
                    return
        if known.inbox.unacknowledged >= ACK_EVERY:
            self._acknowledge(known)
        elif known.inbox.unacknowledged and known.ack_timer is None:
            known.ack_timer = self._loop.call_later(ACK_AFTER_S, self._acknowledge, known)

    def _handle(self, node: int, message: Message) -> None:
        op, *fields = message
        try:
            self.handlers[op](node, *fields)
        except Exception:
            # A defect, ours or theirs; the messages after it are of other tasks and objects, which need not suffer.
            log.exception("a message %r of node %d could not be handled", op, node)

    def _acknowledge(self, known: _Neighbour) -> None:
        if known.ack_timer is not None:
            known.ack_timer.cancel()
            known.ack_timer = None
        if known.incoming is not None and known.inbox.unacknowledged:
            known.inbox.unacknowledged = 0
            known.incoming.send(("ack", known.inbox.seen))

    # -- the end ---------------------------------------------------------------------------------------

    def _drop(self, known: _Neighbour) -> None:
        if known.dialing is not None:
            known.dialing.cancel()
        if known.ack_timer is not None:
            known.ack_timer.cancel()
        for channel in (known.channel, known.incoming):
            if channel is not None:
                channel.close()
        known.channel = known.incoming = None
        known.connected = False

    def close(self) -> None:
        """The node is going down."""
        self._closed = True
        for known in list(self._known.values()):
            self._flush_last(known)
            self._drop(known)
        self._known.clear()

    def _flush_last(self, known: _Neighbour) -> None:
        if known.pending and known.connected and known.channel is not None:
            known.channel.send(*known.outbox.put(known.pending))
            known.pending = []
