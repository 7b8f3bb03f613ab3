"""Which objects to spill when there is no room: the coldest, a whole segment at a time.

A whole segment, because one write of some MiB costs less than many small ones, and because an empty segment
serves any size. Only where no segment can be cleared (somebody reads in each) a run of neighbours goes, so
that small objects still find a place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .allocator import Block, Segment


def victims(
    segments: Iterable[Segment], length: int, shared: bool, free: int, spillable: Callable[[Block], bool]
) -> list[Block]:
    """Blocks whose going makes room for `length` bytes; empty when nothing would.

    Parameters: `shared` says that the new block may lie between others; `free` are the bytes that can be had
    without spilling; `spillable` says whether a block's object may go."""
    coldest = sorted((s for s in segments if s.ready and s.blocks), key=lambda segment: segment.touched)
    chosen: list[Segment] = []
    for segment in coldest:
        if free >= length:
            break
        if all(map(spillable, segment.blocks.values())):
            chosen.append(segment)
            free += segment.size
    if free >= length:
        for segment in reversed(chosen):  # a big one taken late can make earlier small ones needless
            if free - segment.size >= length:
                chosen.remove(segment)
                free -= segment.size
        return [block for segment in chosen for block in segment.blocks.values()]
    if shared:
        for segment in coldest:
            if segment.shared and (run := _run(segment, length, spillable)):
                return run
    return []


def _run(segment: Segment, length: int, spillable: Callable[[Block], bool]) -> list[Block]:
    """Neighbouring blocks of a segment that, with the gaps between them, are `length` bytes."""
    run: list[Block] = []
    start = 0
    for offset in sorted(segment.blocks):
        if offset - start >= length:
            return run
        block = segment.blocks[offset]
        if spillable(block):
            run.append(block)
        else:
            run = []
            start = offset + block.size
    return run if segment.size - start >= length else []
