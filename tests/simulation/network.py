"""The network between processes: channels with the interface of `wire.channel.Channel`, cuts and delays.

What is sent while the way is cut waits, as TCP does it, and arrives when it is open again, unless one side has given
the connection up meanwhile.
"""

from __future__ import annotations

import marshal
from collections import deque
from collections.abc import Callable
from typing import Any

from rustray.wire.channels import ChannelUnavailable
from rustray.wire.frames import Message
from tests.simulation.clock import Clock, VirtualLoop

_CLOSE, _RESET = b"close", b"reset"
"""What comes in place of a batch at the end of a connection."""


class Host:
    """A process that listens at an address: a head or a node."""

    def __init__(self, name: str, loop: VirtualLoop) -> None:
        self.name = name
        self.loop = loop

    def on_channel(self, channel: Channel, hello: Message) -> None:
        raise NotImplementedError


class Channel:
    """One end: see `rustray.wire.channel.Channel`."""

    def __init__(self, network: Network, host: Host, peer: str) -> None:
        self.peer = peer
        self.host = host
        self.backlog = 0
        self.sent = 0
        self.closed = False
        self.on_messages: Callable[[list[Message]], None] = lambda _messages: None
        self.on_closed: Callable[[str], None] = lambda _reason: None
        self.on_drained: Callable[[], None] = lambda: None
        self.other: Channel
        self._network = network
        self._coming: deque[bytes] = deque()
        self._arrives = 0.0
        self._due = 0

    def send(self, *messages: Message) -> None:
        if not self.closed:
            self._network.put(self, marshal.dumps(messages, 4))  # type: ignore[arg-type]

    def close(self, reason: str = "") -> None:
        if not self.closed:
            self.closed = True
            self._network.put(self, _CLOSE)

    def end(self, reason: str) -> None:
        """The connection is found to be dead."""
        if not self.closed:
            self.closed = True
            self.on_closed(reason)


