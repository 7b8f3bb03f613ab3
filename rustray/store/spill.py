"""Objects on disk: one plain file each.

Plain files, not a database: a spilled object is written once, read once, as one run of bytes of 100 KB to
GBs, and then deleted. A key-value store would copy such values through its log and compact them again. What
is known of them is in the ledger, and is worth nothing once the node has gone, so nothing of it is on disk.

Functions block and keep no state but a counter; call them from a thread. File descriptors are segments'.
"""

from __future__ import annotations

import fcntl
import itertools
import mmap
import os
import shutil
import struct
import tempfile
import zlib

from .errors import SpillDamaged, SpillFailed

_PREFIX = "rustray-spill-"
_HEADER = struct.Struct("<4sIQ")  # magic, CRC-32 of the value, size of the value
_MAGIC = b"RRS1"
_CHUNK = 4 << 20


class SpillDirectory:
    """A directory of our own (0700) under `parent`, which is made if needed.

    Directories whose node was killed are removed: each node keeps a lock on its own.
    """

    def __init__(self, parent: str) -> None:
        os.makedirs(parent, mode=0o700, exist_ok=True)
        _sweep(parent)
        self.path, self._lock = _own_directory(parent)
        self._number = itertools.count()  # a file may still be on its way out when its object is spilled anew

    def write(self, oid: bytes, fd: int, offset: int, size: int) -> str:
        """Copy a range of a segment to a new file; its path. Raises SpillFailed, and leaves no file then."""
        path = os.path.join(self.path, f"{oid.hex()}-{next(self._number)}")
        try:
            with _mapped(fd, offset, size, mmap.PROT_READ) as memory, memoryview(memory) as view:
                with open(path, "xb", buffering=0) as file:
                    file.write(_HEADER.pack(_MAGIC, zlib.crc32(view), size))
                    done = 0
                    while done < size:
                        done += file.write(view[done : done + _CHUNK])
        except OSError as error:
            delete(path)
            raise SpillFailed(f"cannot spill {size:,} bytes to {self.path}: {error}") from error
        return path

    def close(self) -> None:
        """Remove the directory and all files in it."""
        shutil.rmtree(self.path, ignore_errors=True)  # what cannot be removed goes with the next sweep
        os.close(self._lock)


def read_back(path: str, fd: int, offset: int, size: int) -> None:
    """Copy a spill file into a range of a segment.

    Raises SpillDamaged when it is missing, cannot be read, or is not what was written.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size:
                raise SpillDamaged(f"{path} is cut short")
            magic, checksum, length = _HEADER.unpack(header)
            if magic != _MAGIC or length != size:
                raise SpillDamaged(f"{path} does not hold a value of {size:,} bytes")
            with _mapped(fd, offset, size, mmap.PROT_READ | mmap.PROT_WRITE) as memory:
                with memoryview(memory) as view:
                    done = 0
                    while done < size:
                        with view[done : done + _CHUNK] as rest:
                            count = file.readinto(rest)
                        if not count:
                            raise SpillDamaged(f"{path} is cut short")
                        done += count
                    if zlib.crc32(view) != checksum:
                        raise SpillDamaged(f"{path} is damaged: its checksum does not match")
    except OSError as error:
        raise SpillDamaged(f"cannot read {path}: {error}") from error


def delete(path: str) -> None:
    """Delete a spill file; one that is not there is no error."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _mapped(fd: int, offset: int, size: int, protection: int) -> mmap.mmap:
    return mmap.mmap(fd, size, flags=mmap.MAP_SHARED, prot=protection, offset=offset)


def _lock(directory: str) -> int:
    """Lock a directory until the descriptor is closed or the process ends. Raises BlockingIOError."""
    fd = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd


def _own_directory(parent: str) -> tuple[str, int]:
    """A new directory, locked: (path, lock)."""
    while True:
        path = tempfile.mkdtemp(prefix=_PREFIX, dir=parent)  # 0700
        try:
            lock = _lock(path)
        except (BlockingIOError, FileNotFoundError):
            continue  # another node's sweep came between; it removes the directory
        if os.path.isdir(path):
            return path, lock
        os.close(lock)


def _sweep(parent: str) -> None:
    for name in os.listdir(parent):
        if not name.startswith(_PREFIX):
            continue
        path = os.path.join(parent, name)
        try:
            fd = _lock(path)
        except OSError:
            continue  # its node lives, or it is not ours
        shutil.rmtree(path, ignore_errors=True)
        os.close(fd)
