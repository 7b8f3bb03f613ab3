"""The shared-memory segments of a node: files without a name, alive as long as a process has them open.

A segment has no name in the filesystem, so a killed server leaves nothing behind. It is allocated in full
when it is created: a full filesystem is then an error here, and never a SIGBUS in who writes.
"""

from __future__ import annotations

import errno
import os
import tempfile

from .errors import SegmentFull, StoreError

_NO_ROOM = {errno.ENOSPC, errno.ENOMEM, errno.EDQUOT, errno.EFBIG}


def shm_directory() -> str:
    """Where segments are made: $RUSTRAY_SHM_DIR, else /dev/shm, else (macOS) where temporary files are."""
    chosen = os.environ.get("RUSTRAY_SHM_DIR")
    if chosen:
        return chosen
    return "/dev/shm" if os.path.isdir("/dev/shm") else tempfile.gettempdir()


def default_capacity(directory: str) -> int:
    """Bytes for the object store: 30 % of the memory, at most 90 % of what the filesystem has free."""
    space = os.statvfs(directory)
    return min(_memory() * 3 // 10, space.f_bavail * space.f_frsize * 9 // 10)


def create_segment(directory: str, size: int) -> int:
    """A segment of `size` bytes, all of it allocated: its file descriptor, for who is allowed to map it.

    Raises SegmentFull when there is no room for it, StoreError when the directory cannot be used at all.
    Takes about 0.3 ms a MiB, so not in the event loop.
    """
    try:
        fd = _nameless_file(directory)
    except OSError as error:
        raise StoreError(f"cannot create a shared-memory segment in {directory}: {error}") from error
    try:
        _allocate(fd, size)
    except OSError as error:
        os.close(fd)
        if error.errno in _NO_ROOM:
            raise SegmentFull(f"no {size:,} bytes left in {directory}: {error.strerror}") from error
        raise StoreError(f"cannot allocate a segment in {directory}: {error}") from error
    return fd


def _nameless_file(directory: str) -> int:
    if hasattr(os, "O_TMPFILE"):
        try:
            return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT):
                raise
    fd, path = tempfile.mkstemp(prefix="rustray-", dir=directory)  # 0600, close-on-exec
    os.unlink(path)
    return fd


def _allocate(fd: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)
        return
    # macOS cannot allocate ahead through Python. Writing does, and only new segments pay for it.
    zeros = bytes(1 << 20)
    for offset in range(0, size, len(zeros)):
        os.pwrite(fd, zeros[: size - offset], offset)


def _memory() -> int:
    """Bytes of memory that we may use: the machine's, or the container's limit."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(path) as file:
                memory = min(memory, int(file.read()))
        except (OSError, ValueError):
            continue  # no such cgroup version here, or "max": no limit
    return memory
