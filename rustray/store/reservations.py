"""Who gets room: requests for blocks, first come first served, and what is done to make room for them.

A request is met, in this order: from a free range; from a new segment; from a new segment in place of idle
ones; after spilling. When none of these can help it leaves the queue: see `shortage.py`.

Rule 1. A request leaves the queue with its block. If that block's segment is still being made, the block
        waits for it (`block.request`), not the queue.
Rule 2. While anybody is in the queue, a spill is in flight: its end serves the queue again.

Pure: it appends actions to the list it is given.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from .actions import Action, CreateSegment, DropSegment, Granted
from .allocator import MIB, Allocator, Block, Segment, pages
from .entries import Entry, Request
from .errors import InvalidRequest
from .eviction import victims


class Objects(Protocol):
    """What the queue needs from the keeper of the objects."""

    def spillable(self, block: Block) -> bool:
        """Whether the block's object may be spilled now."""

    def replaceable(self, block: Block) -> bool:
        """Whether it may, and has a copy elsewhere."""

    def urgent(self, entry: Entry) -> bool:
        """Whether others' objects may be spilled for the entry."""

    def spill(self, block: Block, out: list[Action]) -> None:
        """Begin to spill it; one that has a copy elsewhere is just dropped."""

    def restore(self, entry: Entry, block: Block, out: list[Action]) -> None:
        """The block that the entry asked for is there."""

    def no_room(self, request: Request, text: str, out: list[Action]) -> None:
        """There is no block for the request, now or ever."""


