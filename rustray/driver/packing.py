"""Packed values as messages carry them."""

from __future__ import annotations

from rustray import serialization

INLINE_LIMIT = 100 * 1024
"""Bytes; a value from this size on lies in shared memory (Ray's limit too)."""
Packed = bytes | tuple[bytes, tuple[bytes, ...]]
"""A pickle, or one with its out-of-band buffers."""


def inline(packed: serialization.Packed) -> Packed:
    """A packed value as a message carries it."""
    if packed.buffers:
        return packed.pickle, tuple(bytes(buffer) for buffer in packed.buffers)
    return packed.pickle


def packed_size(packed: serialization.Packed) -> int:
    """Bytes that a packed value takes."""
    size = len(packed.pickle)
    for buffer in packed.buffers:
        size += buffer.nbytes
    return size
