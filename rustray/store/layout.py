"""How a serialised value lies in a block: a table, the pickle, then its buffers, each 64-byte aligned.

    magic (4)   number of buffers (4)   pickle size (8)   size of each buffer (8 each)
    pickle
    buffer 0, buffer 1, ...

Little-endian. Aligned, so that arrays over the block can be used by vector instructions as they are; a block
itself starts on a page.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TypeAlias

from .errors import LayoutError

# Whatever exports a contiguous buffer; pickle's out-of-band buffers as their `.raw()`.
Part: TypeAlias = bytes | bytearray | memoryview

_ALIGN = 64
_MAGIC = b"RRV1"
_HEADER = struct.Struct("<4sIQ")
_PADDING = bytes(_ALIGN)


def size_of(pickle: Part, buffers: Sequence[Part]) -> int:
    """Bytes that the value takes in a block."""
    end = _HEADER.size + 8 * len(buffers) + _bytes(pickle)
    for buffer in buffers:
        end = _aligned(end) + _bytes(buffer)
    return end


def parts(pickle: Part, buffers: Sequence[Part]) -> list[Part]:
    """What to write one after the other; `size_of` bytes in all. No buffer is copied."""
    sizes = [_bytes(buffer) for buffer in buffers]
    table = _HEADER.pack(_MAGIC, len(buffers), _bytes(pickle)) + struct.pack(f"<{len(sizes)}Q", *sizes)
    end = len(table) + _bytes(pickle)
    found: list[Part] = [table, pickle]
    for buffer, size in zip(buffers, sizes, strict=True):
        if padding := _aligned(end) - end:
            found.append(_PADDING[:padding])
        found.append(buffer)
        end += padding + size
    return found


def read(view: memoryview) -> tuple[memoryview, list[memoryview]]:
    """(pickle, buffers) of a block, all views of it: while one of them lives, so does what `view` looks at.

    Raises LayoutError when the block does not hold a value, or not all of one.
    """
    try:
        magic, count, size = _HEADER.unpack_from(view)
        sizes = struct.unpack_from(f"<{count}Q", view, _HEADER.size)
    except struct.error as error:
        raise LayoutError(f"{len(view)} bytes do not hold a value: {error}") from error
    start = _HEADER.size + 8 * count
    end = start + size
    pickle = view[start:end]
    buffers = []
    for size in sizes:
        start = _aligned(end)
        end = start + size
        buffers.append(view[start:end])
    if magic != _MAGIC or end > len(view):
        raise LayoutError(f"{len(view)} bytes do not hold a value of {end}")
    return pickle, buffers


def _bytes(part: Part) -> int:
    return part.nbytes if isinstance(part, memoryview) else len(part)


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGN) * _ALIGN
