"""The node's link to the head, with a dial that the test decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from rustray.node import head_link, head_session
from rustray.node.head_link import HeadLink
from rustray.wire.channels import Security


class Opened:
    """A channel of which nothing comes."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, *messages: Any) -> None:
        self.sent += messages

    def close(self) -> None:
        pass

    async def wait_closed(self) -> None:
        pass


async def join(monkeypatch: pytest.MonkeyPatch, dial: Callable[..., Any]) -> list[Any]:
    """What is sent on the first channel that opens; TimeoutError."""
    channel = Opened()

    async def or_open(address: str, *_args: Any, **_options: Any) -> Opened:
        await dial(address)
        return channel

    monkeypatch.setattr(head_link, "dial", or_open)
    node: Any = SimpleNamespace(join_message=lambda number, epoch: ("join", number, epoch), load=dict)
    link = HeadLink(asyncio.get_running_loop(), node, ["a:1", "b:1"], Security("t" * 32))
    link.start()
    async with asyncio.timeout(5):
        while not channel.sent:
            await asyncio.sleep(0.005)
    await link.close()
    return channel.sent


def test_a_dial_that_fails_in_a_way_nobody_has_foreseen_is_reported_and_another_head_tried(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def dial(address: str) -> None:
        if address == "a:1":
            raise OSError("no more descriptors")

    assert asyncio.run(join(monkeypatch, dial)) == [("join", 0, 0)]
    assert "dialling the head at a:1 has failed" in caplog.text and "no more descriptors" in caplog.text


def test_a_dial_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_session, "DIAL_S", 0.1)
    given_up = []

    async def dial(address: str) -> None:
        if address == "a:1":
            try:
                await asyncio.Event().wait()
            finally:
                given_up.append(address)

    assert asyncio.run(join(monkeypatch, dial)) == [("join", 0, 0)]
    assert given_up == ["a:1"]
