"""Where blocks lie: segments cut into blocks, best fit, neighbours joined again when freed.

Memory is recycled while it is still faulted in, because copying into warm pages is about six times faster
than into fresh ones. So a free block goes first to the client that wrote it last (its page table has it),
then to anybody, and a segment is given back to the system only when its room is needed.

Blocks up to a few MiB share segments; a bigger one has a segment of its own, which serves again for any
size down to 1/1.3 of it. All blocks start and end on a page: what is smaller than a page's worth travels
inline and never comes here, and views are page aligned for free.

Pure: segments are numbers here, the shell makes them.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .entries import Entry, Request

PAGE = max(4096, mmap.ALLOCATIONGRANULARITY)  # what a mapping's offset must be a multiple of
MIB = 1 << 20
_WARM_BLOCKS = 4  # how many freed blocks a client is remembered for


def pages(size: int) -> int:
    """`size` rounded up to whole pages, one at least."""
    return max(PAGE, -(-size // PAGE) * PAGE)


class Segment:
    """One piece of shared memory. `gaps` maps the offset of each free range to its size."""

    __slots__ = ("number", "size", "shared", "ready", "blocks", "gaps", "offsets", "client", "touched")

    def __init__(self, number: int, size: int, shared: bool) -> None:
        self.number = number
        self.size = size
        self.shared = shared
        self.ready = False
        self.blocks: dict[int, Block] = {}
        self.gaps: dict[int, int] = {}
        self.offsets: list[int] = []  # of the gaps, sorted
        self.client: int | None = None  # who wrote here last
        self.touched = 0  # sequence number of the last seal or want: how warm its objects are


class Block:
    """A range in use. `entry` is the object it holds, None until sealed; `request` waits for the segment."""

    __slots__ = ("segment", "offset", "size", "client", "entry", "request")

    def __init__(self, segment: Segment, offset: int, size: int, client: int | None) -> None:
        self.segment = segment
        self.offset = offset
        self.size = size
        self.client = client
        self.entry: Entry | None = None
        self.request: Request | None = None


class Allocator:
    """Cuts at most `capacity` bytes of segments into blocks."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.limit = capacity  # less, once the shared-memory filesystem has turned out to be smaller
        self.total = 0
        self.used = 0
        self.segments: dict[int, Segment] = {}
        self.idle: dict[int, Segment] = {}  # ready and without a block, longest idle first
        # Small stores have small segments, so that one eighth of them can be cleared at a time.
        self.shared_size = pages(min(32 * MIB, max(MIB, capacity // 8)))
        self.shared_limit = self.shared_size // 8
        self._gaps: list[tuple[int, int, int]] = []  # (size, segment, offset) of all shared segments, sorted
        # By client: (segment, offset, size) of what it wrote and what was freed since.
        self._warm: dict[int | None, deque[tuple[int, int, int]]] = {}
        self._number = 0
        self.eased = False  # something has gone, or may go now, since somebody set this to False

    def allocate(self, size: int, client: int | None) -> Block | None:
        """A block from the segments there are, or None."""
        length = pages(size)
        if length > self.shared_limit:
            segment = self._own_segment(length, client)
            if segment is None:
                return None
            offset, length = 0, segment.size
        else:
            place = self._warm_place(length, client) if client in self._warm else None
            if place is None:
                at = bisect_left(self._gaps, (length,))
                if at == len(self._gaps):
                    return None
                _, number, offset = self._gaps[at]
                segment, gap = self.segments[number], offset
            else:
                segment, gap, offset = place
            self._cut(segment, gap, offset, length)
        self.idle.pop(segment.number, None)
        return self._take(segment, offset, length, client)

    def grow(self, size: int, client: int | None) -> Block | None:
        """A block in a new segment, or None when that would pass the limit. The segment is not ready yet."""
        length = pages(size)
        room = (self.limit - self.total) // PAGE * PAGE
        if length > room:
            return None
        shared = length <= self.shared_limit
        if shared:
            best = self.shared_size
        else:
            step = max(PAGE, 1 << (length.bit_length() - 5))  # at most 1/16 more than asked
            best = -(-length // step) * step
        self._number += 1
        segment = self.segments[self._number] = Segment(self._number, min(best, room), shared)
        self.total += segment.size
        if shared:
            self._add_gap(segment, 0, segment.size)
            self._cut(segment, 0, 0, length)
        else:
            length = segment.size
        return self._take(segment, 0, length, client)

    def droppable(self) -> int:
        """Bytes of segments that could be had by dropping what is idle, with what was never taken."""
        return self.limit - self.total + sum(segment.size for segment in self.idle.values())

    def fits(self, size: int) -> bool:
        """Whether there is a range for it, or could be by dropping what is idle."""
        length = pages(size)
        in_gap = length <= self.shared_limit and bool(self._gaps) and self._gaps[-1][0] >= length
        return in_gap or self.droppable() >= length

    def drop(self, segment: Segment) -> None:
        """Forget a segment that has no blocks."""
        assert not segment.blocks
        del self.segments[segment.number]
        self.idle.pop(segment.number, None)
        self.total -= segment.size
        for offset, size in segment.gaps.items():
            self._gaps.remove((size, segment.number, offset))

    def ready(self, segment: Segment) -> None:
        """The shell has made the segment."""
        segment.ready = True
        if not segment.blocks:
            self.idle[segment.number] = segment

    def free(self, block: Block) -> None:
        """Take a block back; the client that wrote it gets it again first."""
        segment, offset, size = block.segment, block.offset, block.size
        self.eased = True
        del segment.blocks[offset]
        self.used -= size
        segment.client = block.client
        if segment.shared:
            if (warm := self._warm.get(block.client)) is not None:
                warm.append((segment.number, offset, size))
            self._join(segment, offset, size)
        if segment.ready and not segment.blocks:
            self.idle[segment.number] = segment

    def connect(self, client: int) -> None:
        """Remember from now on which blocks this client wrote."""
        self._warm[client] = deque(maxlen=_WARM_BLOCKS)

    def disconnect(self, client: int) -> None:
        """Its page tables are gone."""
        self._warm.pop(client, None)

    def _take(self, segment: Segment, offset: int, length: int, client: int | None) -> Block:
        block = segment.blocks[offset] = Block(segment, offset, length, client)
        self.used += length
        return block

    def _own_segment(self, length: int, client: int | None) -> Segment | None:
        best: Segment | None = None
        for segment in self.idle.values():
            if segment.shared or not length <= segment.size <= length * 1.3:
                continue
            if segment.client == client:
                return segment
            if best is None or segment.size < best.size:
                best = segment
        return best

    def _warm_place(self, length: int, client: int | None) -> tuple[Segment, int, int] | None:
        """(segment, gap, offset) of a range that this client wrote lately and that is free again."""
        warm = self._warm[client]
        for at in range(len(warm) - 1, -1, -1):
            number, offset, size = warm[at]
            if not length <= size <= length * 1.3:
                continue
            del warm[at]  # from here on it is used or gone
            segment = self.segments.get(number)
            if segment is None:
                continue
            below = bisect_right(segment.offsets, offset) - 1
            if below >= 0:
                gap = segment.offsets[below]
                if offset + length <= gap + segment.gaps[gap]:
                    return segment, gap, offset
        return None

    def _cut(self, segment: Segment, gap: int, offset: int, length: int) -> None:
        end = gap + self._remove_gap(segment, gap)
        if offset > gap:
            self._add_gap(segment, gap, offset - gap)
        if end > offset + length:
            self._add_gap(segment, offset + length, end - offset - length)

    def _join(self, segment: Segment, offset: int, size: int) -> None:
        at = bisect_left(segment.offsets, offset)
        if at < len(segment.offsets) and segment.offsets[at] == offset + size:
            size += self._remove_gap(segment, offset + size)
        if at > 0:
            before = segment.offsets[at - 1]
            if before + segment.gaps[before] == offset:
                size += self._remove_gap(segment, before)
                offset = before
        self._add_gap(segment, offset, size)

    def _add_gap(self, segment: Segment, offset: int, size: int) -> None:
        segment.gaps[offset] = size
        insort(segment.offsets, offset)
        insort(self._gaps, (size, segment.number, offset))

    def _remove_gap(self, segment: Segment, offset: int) -> int:
        size = segment.gaps.pop(offset)
        del segment.offsets[bisect_left(segment.offsets, offset)]
        del self._gaps[bisect_left(self._gaps, (size, segment.number, offset))]
        return size

    def sanity_check(self) -> None:
        """Assert that blocks and gaps tile every segment, and that the sums are right."""
        assert self.total == sum(segment.size for segment in self.segments.values()) <= self.capacity
        gaps = []
        used = 0
        for segment in self.segments.values():
            used += sum(block.size for block in segment.blocks.values())
            assert (segment.number in self.idle) == (segment.ready and not segment.blocks)
            assert segment.offsets == sorted(segment.gaps)
            if segment.shared:
                gaps += [(size, segment.number, offset) for offset, size in segment.gaps.items()]
                _assert_tiled(segment)
            else:
                assert not segment.gaps and list(segment.blocks) in ([], [0])
        assert self.used == used
        assert self._gaps == sorted(gaps)


def _assert_tiled(segment: Segment) -> None:
    ranges: Iterable[tuple[int, int, bool]] = sorted(
        [(block.offset, block.size, False) for block in segment.blocks.values()]
        + [(offset, size, True) for offset, size in segment.gaps.items()]
    )
    end, free = 0, False
    for offset, size, gap in ranges:
        assert offset == end and size > 0 and not (gap and free), "hole, overlap or two gaps side by side"
        end, free = offset + size, gap
    assert end == segment.size
