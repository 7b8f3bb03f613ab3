"""Starting a process of a cluster, and what is left when that fails."""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rustray.driver import launch
from rustray.errors import ClusterStartError


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Sockets have no room for the names of pytest's own folders."""
    with tempfile.TemporaryDirectory(prefix="rr-") as folder:
        yield Path(folder)


def test_a_process_that_cannot_be_entered_does_not_stay(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUSTRAY_RUNTIME_DIR", str(short_path))
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def remember(*args: Any, **kwargs: Any) -> Any:
        started.append(popen(*args, **kwargs))
        return started[-1]

    def full(_folder: str, _content: dict[str, Any]) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(subprocess, "Popen", remember)
    monkeypatch.setattr(launch, "write_connection_file", full)
    with pytest.raises(ClusterStartError, match="No space left"):
        launch.start(launch.ServerSettings({"CPU": 1.0}, None))
    [process] = started
    assert process.poll() is not None and os.listdir(short_path) == []
