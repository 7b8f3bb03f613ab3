"""Objects that make room or need it: what `reservations.Objects` asks for.

Pure: it appends actions to the list it is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import actions
from .actions import Action, RestoreIn, SpillOut
from .allocator import Block, pages
from .entries import BLOCK, PULLING, SPILLED, SPILLING, Entry, Request

if TYPE_CHECKING:
    from .object_table import ObjectTable


class Moves:
    """Moves values out of shared memory and into it."""

    def __init__(self, table: ObjectTable) -> None:
        self._table = table

    def spillable(self, block: Block) -> bool:
        """Whether the block's object may go now."""
        entry = block.entry
        return (
            entry is not None
            and entry.state == BLOCK
            and not entry.readings
            and entry.spill_round != self._table.room.round
        )

    def replaceable(self, block: Block) -> bool:
        """Whether the block's object may go now, and need not go to disk."""
        entry = block.entry
        return entry is not None and entry.away is not None and entry.away.secondary and self.spillable(block)

    def urgent(self, entry: Entry) -> bool:
        """Whether somebody waits for the value, who may have others' objects go to disk."""
        return not self._table.prefetch.is_all(entry)

    def spill(self, block: Block, out: list[Action]) -> None:
        """Begin to write it to a file, or drop it if there is another copy."""
        entry = block.entry
        assert entry is not None
        if entry.away is not None and entry.away.secondary:
            self._table.copies.evict(entry, out)
            return
        self._table.enter(entry, SPILLING)
        self._table.room.spilling += 1
        out.append(SpillOut(entry.oid, block.segment.number, block.offset, entry.size))

    def restore(self, entry: Entry, block: Block, out: list[Action]) -> None:
        """The block that the entry asked for is there."""
        entry.request = None
        self._table.put_block(entry, block)
        if entry.state == PULLING:
            self._table.pulls.fill(entry, block, out)
            return
        assert entry.path is not None
        out.append(RestoreIn(entry.oid, entry.path, block.segment.number, block.offset, entry.size))

    def no_room(self, request: Request, text: str, out: list[Action]) -> None:
        """There is no block for the request, now or ever."""
        table, entry = self._table, request.entry
        fits = pages(request.size) <= table.room.allocator.capacity
        if entry is None:
            assert request.client is not None
            if fits:
                table.shortage.begin(request, text, out)
            else:
                out.append(actions.Full(request.client, request.number, text))
            return
        entry.request = None
        table.prefetch.forget(entry)
        waits = fits and bool(entry.wants)
        if entry.state != PULLING:
            table.enter(entry, SPILLED)
        elif not (waits and table.shortage.keeps_offers()):
            table.pulls.stop(entry, out)
        if waits:
            table.shortage.begin(entry, text, out)
        else:
            table.answer_all(entry, actions.STORE_FULL, text, out)
        table.doubt(entry)