class Reservations:
    """The queue for room in at most `capacity` bytes of shared memory."""

    def __init__(self, capacity: int, objects: Objects) -> None:
        self.allocator = Allocator(capacity)
        self.waiting: deque[Request] = deque()
        self.unsealed: dict[int, dict[tuple[int, int], Block]] = {}  # client: (segment, offset): block
        self.spilling = 0  # spills in flight
        self.round = 0  # a failed spill is not tried again within a round
        self._trouble = ""  # the shell's last complaint in this round
        self._objects = objects

    def connect(self, client: int) -> None:
        self.unsealed[client] = {}
        self.allocator.connect(client)

    def disconnect(self, client: int) -> None:
        """Its unsealed blocks are free, its requests forgotten. It reads nothing any more."""
        self.allocator.eased = True
        self.allocator.disconnect(client)
        for block in self.unsealed.pop(client).values():
            self.allocator.free(block)
        self.waiting = deque(request for request in self.waiting if request.client != client)

    def ask(self, request: Request, out: list[Action]) -> None:
        """Queue a request, to be served at the end of the call."""
        if pages(request.size) > self.allocator.capacity:
            self._refuse(request, out)
        else:
            self.waiting.append(request)

    def sealed(self, client: int, segment: int, offset: int) -> Block:
        """The block is no longer its client's to write: take it out of the unsealed ones."""
        block = self.unsealed[client].pop((segment, offset), None)
        if block is None:
            raise InvalidRequest(f"client {client} has no unsealed block at {offset} of segment {segment}")
        self.allocator.eased = True  # what it holds may be spilled from now on
        return block

    def serve(self, out: list[Action]) -> None:
        """Give out what can be given, and start to make room for the first that waits."""
        while self.waiting:
            request = self.waiting[0]
            if request.entry is not None and request.entry.request is not request:
                self.waiting.popleft()  # it needs no room any more
                continue
            block = self._find(request, out)
            if block is None:
                urgent = request.entry is None or self._objects.urgent(request.entry)
                if self.spilling and urgent:
                    return
                if not self._make_room(request, urgent, out):
                    self.waiting.popleft()
                    if urgent:
                        self._refuse(request, out)
                    else:
                        self._objects.no_room(request, "", out)
                continue  # what has a copy elsewhere has gone at once, the rest is being spilled
            self.waiting.popleft()
            block.request = request
            if request.client is not None:
                self.unsealed[request.client][block.segment.number, block.offset] = block
            if block.segment.ready:
                self._answer(block, request, out)

    def segment_ready(self, number: int, out: list[Action]) -> None:
        segment = self.allocator.segments[number]
        self.allocator.ready(segment)
        for block in list(segment.blocks.values()):
            if block.request is not None:
                self._answer(block, block.request, out)

    def segment_failed(self, number: int, text: str) -> None:
        """The system has less shared memory than we thought: its requests make do with what there is."""
        segment = self.allocator.segments[number]
        eased = self.allocator.eased
        again = []
        for block in list(segment.blocks.values()):
            assert block.request is not None
            if block.request.client is not None:
                del self.unsealed[block.request.client][number, block.offset]
            again.append(block.request)
            self.allocator.free(block)
        self.allocator.drop(segment)
        self.allocator.eased = eased  # nothing has gone: who begins anew because of this would do so for ever
        self.allocator.limit = self.allocator.total
        self._trouble = text
        self.waiting.extendleft(reversed(again))

    def trim(self, target: int, out: list[Action]) -> None:
        """Drop idle segments, the longest idle first, until at most `target` bytes of segments are left."""
        while self.allocator.idle and self.allocator.total > target:
            self._drop(next(iter(self.allocator.idle.values())), out)

    def spill_failed(self, text: str) -> None:
        self._trouble = text

    def reserved(self) -> int:
        """Bytes of blocks that clients may be writing."""
        return sum(block.size for blocks in self.unsealed.values() for block in blocks.values())

    def promises(self, size: int) -> bool:
        """Whether a request of that size would have a chance now."""
        allocator, length = self.allocator, pages(size)
        if self.spilling or allocator.fits(size):
            return True
        shared = length <= allocator.shared_limit
        spillable = self._objects.spillable
        return bool(victims(allocator.segments.values(), length, shared, allocator.droppable(), spillable))

    def needs(self, size: int) -> str:
        """How much is needed, and how much there is."""
        allocator = self.allocator
        return (
            f"no room for {size:,} bytes: the object store has {allocator.capacity / MIB:,.1f} MiB, "
            f"{allocator.used / MIB:,.1f} MiB of it in use"
        )

    def _find(self, request: Request, out: list[Action]) -> Block | None:
        allocator = self.allocator
        block = allocator.allocate(request.size, request.client)
        if block is None and allocator.droppable() >= pages(request.size):
            while (block := allocator.grow(request.size, request.client)) is None:
                self._drop(next(iter(allocator.idle.values())), out)
            out.append(CreateSegment(block.segment.number, block.segment.size))
        return block

    def _make_room(self, request: Request, urgent: bool, out: list[Action]) -> bool:
        allocator = self.allocator
        length = pages(request.size)
        blocks = victims(
            allocator.segments.values(),
            length,
            length <= allocator.shared_limit,
            allocator.droppable(),
            self._objects.spillable if urgent else self._objects.replaceable,
        )
        for block in blocks:
            self._objects.spill(block, out)
        return bool(blocks)

    def _answer(self, block: Block, request: Request, out: list[Action]) -> None:
        block.request = None
        if request.entry is None:
            assert request.client is not None
            number, offset = block.segment.number, block.offset
            out.append(Granted(request.client, request.number, number, offset, request.size))
        elif request.entry.request is not request:
            self.allocator.free(block)
        else:
            self._objects.restore(request.entry, block, out)

    def _refuse(self, request: Request, out: list[Action]) -> None:
        text = self._why_full(request.size)
        # Disk or shared memory may have room again when the next request comes: let that one find out.
        self.round += 1
        self._trouble = ""
        self.allocator.limit = self.allocator.capacity
        self._objects.no_room(request, text, out)

    def _why_full(self, size: int) -> str:
        text = self.needs(size)
        if pages(size) > self.allocator.capacity:
            return text + ". Use smaller objects, or a larger object_store_memory"
        if self._trouble:
            text += f", and more cannot be had or spilled: {self._trouble}"
        else:
            text += ", and what could make room is being read or written"
        return (
            text
            + ". Delete references and arrays that are no longer needed, use smaller objects, or a larger"
            " object_store_memory"
        )

    def _drop(self, segment: Segment, out: list[Action]) -> None:
        self.allocator.drop(segment)
        out.append(DropSegment(segment.number))
