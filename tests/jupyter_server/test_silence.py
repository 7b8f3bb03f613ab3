"""A cluster whose head does not answer: who asks is told so soon, and the server and its other clusters go on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError

from rustray import clusters

from .conftest import NAME, Fetch

API = ("rustray", "api", "clusters")
TIMEOUT_S = 0.5


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    return {
        "ServerApp": {"jpserver_extensions": {"rustray_jupyter": True}},
        "RustRayExtension": {"query_timeout": TIMEOUT_S, "update_interval": 0.1},
    }


async def answer_of(jp_fetch: Fetch, cluster: str) -> None:
    """Wait until it has answered within the timeout, which is short for a machine with other work."""
    async with asyncio.timeout(60):
        while True:
            try:
                await jp_fetch(*API, cluster, "nodes")
                return
            except HTTPClientError:
                await asyncio.sleep(0.1)


@pytest.mark.usefixtures("cluster")
async def test_who_asks_is_told_and_the_others_are_served(
    jp_fetch: Fetch, jp_ws_fetch: Callable[..., Any], jp_serverapp: Any
) -> None:
    silent = await asyncio.to_thread(lambda: clusters.start("silent", num_cpus=1))
    (head,) = [process.pid for process in silent.processes if process.role == "head"]
    try:
        socket = await jp_ws_fetch(*API, "silent", "live", params={"panels": "resources"})
        await socket.read_message()
        os.kill(head, signal.SIGSTOP)
        try:
            for _ in range(3):
                began = time.monotonic()
                with pytest.raises(HTTPClientError) as error:
                    await jp_fetch(*API, "silent", "nodes")
                assert error.value.code == 503
                assert (
                    "'silent' has not answered within 0.5 s"
                    in json.loads(error.value.response.body)["message"]
                )
                assert time.monotonic() - began < 20, "which is more than the timeout on a machine with other work"
                await answer_of(jp_fetch, NAME)
        finally:
            os.kill(head, signal.SIGCONT)
        await answer_of(jp_fetch, "silent")
        await socket.read_message()  # it has stayed open
        socket.close()

        os.kill(head, signal.SIGSTOP)
        with pytest.raises(HTTPClientError):
            await jp_fetch(*API, "silent", "nodes")
        began = time.monotonic()
        await jp_serverapp.extension_manager.stop_all_extensions()
        assert time.monotonic() - began < 20, "the server's end does not wait for answers"
    finally:
        os.kill(head, signal.SIGCONT)
        await asyncio.to_thread(silent.stop)
