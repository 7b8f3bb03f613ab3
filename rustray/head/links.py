"""The links of nodes to the leading head: joining, beats, acknowledgements, and what silence means.

A node dials, says ``("join", versions, info, report)``, and is answered ``("joined", number, epoch, nodes, heads)`` or
``("refused", code, text)``. The text of "not_leader" is the address of who leads, that of "unable" (to commit it now),
"removed" and "version" is for people. After that messages of both sides go as they are; those of a node that must not
be lost come as ``("keep", n, message)``, and ``("ack", n)`` is the answer when all they ask for is committed.

Rule 1. Every batch to a node begins with ``("epoch", n)``: it refuses those of a leader that has been replaced.
Rule 2. A node that has been silent, or cut off, for `NODE_TIMEOUT_S` is dead: it is removed from the facts, and if it
        speaks again, refused with "removed".
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from rustray.cluster.commands import NODE_LEFT
from rustray.head.membership import NODE_TIMEOUT_S
from rustray.head.reactor import Head
from rustray.wire.frames import Message
from rustray.wire.versions import mismatch

if TYPE_CHECKING:
    from rustray.wire.channel import Channel

log = logging.getLogger(__name__)

BEAT_S = 0.5
TICK_S = 0.1


class _Link:
    """One node's channel."""

    __slots__ = ("channel", "closed_since", "heard", "name", "number", "out")

    def __init__(self, name: str, channel: Channel, now: float) -> None:
        self.name = name
        self.number = 0
        self.channel = channel
        self.heard = now
        self.closed_since: float | None = None
        self.out: list[Message] = []


class Links:
    """The links of one leader, for as long as it leads.

    Parameters
    ----------
    heads: the addresses of all heads, told to nodes that join.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        head: Head,
        heads: list[str],
        node_timeout: float = NODE_TIMEOUT_S,
    ) -> None:
        self._loop = loop
        self._head = head
        self._heads = heads
        self._node_timeout = node_timeout
        self._links: dict[str, _Link] = {}
        self._joining: set[Channel] = set()
        self._last_beat = 0.0
        self._last_tick = loop.time()
        self._wake: asyncio.TimerHandle | None = None
        head.scheduling.wake_at = self._wake_at
        head.members.dismiss = self._dismiss
        self._timer = loop.call_later(TICK_S, self._tick)

    # -- joining ---------------------------------------------------------------------------------------

    def on_channel(self, channel: Channel, hello: Message) -> None:
        """A node has dialled."""
        _join, versions, info, report = hello
        if refused_for := mismatch(versions, "node"):
            self._refuse(channel, "version", refused_for)
            return
        name = info["name"]
        link = _Link(name, channel, self._loop.time())

        def joined(number: int) -> None:
            self._joining.discard(channel)
            before = self._links.get(name)
            if before is not None:
                before.channel.close()
            link.number = number
            self._links[name] = link
            nodes = [
                (node.number, node.name, node.address)
                for node in self._head.state.nodes.values()
                if node.removed is None
            ]
            self._send(link, ("joined", number, self._head.epoch, nodes, self._heads))

        def refused(result: dict[str, Any]) -> None:
            self._joining.discard(channel)
            code = "removed" if result.get("error") in ("node_removed", "node_exists") else "unable"
            self._refuse(channel, code, result.get("message", ""))

        self._joining.add(channel)
        channel.on_messages = lambda messages: self._on_messages(link, messages)
        channel.on_closed = lambda reason: self._on_closed(link, reason)
        self._head.members.on_node_up(
            name,
            info["resources"],
            info["labels"],
            info,
            lambda message: self._send(link, message),
            joined,
            refused,
            report,
        )

    def _refuse(self, channel: Channel, code: str, text: str) -> None:
        channel.send(("refused", code, text))
        channel.close()

    # -- messages --------------------------------------------------------------------------------------

    def _send(self, link: _Link, message: Message) -> None:
        if not link.out:
            self._loop.call_soon(self._flush, link)
        link.out.append(message)

    def _flush(self, link: _Link) -> None:
        messages, link.out = link.out, []
        if not self._head.commits.over:
            link.channel.send(("epoch", self._head.epoch), *messages)

    def _on_messages(self, link: _Link, messages: list[Message]) -> None:
        link.heard = self._loop.time()
        for message in messages:
            if self._head.commits.over or self._links.get(link.name) is not link:
                return
            self._on_message(link, message)

    def _on_message(self, link: _Link, message: Message) -> None:
        try:
            if message[0] == "keep":
                _op, number, inner = message
                self._head.from_node(
                    link.name,
                    inner,
                    f"node{link.number}.{number}",
                    lambda: self._send(link, ("ack", number)),
                )
            elif message[0] == "leaving":
                self._lose(link, NODE_LEFT)
            elif message[0] == "echo":
                self._head.measured.head_rtt[link.name] = link.heard - message[1]
            elif message[0] != "beat":
                self._head.from_node(link.name, message)
        except Exception:
            # A defect, ours or the node's; the node's other clients and tasks need not suffer.
            log.exception("a message %r of %s could not be handled", message[0], link.name)

    # -- silence ---------------------------------------------------------------------------------------

    def _on_closed(self, link: _Link, reason: str) -> None:
        if link.closed_since is None:
            log.info("the link of %s was cut: %s", link.name, reason)
            link.closed_since = self._loop.time()

    def _lose(self, link: _Link, cause: str) -> None:
        if self._links.pop(link.name, None) is link:
            log.warning("%s is lost: %s", link.name, cause)
            link.channel.close()
            self._head.members.on_node_lost(link.name, cause)

    def _dismiss(self, name: str, cause: str) -> None:
        link = self._links.get(name)
        if link is not None:
            self._lose(link, cause)

    def _tick(self) -> None:
        now = self._loop.time()
        self._timer = self._loop.call_later(TICK_S, self._tick)
        late = now - self._last_tick > self._node_timeout / 2
        self._last_tick = now
        beat = now - self._last_beat >= BEAT_S
        if beat:
            self._last_beat = now
        for link in list(self._links.values()):
            if late:
                # It is we who were stopped: what the nodes have sent meanwhile is still to be read.
                link.heard = max(link.heard, now - self._node_timeout / 2)
            silent = now - link.heard
            if silent > self._node_timeout:
                what = "it was cut off" if link.closed_since is not None else "it has not been heard of"
                self._lose(link, f"{what} for {silent:.1f} s")
            elif beat and link.closed_since is None:
                self._send(link, ("beat", now))
        self._head.tick()

    def _wake_at(self, time: float) -> None:
        if self._wake is not None:
            if self._wake.when() <= time:
                return
            self._wake.cancel()
        self._wake = self._loop.call_at(time, self._on_wake)

    def _on_wake(self) -> None:
        self._wake = None
        self._head.tick()

    def close(self) -> None:
        """This head does not lead any more."""
        self._head.commits.over = True
        self._timer.cancel()
        if self._wake is not None:
            self._wake.cancel()
        for channel in (*self._joining, *(link.channel for link in self._links.values())):
            channel.close("this head does not lead any more")
        self._joining.clear()
        self._links.clear()
