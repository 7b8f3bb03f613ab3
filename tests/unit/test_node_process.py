"""A node's process alone: its zygote is a socket that nobody reads, its link to the head a list."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rustray import daemon
from rustray.driver.registry import read_connection_file, write_connection_file
from rustray.node.host import NodeHost
from rustray.node.process import NodeProcess


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeProcess]:
    (tmp_path / "logs").mkdir()
    write_connection_file(str(tmp_path), {"pid": os.getpid()})
    settings = {
        "folder": str(tmp_path),
        "socket": str(tmp_path / "node.sock"),
        "resources": {"CPU": 1.0},
        "labels": {},
        "object_store_memory": 64 << 20,
        "gateway": False,
    }
    ours, zygote = socket.socketpair()
    made = NodeProcess(settings, 0, ours)
    made._link = SimpleNamespace(
        send=lambda _message: None, hear_epoch=None, session=SimpleNamespace(addresses=[])
    )  # type: ignore[assignment]
    yield made
    made._host.close_agent()
    made._host._zygote.close()
    zygote.close()
    made.loop.close()


def test_a_full_disk_does_not_undo_a_join(
    node: NodeProcess, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    update, full = daemon.update_connection_file, True

    def write(folder: str, **facts: Any) -> None:
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        update(folder, **facts)

    monkeypatch.setattr(daemon, "update_connection_file", write)
    for epoch in (1, 2):
        node.on_joined(1, epoch, [], ["h:1"])
        node.on_head_lost("it was cut")
    assert node._first_join.done()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "No space left" in caplog.text and node.folder in caplog.text
    full = False
    node.on_joined(1, 3, [], ["h:1"])
    assert read_connection_file(node.folder)["joined"]
    full = True
    node.on_head_lost("it was cut")
    assert len(caplog.records) == 2


def test_who_knocks_and_is_gone_again_harms_nobody(tmp_path: Path, node: NodeProcess) -> None:
    host: NodeHost = node._host
    host.listen()
    listener = host._listener
    assert listener is not None
    with pytest.raises(BlockingIOError):
        listener.accept()
    host._accept(listener)  # between two agents
    node.on_joined(1, 1, [], [])
    host._accept(listener)
    node.loop.remove_reader(listener.fileno())
    listener.close()


def test_who_knocks_between_two_agents_is_sent_away(tmp_path: Path, node: NodeProcess) -> None:
    host: NodeHost = node._host
    host.listen()
    listener = host._listener
    assert listener is not None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as driver:
        driver.connect(str(tmp_path / "node.sock"))
        host._accept(listener)
        assert driver.recv(1) == b""
    node.loop.remove_reader(listener.fileno())
    listener.close()


def test_without_free_descriptors_drivers_wait_and_the_node_does_not_turn(
    tmp_path: Path, node: NodeProcess, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    host: NodeHost = node._host
    tries = 0

    class Full(socket.socket):
        def accept(self) -> Any:
            nonlocal tries
            tries += 1
            if tries <= 3:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return super().accept()

    with monkeypatch.context() as patch:
        patch.setattr("rustray.node.host.socket.socket", Full)
        host.listen()
    monkeypatch.setattr("rustray.node.host.ACCEPT_PAUSE_S", 0.05)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as driver:
        driver.connect(str(tmp_path / "node.sock"))
        driver.settimeout(0)
        start = node.loop.time()

        async def sent_away() -> bytes:
            return await node.loop.sock_recv(driver, 1)

        assert node.loop.run_until_complete(asyncio.wait_for(sent_away(), 5)) == b""
        assert node.loop.time() - start > 0.12 and tries <= 5
    assert [record.levelname for record in caplog.records if "connect" in record.message] == ["ERROR"]
    assert host._listener is not None
    node.loop.remove_reader(host._listener.fileno())
    host._listener.close()


def test_a_task_that_the_end_of_another_begins_ends_too(node: NodeProcess) -> None:
    async def dial_again() -> None:
        await asyncio.Event().wait()

    async def serve() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            node.loop.create_task(dial_again())

    node.loop.create_task(serve())
    node.loop.run_until_complete(asyncio.sleep(0))
    node.loop.run_until_complete(node._end_tasks())
    assert not asyncio.all_tasks(node.loop)
