"""Both ends of a channel over a real loopback connection in this process, and all that they are told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from rustray.wire.channels import Channel, ChannelServer, Security, dial
from rustray.wire.frames import Message

SECURITY = Security("a token of thirty-two characters")
HELLO = ("hello", 1)
TIMEOUT_S = 20.0


class End:
    """One end of a channel, and all that it is told."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.messages: list[Message] = []
        self.closed: list[str] = []
        self.drained = 0
        channel.on_messages = self.messages.extend
        channel.on_closed = self.closed.append
        channel.on_drained = self.on_drained

    def on_drained(self) -> None:
        self.drained += 1


class Server:
    """A server that collects its ends of channels."""

    def __init__(self, security: Security = SECURITY) -> None:
        self.ends: list[End] = []
        self.hellos: list[Message] = []
        self.server = ChannelServer(security, self.on_channel)
        self.address = ""

    def on_channel(self, channel: Channel, hello: Message) -> None:
        self.hellos.append(hello)
        self.ends.append(End(channel))

    async def __aenter__(self) -> Server:
        self.address = await self.server.start("127.0.0.1", 0)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.server.stop()


async def until(look: Callable[[], Any]) -> Any:
    async with asyncio.timeout(TIMEOUT_S):
        while not (found := look()):
            await asyncio.sleep(0.005)
    return found


async def pair(server: Server, bulk: bool = False) -> tuple[End, End]:
    """(the end that dialled, the end that was dialled)."""
    count = len(server.ends)
    end = End(await dial(server.address, HELLO, SECURITY, TIMEOUT_S, bulk=bulk))
    await until(lambda: len(server.ends) > count)
    return end, server.ends[-1]


RUNNER = asyncio.Runner()
"""One event loop for all: grpc.aio hands events of one that is closed to the next one, which then complains."""


def run(test: Callable[[], Coroutine[Any, Any, None]], caplog: pytest.LogCaptureFixture) -> None:
    RUNNER.run(test())
    assert not [r for r in caplog.records if r.name == "asyncio" and r.levelno >= logging.WARNING]
