"""A single head whose disk is full: what needs no fact goes on, what does waits, and comes when there is room."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import rustray
from rustray import errors
from rustray.driver import launch
from rustray.driver.registry import read_connection_file
from tests.support import eventually

SECOND_DRIVER = """
import sys, rustray
rustray.init(sys.argv[1])
print(rustray.get(rustray.remote(lambda: "here").remote(), timeout=60))
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"mounting a small disk is not permitted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all the room there is."""
    path = disk / "fill"
    with pytest.raises(OSError), open(path, "wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
    return path


def test_a_full_disk_costs_time_and_nothing_else(disk: Path) -> None:
    head = launch.start(launch.HeadSettings(storage=str(disk / "head"), lifeline=True))
    address = read_connection_file(head.settings.folder)["address"]

    def node() -> launch.StartedProcess:
        return launch.start(
            launch.NodeSettings([address], head.settings.token, {"CPU": 1.0}, lifeline=True, join_timeout=60)
        )

    nodes = [node()]
    rustray.init(address)
    try:

        @rustray.remote
        def one() -> int:
            return 1

        assert rustray.get(one.remote(), timeout=30) == 1
        filling = fill(disk)
        with pytest.raises(errors.NotCommittedError, match="is full"):
            for number in range(300):  # what was allocated before is used up
                rustray.kv.put(f"key {number}", os.urandom(60_000))
        assert rustray.get([one.remote() for _ in range(50)], timeout=30) == [1] * 50
        late = threading.Thread(target=lambda: nodes.append(node()))
        late.start()
        driver = subprocess.Popen(
            [sys.executable, "-c", SECOND_DRIVER, address], stdout=subprocess.PIPE, text=True
        )
        with pytest.raises(subprocess.TimeoutExpired):
            driver.wait(2)
        assert late.is_alive()
        filling.unlink()
        told, _errors = driver.communicate(timeout=60)
        assert told == "here\n"
        late.join(60)
        eventually(lambda: len([at for at in rustray.nodes() if at["Alive"]]) == 2)
    finally:
        rustray.shutdown()
        for started in (*nodes, head):
            started.stop()
