"""Live data over the WebSocket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError

import rustray
from rustray.dashboard import PANELS

from .conftest import NAME

pytestmark = pytest.mark.usefixtures("cluster")
Connect = Callable[..., Any]


def live(name: str) -> tuple[str, ...]:
    return ("rustray", "api", "clusters", name, "live")


async def message(socket: Any) -> Any:
    async with asyncio.timeout(10):
        text = await socket.read_message()
    assert text is not None, f"closed with {socket.close_code}: {socket.close_reason}"
    return json.loads(text)


async def test_what_is_seen_moves(jp_ws_fetch: Connect, session: None) -> None:
    @rustray.remote
    def quick() -> None:
        pass

    socket = await jp_ws_fetch(*live(NAME), params={"panels": "resources"})
    seen: list[tuple[float, float]] = []
    async with asyncio.timeout(20):
        while len([rate for _time, rate in seen if rate > 0]) < 2:
            rustray.get([quick.remote() for _ in range(200)])
            columns = (await message(socket))["resources"]["samples"]
            newest = (columns["time"][-1], columns["tasks"][-1])
            if newest not in seen:
                seen.append(newest)
    assert len({time for time, _rate in seen}) == len(seen)
    socket.close()


async def test_all_panels_have_tables(jp_ws_fetch: Connect, session: None) -> None:
    @rustray.remote
    def named() -> None:
        pass

    rustray.get([named.remote() for _ in range(20)])
    socket = await jp_ws_fetch(*live(NAME), params={"panels": ",".join(PANELS)})
    async with asyncio.timeout(20):
        while True:
            told = await message(socket)
            assert list(told) == list(PANELS)
            if "named" in json.dumps(told["progress"]) and "named" in json.dumps(told["tasks"]):
                break
    for panel, table in told.items():
        for source, columns in table.items():
            if source != "set":
                assert len({len(column) for column in columns.values()}) == 1, (panel, source)
    socket.close()


async def test_the_sidebar_has_a_summary(jp_ws_fetch: Connect) -> None:
    socket = await jp_ws_fetch(*live(NAME), params={"panels": "summary"})
    told = (await message(socket))["summary"]
    assert told["cluster"] == {"cpus": [1.0]}
    assert told["samples"]["memory_total"][-1] > told["samples"]["memory"][-1] > 0
    socket.close()


async def test_nothing_is_asked_when_the_page_is_gone(jp_ws_fetch: Connect, jp_serverapp: Any) -> None:
    extension = jp_serverapp.extension_manager.extension_points["rustray_jupyter"].app
    socket = await jp_ws_fetch(*live(NAME), params={"panels": "resources"})
    await message(socket)
    assert extension.live.watched == [NAME]
    socket.close()
    async with asyncio.timeout(10):
        while extension.live.watched:
            await asyncio.sleep(0.05)


async def test_the_page_is_told_when_the_cluster_ends(jp_ws_fetch: Connect) -> None:
    cluster = await asyncio.to_thread(lambda: rustray.clusters.start("brief", num_cpus=1))
    socket = await jp_ws_fetch(*live("brief"), params={"panels": "resources"})
    await message(socket)
    await asyncio.to_thread(cluster.stop)
    async with asyncio.timeout(20):
        while await socket.read_message() is not None:
            pass
    assert (socket.close_code, socket.close_reason) == (4404, "The cluster 'brief' has ended.")


@pytest.mark.parametrize(
    ("name", "panels", "code"),
    [("nobody", "resources", 404), (NAME, "", 400), (NAME, "resources,colours", 400)],
)
async def test_what_is_not_there_cannot_be_watched(
    jp_ws_fetch: Connect, name: str, panels: str, code: int
) -> None:
    with pytest.raises(HTTPClientError) as error:
        await jp_ws_fetch(*live(name), params={"panels": panels})
    assert error.value.code == code
