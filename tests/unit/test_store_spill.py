from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rustray.store import spill
from rustray.store.allocator import PAGE
from rustray.store.errors import SpillDamaged, SpillFailed
from rustray.store.segments import create_segment

OID = bytes(range(16))
SIZE = 5 * 1024 * 1024 + 123  # more than one chunk, and not whole pages


@pytest.fixture
def segment(tmp_path: Path) -> Iterator[int]:
    fd = create_segment(str(tmp_path), 16 << 20)
    yield fd
    os.close(fd)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[spill.SpillDirectory]:
    made = spill.SpillDirectory(str(tmp_path / "spill"))
    yield made
    made.close()


def test_a_block_goes_to_a_file_and_comes_back(segment: int, directory: spill.SpillDirectory) -> None:
    value = os.urandom(SIZE)
    os.pwrite(segment, value, PAGE)
    path = directory.write(OID, segment, PAGE, SIZE)
    os.pwrite(segment, bytes(SIZE), PAGE)
    spill.read_back(path, segment, 2 * PAGE, SIZE)
    assert os.pread(segment, SIZE, 2 * PAGE) == value
    spill.delete(path)
    assert os.listdir(directory.path) == []
    spill.delete(path)


def test_an_object_spilled_again_has_another_file(segment: int, directory: spill.SpillDirectory) -> None:
    first = directory.write(OID, segment, 0, 1000)
    assert directory.write(OID, segment, 0, 1000) != first


def test_the_directory_is_private(directory: spill.SpillDirectory) -> None:
    assert os.stat(directory.path).st_mode & 0o777 == 0o700


def flip(path: str) -> None:
    with open(path, "r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 1]))


def shorten(path: str) -> None:
    os.truncate(path, 1000)


def empty(path: str) -> None:
    os.truncate(path, 0)


@pytest.mark.parametrize("damage", [flip, shorten, empty, os.unlink])
def test_a_damaged_file_is_an_error(segment: int, directory: spill.SpillDirectory, damage: object) -> None:
    path = directory.write(OID, segment, 0, SIZE)
    assert callable(damage)
    damage(path)
    with pytest.raises(SpillDamaged, match=OID.hex()):
        spill.read_back(path, segment, 0, SIZE)


def test_a_file_of_another_size_is_an_error(segment: int, directory: spill.SpillDirectory) -> None:
    path = directory.write(OID, segment, 0, 1000)
    with pytest.raises(SpillDamaged):
        spill.read_back(path, segment, 0, 2000)


def test_a_directory_that_has_gone_is_an_error(segment: int, directory: spill.SpillDirectory) -> None:
    os.rmdir(directory.path)
    with pytest.raises(SpillFailed, match="cannot spill"):
        directory.write(OID, segment, 0, 1000)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_an_error(
    segment: int, directory: spill.SpillDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        spill, "open", lambda path, mode, buffering: open("/dev/full", "wb", 0), raising=False
    )
    with pytest.raises(SpillFailed, match="No space left"):
        directory.write(OID, segment, 0, 1000)


def test_files_of_a_killed_node_are_removed_and_those_of_a_living_one_are_not(tmp_path: Path) -> None:
    code = (
        "import os, sys; from rustray.store.spill import SpillDirectory\n"
        "made = SpillDirectory(sys.argv[1]); open(made.path + '/file', 'w').close()\n"
        "os.kill(os.getpid(), 9)"
    )
    parent = str(tmp_path)
    living = spill.SpillDirectory(parent)
    subprocess.run([sys.executable, "-c", code, parent], check=False)
    assert len(os.listdir(parent)) == 2
    another = spill.SpillDirectory(parent)
    assert sorted(os.listdir(parent)) == sorted(os.path.basename(d.path) for d in (living, another))
    living.close()
    another.close()
    assert os.listdir(parent) == []
