"""The node's link to the leading head: carries out what `HeadSession` decides."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

from rustray.errors import RustRayError
from rustray.node import head_session as decided
from rustray.wire.channels import (
    Channel,
    ChannelRefused,
    Security,
    TokenRefused,
    dial,
)
from rustray.wire.frames import Message

log = logging.getLogger(__name__)

TICK_S = 0.05
DIAL_S = 1.0
"""Seconds for a head to accept a connection: one that does not is passed over."""


class LinkedNode(Protocol):
    """What the link needs of the node."""

    def join_message(self, number: int, epoch: int) -> Message:
        """The ("join", ...) with all that is true on the node now."""

    def load(self) -> dict[str, Any]:
        """What the head is told with each beat."""

    def on_joined(
        self, number: int, epoch: int, nodes: Sequence[tuple[int, str, str]], heads: Sequence[str]
    ) -> None:
        """The node is part of the cluster: for the first time, again, or under a new number."""

    def from_head(self, message: Message) -> None:
        """The head says this."""

    def on_head_lost(self, reason: str) -> None:
        """No head is heard; the link looks for one."""

    def on_removed(self) -> None:
        """Others have been told that this node is dead: end the workers and forget everything."""

    def on_refused(self, reason: str, differs: str) -> None:
        """The cluster does not take this node; `differs`: see `Refused`."""


class HeadLink:
    """See the module.

    Parameters
    ----------
    addresses: of the heads, as many as are known; others are learned from them.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        node: LinkedNode,
        addresses: Sequence[str],
        security: Security,
    ) -> None:
        self._loop = loop
        self._node = node
        self._security = security
        self.session = decided.HeadSession(addresses, node.join_message, node.load)
        self._channel: Channel | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._actions: deque[decided.Action] = deque()
        self._acting = False
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def start(self) -> None:
        """Look for the leading head from now on."""
        self._tick()

    def send(self, message: Message) -> None:
        """To the head, now or later: see `HeadSession.send`."""
        self._act(self.session.send(message))

    def hear_epoch(self, epoch: int) -> None:
        """Another node knows the leader of this epoch."""
        self.session.hear_epoch(epoch)

    async def close(self) -> None:
        """End the link, after what was sent has gone out."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._dialling is not None:
            self._dialling.cancel()
            await asyncio.wait((self._dialling,))
        if self._channel is not None:
            self._channel.close()
            await self._channel.wait_closed()

    def _tick(self) -> None:
        self._act(self.session.tick(time.monotonic()))
        if not self._closed:
            self._timer = self._loop.call_later(TICK_S, self._tick)

    def _act(self, actions: Sequence[decided.Action]) -> None:
        self._actions.extend(actions)
        if self._acting:
            return  # an action of these has led to more: in their order
        self._acting = True
        try:
            while self._actions and not self._closed:
                self._do(self._actions.popleft())
        except BaseException:
            self._actions.clear()  # the channel they are for is about to be closed
            raise
        finally:
            self._acting = False

    def _do(self, action: decided.Action) -> None:
        match action:
            case decided.Dial(address):
                self._dialling = self._loop.create_task(self._dial(address))
            case decided.Send(messages):
                if self._channel is not None:
                    self._channel.send(*messages)
            case decided.Close():
                if self._dialling is not None:
                    self._dialling.cancel()
                if self._channel is not None:
                    self._channel.close()
                    self._channel = None
            case decided.Deliver(message):
                self._node.from_head(message)
            case decided.Joined(number, epoch, nodes, heads):
                log.info("joined the head at %s as node %s, epoch %s", self.session.head, number, epoch)
                self._node.on_joined(number, epoch, nodes, heads)
            case decided.Lost(reason):
                log.warning("the head is lost: %s", reason)
                self._node.on_head_lost(reason)
            case decided.Removed():
                log.error("the cluster has taken this node for dead: its workers end, and it joins anew")
                self._node.on_removed()
            case decided.Refused(reason, differs):
                log.error("refused: %s", reason)
                self._node.on_refused(reason, differs)

    async def _dial(self, address: str) -> None:
        # The first message is made when the channel is open, for what it reports must be true then.
        try:
            # With a connection of its own: an old one to that head, after a cut, may wait for as long again as the cut
            # was before TCP tries it once more, and the head's patience could be at its end by then.
            channel = await dial(address, None, self._security, DIAL_S, bulk=True)
        except ChannelRefused as error:
            wrong_token = isinstance(error, TokenRefused)
            self._act(self.session.on_refused(time.monotonic(), str(error), wrong_token))
            return
        except RustRayError as error:
            self._act(self.session.on_unavailable(time.monotonic(), str(error)))
            return
        except Exception as error:
            # Not foreseen, and no reason to look for no head any more.
            log.exception("dialling the head at %s has failed", address)
            self._act(self.session.on_unavailable(time.monotonic(), f"{type(error).__name__}: {error}"))
            return
        self._channel = channel
        channel.on_messages = self._on_messages
        channel.on_closed = self._on_closed
        channel.send(self.session.on_open(time.monotonic()))

    def _on_messages(self, messages: list[Message]) -> None:
        self._act(self.session.on_messages(time.monotonic(), messages))

    def _on_closed(self, reason: str) -> None:
        self._channel = None
        self._act(self.session.on_closed(time.monotonic(), reason))
