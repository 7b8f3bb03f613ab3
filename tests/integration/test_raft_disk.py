"""Heads whose disk is full take no commands, and lose nothing that they have acknowledged."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.raft_cluster import RETRIED, Cluster, Head
from tests.support import eventually


@pytest.fixture(params=["a limit", "a small disk"])
def disk(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[Path, Callable[[Head, bool], None]]]:
    """A folder, and what makes the disk under it full for a head, or gives it room again."""
    if request.param == "a limit":
        # Allocating a segment of 256 KiB fails then, and writing into one that was allocated does not.
        yield (
            tmp_path,
            lambda head, full: head.ask("largest_file", "limited", (1 << 18) - 1 if full else 1 << 30),
        )
        return
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"mounting a small disk is not permitted here: {mounted.stderr.strip()}")
    ballast = folder / "ballast"

    def fill(head: Head, full: bool) -> None:
        if full:
            free = os.statvfs(folder)
            ballast.write_bytes(bytes(free.f_bavail * free.f_bsize - 65536))
        else:
            ballast.unlink()

    yield folder, fill
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_makes_a_head_read_only(disk: tuple[Path, Callable[[Head, bool], None]]) -> None:
    folder, fill = disk
    with Cluster(folder, count=1, segment_bytes=1 << 18) as cluster:
        cluster.append()
        head = cluster.leader()
        fill(head, True)
        acknowledged, refused = 0, {}
        while not refused:
            payload = {"item": f"{acknowledged}" + "." * 9000, "operation": f"full {acknowledged}"}
            result = head.submit("append", payload)
            if "error" in result:
                refused = result
            else:
                acknowledged += 1
        assert refused["error"] == "read_only"
        assert "room" in refused["message"]
        assert 10 < acknowledged < 100
        status = head.status()  # reads go on
        assert status["read_only"] and status["leads"] and len(status["state"]["items"]) == acknowledged + 1
        fill(head, False)
        eventually(lambda: not head.status()["read_only"])
        cluster.append()
        head.kill()
        cluster.start(head.address)
        assert len(cluster.check()) == acknowledged + 3


def test_a_leader_without_room_lets_another_lead(tmp_path: Path) -> None:
    with Cluster(tmp_path, segment_bytes=1 << 18) as cluster:
        cluster.append()
        full = cluster.leader()
        full.ask("largest_file", "limited", (1 << 18) - 1)
        # The full one may say so, to any of the writers, before another leads.
        retried = (*RETRIED, "read_only")
        with cluster.load(retried=retried):
            for n in range(60):
                cluster.append(f"big {n} ", size=9000, retried=retried)
        eventually(lambda: not full.leads)
        full.ask("largest_file", "limited", 1 << 30)
        cluster.check()
