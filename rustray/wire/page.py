"""The page of memory that a worker shares with who has its lease, or calls its actor.

What a process wrote there is still there when it is dead, to the last word: so its clients know how far it came,
which no message could tell them.

    at  size  what                                     who writes
     0     8  number of the task begun last, or 0      the worker
     8     8  the worker's process id, or 0            the worker
    16     1  1: the two above may be behind           the client's node, when that of the worker is gone

Numbers are little-endian. Between two nodes a relay copies the first two: see `node.relays`.
"""

from __future__ import annotations

import mmap
import os
import struct

_NUMBER = struct.Struct("<Q")
_STARTED_AT = 0
_PID_AT = 8
_BEHIND_AT = 16


def new_page() -> int:
    """A descriptor of a fresh page without a name, which goes with the last process that maps it."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("rustray-page", os.MFD_CLOEXEC)
    else:
        import tempfile

        fd, path = tempfile.mkstemp()
        os.unlink(path)
    os.ftruncate(fd, mmap.PAGESIZE)
    return fd


class LeasePage:
    """See the module.

    Parameters
    ----------
    fd: of `new_page`; it stays the caller's.
    writable: clients only read.
    """

    __slots__ = ("_memory",)

    def __init__(self, fd: int, writable: bool) -> None:
        prot = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        self._memory = mmap.mmap(fd, mmap.PAGESIZE, prot=prot)

    @classmethod
    def received(cls, fd: int, writable: bool = False) -> LeasePage:
        """The page whose descriptor has come with a message; it is closed."""
        page = cls(fd, writable)
        os.close(fd)
        return page

    @property
    def started(self) -> int:
        """The number of the task that the worker began last, 0 for none."""
        number: int = _NUMBER.unpack_from(self._memory, _STARTED_AT)[0]
        return number

    def begin(self, number: int) -> None:
        """The worker begins this task."""
        _NUMBER.pack_into(self._memory, _STARTED_AT, number)

    @property
    def pid(self) -> int:
        """The process id of the worker, 0 before it is up."""
        number: int = _NUMBER.unpack_from(self._memory, _PID_AT)[0]
        return number

    @pid.setter
    def pid(self, number: int) -> None:
        _NUMBER.pack_into(self._memory, _PID_AT, number)

    @property
    def may_be_behind(self) -> bool:
        """Whether the worker's node is gone: the worker may have begun more than `started` says."""
        return self._memory[_BEHIND_AT] != 0

    def fall_behind(self) -> None:
        """From now on nothing of what the worker does is seen here."""
        self._memory[_BEHIND_AT] = 1

    def close(self) -> None:
        """Let the memory go; harmless when it is gone."""
        self._memory.close()
