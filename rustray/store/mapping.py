"""A segment in a client's memory: written through one mapping, read through another that is read-only.

Views keep what they look at mapped: the pages are unmapped when the mapping has been closed *and* the last
view is gone, whichever comes last. That is plain reference counting, so there is no way to unmap too early.

Page faults are what makes shared memory slow. For writing, the pages of a range are mapped in one call before
the first copy there (100 MB: 9 ms against 37 ms of faults); for reading the kernel maps 16 pages a fault, and
asking ahead gains nothing.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from .layout import Part

_MADV_POPULATE_READ = 22  # Linux 5.14; elsewhere madvise refuses, and faults do the work
_CHUNK_BITS = 18  # populated ranges are remembered in chunks of 256 KiB
_BIG = 1 << 20  # from here a copy takes long enough to let other threads run

_libc = ctypes.CDLL(None, use_errno=True)
_mmap = _libc.mmap
_mmap.restype = ctypes.c_void_p
_mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64]
_munmap = _libc.munmap
_munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_madvise = _libc.madvise
_madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_MAP_FAILED = ctypes.c_void_p(-1).value


class Mapping:
    """One segment of `size` bytes. Owns `fd` from here on. Threads may write and view at the same time."""

    def __init__(self, fd: int, size: int) -> None:
        self.size = size
        self._fd = fd
        self._read: _Pages | None = None
        self._write: tuple[_Pages, memoryview] | None = None
        self._populated = bytearray(-(-size >> _CHUNK_BITS))

    def write(self, offset: int, parts: Sequence[Part]) -> int:
        """Copy contiguous buffers to `offset`, one after the other; the number of bytes.

        Raises ValueError when they do not fit, OSError when the segment cannot be mapped.
        """
        sizes = [part.nbytes if isinstance(part, memoryview) else len(part) for part in parts]
        end = offset + sum(sizes)
        self._check(offset, end)
        if self._write is None:
            fresh = _Pages(self._fd, self.size, mmap.PROT_READ | mmap.PROT_WRITE)
            self._write = fresh, fresh.view(0, self.size, None)
        pages, target = self._write
        self._populate(pages.address, offset, end)
        for part, size in zip(parts, sizes, strict=True):
            if size >= _BIG:
                _copy(pages.address + offset, part, size)
            elif size:
                target[offset : offset + size] = memoryview(part).cast("B")
            offset += size
        return sum(sizes)

    def view(self, offset: int, size: int, on_release: Callable[[], object]) -> memoryview:
        """A read-only view of a range.

        `on_release` is called once, when the view and all that was made of it (slices, arrays) are gone: from
        any thread, between any two instructions. So it must not block, take a lock that its own thread may
        hold just then, or raise; appending to a deque is fine. It is not called while the interpreter ends.

        Raises ValueError for a range outside the segment, OSError when the segment cannot be mapped.
        """
        self._check(offset, offset + size)
        pages = self._read
        if pages is None:
            pages = self._read = _Pages(self._fd, self.size, mmap.PROT_READ)
        return pages.view(offset, size, on_release).toreadonly()

    def close(self) -> None:
        """No more writes and views. What is viewed stays mapped until it no longer is."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
        self._read = self._write = None

    def _check(self, start: int, end: int) -> None:
        if self._fd < 0:
            raise ValueError("the segment's mapping is closed")
        if not 0 <= start <= end <= self.size:
            raise ValueError(f"bytes {start} to {end} of a segment of {self.size}")

    def _populate(self, address: int, start: int, end: int) -> None:
        first, last = start >> _CHUNK_BITS, -(-end >> _CHUNK_BITS)
        if self._populated.find(0, first, last) < 0:
            return
        start = first << _CHUNK_BITS
        length = min(last << _CHUNK_BITS, self.size) - start
        # Mapping shared memory for reading maps it as the mapping allows: writable here.
        _madvise(address + start, length, _MADV_POPULATE_READ)
        self._populated[first:last] = b"\1" * (last - first)


class _Pages:
    """Mapped memory, unmapped when nothing refers to this object any more."""

    def __init__(self, fd: int, size: int, protection: int) -> None:
        self.size = 0  # nothing to unmap yet
        address: int = _mmap(None, size, protection, mmap.MAP_SHARED, fd, 0)
        if address == _MAP_FAILED:
            error = ctypes.get_errno()
            raise OSError(error, f"cannot map {size:,} bytes: {os.strerror(error)}")
        self.address = address
        self.size = size

    def view(self, offset: int, size: int, on_release: Callable[[], object] | None) -> memoryview:
        window = _window_type(size.bit_length()).from_address(self.address + offset)
        window.pages = self
        window.on_release = on_release
        return memoryview(window).cast("B")[:size]

    # Default values, because a module's globals may be gone when the interpreter ends.
    def __del__(self, munmap: Any = _munmap, ending: Callable[[], bool] = sys.is_finalizing) -> None:
        if self.size and not ending():
            munmap(self.address, self.size)


class _Watched:
    """The exporter behind a view: keeps the pages, and tells when nobody looks any more."""

    pages: _Pages | None = None
    on_release: Callable[[], object] | None = None

    def __del__(self, ending: Callable[[], bool] = sys.is_finalizing) -> None:
        if self.on_release is not None and not ending():
            self.on_release()


@cache
def _window_type(bits: int) -> Any:
    """A ctypes array of 2**bits bytes. One type a power of two, since making a type is slow; the view is cut
    to size, so that what an array may reach beyond its pages is never touched."""
    return type(f"_Window{bits}", (_Watched, ctypes.c_ubyte * (1 << bits)), {})


class _PyBuffer(ctypes.Structure):
    """CPython's Py_buffer: the way to the address of a read-only buffer."""

    _fields_ = [
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    ]


def _copy(address: int, part: Part, size: int) -> None:
    """memmove without the interpreter lock."""
    buffer = _PyBuffer()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(part), ctypes.byref(buffer), 0)
    try:
        ctypes.memmove(address, buffer.buf, size)
    finally:
        ctypes.pythonapi.PyBuffer_Release(ctypes.byref(buffer))
