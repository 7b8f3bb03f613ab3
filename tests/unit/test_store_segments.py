from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rustray.store import segments
from rustray.store.errors import SegmentFull, StoreError

MIB = 1 << 20


@pytest.fixture
def small_shm(tmp_path: Path) -> Iterator[str]:
    """A shared-memory filesystem of 2 MiB. Only root may make one."""
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root may mount a filesystem")
    made = subprocess.run([mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", tmp_path], capture_output=True)
    if made.returncode != 0:
        pytest.skip(f"cannot mount a filesystem: {made.stderr.decode()}")
    yield str(tmp_path)
    subprocess.run(["umount", tmp_path], check=True)


def test_a_segment_has_no_name_and_all_its_memory(tmp_path: Path) -> None:
    fd = segments.create_segment(str(tmp_path), 3 * MIB)
    found = os.fstat(fd)
    assert found.st_size == 3 * MIB and found.st_blocks * 512 >= 3 * MIB
    assert found.st_nlink == 0 and found.st_mode & 0o777 == 0o600
    assert not os.get_inheritable(fd)
    assert os.listdir(tmp_path) == []
    os.close(fd)


def test_a_segment_where_files_cannot_be_made_without_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    fd = segments.create_segment(str(tmp_path), MIB + 4096)
    found = os.fstat(fd)
    assert found.st_size == MIB + 4096 and found.st_nlink == 0 and found.st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == []
    os.close(fd)


def test_a_full_filesystem_is_an_error_when_the_segment_is_made(small_shm: str) -> None:
    fd = segments.create_segment(small_shm, MIB)
    with pytest.raises(SegmentFull, match="2,097,152 bytes"):
        segments.create_segment(small_shm, 2 * MIB)
    os.close(fd)
    os.close(segments.create_segment(small_shm, 2 * MIB))  # nothing of the failed one is left


def test_a_full_filesystem_without_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []

    def full(fd: int, offset: int, size: int) -> None:
        opened.append(fd)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(SegmentFull, match="No space left"):
        segments.create_segment(str(tmp_path), MIB)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened[0])


def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="missing"):
        segments.create_segment(str(tmp_path / "missing"), MIB)


def test_the_directory_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUSTRAY_SHM_DIR", "/somewhere")
    assert segments.shm_directory() == "/somewhere"
    monkeypatch.delenv("RUSTRAY_SHM_DIR")
    assert os.path.isdir(segments.shm_directory())


def test_the_default_capacity_leaves_room(tmp_path: Path, small_shm: str) -> None:
    assert segments.default_capacity(small_shm) == 2 * MIB * 9 // 10
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < segments.default_capacity("/") <= memory * 3 // 10
