"""The process of a head, with a log that the test answers for."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rustray import daemon
from rustray.cluster.state import ClusterState
from rustray.driver.registry import read_connection_file, write_connection_file
from rustray.head import process
from rustray.head.process import HeadProcess


class FullLog:
    """Leads, and takes nothing until there is room."""

    def __init__(self) -> None:
        self.is_leader = True
        self.room = False
        self.asked = 0
        self.waiting = ""
        self.state = ClusterState()

    def submit(self, op: str, payload: dict[str, Any], then: Callable[[dict[str, Any]], None]) -> None:
        self.asked += 1
        then(self.state.apply(op, payload) if self.room else {"error": "read_only", "message": "full"})


def test_a_head_takes_office_when_its_disk_has_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "OFFICE_AGAIN_S", 0.001)
    (tmp_path / "logs").mkdir()
    write_connection_file(str(tmp_path), {})
    head, log = HeadProcess({"folder": str(tmp_path)}), FullLog()
    head._replica = log  # type: ignore[assignment]

    async def scenario() -> None:
        head._on_leader()
        while log.asked < 3:
            await asyncio.sleep(0.001)
        assert head._links is None
        log.room = True
        while head._links is None:
            await asyncio.sleep(0.001)
        head._on_follower()
        head._on_leader()
        assert log.state.epoch == 2

    try:
        head.loop.run_until_complete(asyncio.wait_for(scenario(), 10))
        assert read_connection_file(str(tmp_path))["leads"]
    finally:
        head._end_office()
        head.loop.close()


def test_a_full_folder_does_not_keep_a_head_from_leading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def write(_folder: str, **_facts: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "logs").mkdir()
    monkeypatch.setattr(daemon, "update_connection_file", write)
    monkeypatch.setattr(process, "WAITING_S", 0.001)
    head, log = HeadProcess({"folder": str(tmp_path)}), FullLog()
    head._replica = log  # type: ignore[assignment]
    log.room = True

    async def scenario() -> None:
        log.waiting = "it has lost its disk"
        head._tell_waiting("")
        await asyncio.sleep(0)
        log.waiting = ""
        while "votes" not in caplog.messages:
            await asyncio.sleep(0.001)
        head._on_leader()
        assert head._links is not None
        head._on_follower()
        assert head._links is None

    caplog.set_level("INFO")
    try:
        head.loop.run_until_complete(asyncio.wait_for(scenario(), 10))
        errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert len(errors) == 1 and str(tmp_path) in errors[0] and "No space left" in errors[0]
    finally:
        head._end_office()
        head.loop.close()
