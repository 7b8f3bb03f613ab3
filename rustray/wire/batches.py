"""The message `Batch` of rustray.proto: pieces of a stream of frames, compressed where it pays.

Written and read by hand, for it is only a tag and a length before bytes that exist already: protobuf would copy them
twice, which costs a quarter of the throughput of big objects.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import deque

BATCH_BYTES = 1 << 20
"""A batch is no bigger: the other side reads one at a time, and a server takes no message of any size."""
COMPRESS_BYTES = 16 << 10
"""Smaller batches are sent as they are."""
SAMPLE_BYTES = 4 << 10
WORTH = 0.7
"""Compressed if a sample shrinks to this fraction: level 1 then is faster than a gigabit line."""
_FRAMES, _DEFLATED = 0x0A, 0x12
"""Field 1 and 2, both bytes."""


def take(queue: deque[bytes | memoryview]) -> tuple[list[bytes | memoryview], int]:
    """The next pieces of a queue for one batch, and their bytes; a long piece is cut."""
    parts, size = [], 0
    while queue and size < BATCH_BYTES:
        part = queue.popleft()
        if len(part) > BATCH_BYTES - size:
            view = memoryview(part)
            queue.appendleft(view[BATCH_BYTES - size :])
            part = view[: BATCH_BYTES - size]
        parts.append(part)
        size += len(part)
    return parts, size


async def pack(parts: list[bytes | memoryview], size: int, compress: bool) -> bytes:
    """The batch of these pieces."""
    if compress and size >= COMPRESS_BYTES:
        data = b"".join(parts)
        middle = (size - SAMPLE_BYTES) // 2
        sample = data[middle : middle + SAMPLE_BYTES]
        if len(zlib.compress(sample, 1)) < WORTH * len(sample):
            # In a thread: a megabyte takes some milliseconds, in which others are served.
            deflated = await asyncio.get_running_loop().run_in_executor(None, zlib.compress, data, 1)
            return b"".join((_header(_DEFLATED, len(deflated)), deflated))
        parts = [data]
    return b"".join((_header(_FRAMES, size), *parts))


def unpack(batch: bytes) -> bytes | memoryview:
    """The piece in a batch; ValueError if it is none."""
    if not batch or batch[0] not in (_FRAMES, _DEFLATED):
        raise ValueError("not a batch")
    length = shift = 0
    for at in range(1, min(len(batch), 6)):
        length |= (batch[at] & 0x7F) << shift
        shift += 7
        if batch[at] < 0x80:
            break
    piece = memoryview(batch)[at + 1 :] if shift else memoryview(b"")
    if len(piece) != length or not shift:
        raise ValueError("a batch with something missing")
    if batch[0] == _FRAMES:
        return piece
    inflate = zlib.decompressobj()
    try:
        data = inflate.decompress(piece, BATCH_BYTES)
    except zlib.error as error:
        raise ValueError(f"a batch that does not inflate: {error}") from error
    if not inflate.eof:
        raise ValueError("a batch that inflates to more than there may be in one, or to less than was sent")
    return data


def _header(tag: int, size: int) -> bytes:
    header = bytearray((tag,))
    while size > 0x7F:
        header.append(size & 0x7F | 0x80)
        size >>= 7
    header.append(size)
    return bytes(header)