class Network:
    """All channels, and which ways are cut: pairs of the names of processes, in one direction."""

    def __init__(self, clock: Clock, trace: Callable[..., None]) -> None:
        self.clock = clock
        self.random = clock.random
        self.trace = trace
        self.hosts: dict[str, Host] = {}
        """By address, those that listen."""
        self.cuts: set[tuple[str, str]] = set()
        self.slow: dict[tuple[str, str], float] = {}
        """Seconds that messages take at most on ways that are slow now."""
        self._channels: list[Channel] = []

    # -- ways

    def latency(self, source: str, target: str) -> float:
        most = self.slow.get((source, target), 0.002)
        return most * (0.1 + 0.9 * self.random.random())

    def cut(self, source: str, target: str) -> None:
        """Nothing gets from `source` to `target` any more. Sooner or later keepalive finds the connections dead."""
        if source == target or (source, target) in self.cuts:
            return
        self.cuts.add((source, target))
        for channel in self._channels:
            if {channel.host.name, channel.other.host.name} == {source, target}:
                patience = self.random.uniform(2.0, 20.0)
                channel.host.loop.call_later(patience, self._keepalive, channel, source, target)

    def _keepalive(self, channel: Channel, source: str, target: str) -> None:
        if (source, target) in self.cuts:
            channel.end("keepalive: no answer")

    def heal(self) -> None:
        """All ways are open and quick."""
        self.cuts.clear()
        self.slow.clear()
        self._channels = [c for c in self._channels if not (c.closed and c.other.closed)]
        for channel in self._channels:
            self._pump(channel)

    def datagram(
        self, source: str, target: str, loop: VirtualLoop, call: Callable[..., None], *fields: Any
    ) -> None:
        """What may be lost on a cut way (the messages of raft, which are sent again)."""
        if (source, target) not in self.cuts:
            loop.call_later(self.latency(source, target), call, *fields)

    # -- connections

    async def dial(self, source: Host, address: str, hello: Message | None, timeout: float) -> Channel:
        """See `wire.channels.dial`."""
        loop = source.loop
        opened = loop.create_future()
        target = self.hosts.get(address)

        def fail(reason: str) -> None:
            if not opened.done():
                opened.set_exception(ChannelUnavailable(f"{address}: {reason}"))

        def arrive() -> None:
            at = self.hosts.get(address)
            if at is None or at is not target or (at.name, source.name) in self.cuts:
                return
            ours, theirs = Channel(self, source, address), Channel(self, at, source.name)
            ours.other, theirs.other = theirs, ours
            theirs.on_messages = lambda messages: self._on_hello(theirs, messages)
            loop.call_later(self.latency(at.name, source.name), succeed, ours)

        def succeed(channel: Channel) -> None:
            if not opened.done():
                self._channels += (channel, channel.other)
                opened.set_result(channel)

        if target is None:
            loop.call_later(self.latency(source.name, address), fail, "nobody listens there")
        elif (source.name, target.name) not in self.cuts:
            target.loop.call_later(self.latency(source.name, target.name), arrive)
        loop.call_later(timeout, fail, f"no answer within {timeout:g} s")
        channel: Channel = await opened
        if hello is not None:
            channel.send(hello)
        return channel

    def _on_hello(self, channel: Channel, messages: list[Message]) -> None:
        channel.on_messages = lambda _messages: None
        channel.host.on_channel(channel, messages[0])
        if len(messages) > 1:
            channel.on_messages(messages[1:])

    def put(self, sender: Channel, item: bytes) -> None:
        """An item of a channel sets out."""
        at = sender.other
        at._coming.append(item)
        arrives = self.clock.now + self.latency(sender.host.name, at.host.name)
        at._arrives = arrives = max(at._arrives, arrives)
        at._due += 1
        at.host.loop.call_at(arrives, self._arrive, at)

    def _arrive(self, channel: Channel) -> None:
        channel._due -= 1
        if (channel.other.host.name, channel.host.name) not in self.cuts and channel._coming:
            self._take(channel)

    def _pump(self, channel: Channel) -> None:
        """What was held up arrives, before what is on its way."""
        late = len(channel._coming) - channel._due
        for _ in range(late):
            channel._due += 1
            delay = self.latency(channel.other.host.name, channel.host.name)
            channel._arrives = max(channel._arrives, self.clock.now + delay)
            channel.host.loop.call_at(channel._arrives, self._arrive, channel)

    def _take(self, channel: Channel) -> None:
        item = channel._coming.popleft()
        if channel.closed:
            if not channel.other.closed:
                self.put(channel, _RESET)  # as the kernel answers what comes for a connection that is no more
            return
        if item in (_CLOSE, _RESET):
            channel.end("the other side has closed it" if item == _CLOSE else "the other side is gone")
            return
        messages = list(marshal.loads(item))
        self.trace("net", channel.other.host.name, channel.host.name, messages)
        channel.on_messages(messages)

    def reset(self, channel: Channel) -> None:
        """The connection breaks: what is on its way is lost, both sides learn of it."""
        for end in (channel, channel.other):
            end._coming.clear()
            if not end.closed:
                end.host.loop.call_later(self.latency("", ""), end.end, "connection reset")

    def reset_some(self, share: float) -> int:
        """Break some of the connections."""
        chosen = [c for c in self._channels if not c.closed and self.random.random() < share]
        for channel in chosen:
            self.reset(channel)
        return len(chosen)

    def gone(self, host: Host, silent: bool) -> None:
        """A process has ended: the others are told by its machine, unless that is gone with it (`silent`)."""
        self.hosts = {address: at for address, at in self.hosts.items() if at is not host}
        for channel in self._channels:
            if channel.host is host and not channel.closed:
                channel.closed = True
                if silent:
                    patience = self.random.uniform(2.0, 20.0)
                    channel.other.host.loop.call_later(patience, channel.other.end, "keepalive: no answer")
                else:
                    self.put(channel, _RESET)
        self._channels = [channel for channel in self._channels if channel.host is not host]
