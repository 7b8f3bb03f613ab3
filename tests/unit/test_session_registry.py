"""The registry of processes: whose folders are listed, and whose are removed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rustray.driver import registry
from rustray.pids import create_time, here

ENDED = 2**22 + 1
"""More than any pid."""


@pytest.fixture
def enter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("RUSTRAY_RUNTIME_DIR", str(tmp_path))

    def enter(**facts: Any) -> str:
        folder = str(tmp_path / f"session-{len(os.listdir(tmp_path))}")
        os.mkdir(folder)
        place, pid = here(), facts.get("pid", os.getpid())
        own = {"host": place.host, "system": place.system, "pid": pid, "create_time": create_time(pid)}
        registry.write_connection_file(
            folder, {**own, "role": "node", "started": 1000.0, "token": "t", **facts}
        )
        return folder

    return enter


def test_the_living_are_listed_and_the_killed_are_swept(enter: Callable[..., str]) -> None:
    alive, killed, failed = enter(), enter(pid=ENDED, create_time=5.0), enter(pid=ENDED)
    assert [facts["folder"] for facts in registry.clusters()] == [alive]
    registry.sweep()
    assert [os.path.exists(folder) for folder in (alive, killed, failed)] == [True, False, False]


def test_who_has_got_the_pid_of_a_killed_process_is_another(enter: Callable[..., str]) -> None:
    folder = enter(create_time=1.0)
    assert registry.clusters() == []
    registry.sweep()
    assert not os.path.exists(folder)


def test_sessions_of_other_containers_are_let_alone(enter: Callable[..., str]) -> None:
    place = here()
    boot = place.system.partition(" ")[0]
    # One has the machine's name, as with Docker's --network host, the other a name of its own.
    others = [enter(pid=ENDED, system=f"{boot} pid:[1]"), enter(system=f"{boot} pid:[2]", host="other")]
    assert registry.clusters() == []
    registry.sweep()
    assert all(map(os.path.exists, others))


def test_sessions_from_before_a_restart_of_the_machine_are_swept(enter: Callable[..., str]) -> None:
    before = enter(system="an-earlier-boot pid:[1]")
    elsewhere = enter(system="an-earlier-boot pid:[1]", host="other")
    registry.sweep()
    assert not os.path.exists(before) and os.path.exists(elsewhere)
