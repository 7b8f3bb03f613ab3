"""The entries of a ledger and the moves they make: counting, valuing, delivering, freeing.

Every change that may leave an entry unheld puts it in doubt; `done` looks at those at the end of a call, and
so frees a container, then what it contained, and so on, without recursion.

Pure: it appends actions to the list it is given.
"""

from __future__ import annotations

from typing import Any

from . import actions
from .actions import Action, Deliver, DropSpill, Freed, Recover, RestoreIn, SpillOut
from .allocator import Block
from .entries import BLOCK, FREED, INLINE, LOST, RESTORING, SPILLED, SPILLING, STATES, UNKNOWN, Client, Entry
from .reservations import Reservations


class ObjectTable:
    """All entries of one node, and the shared memory they lie in."""

    def __init__(self, capacity: int) -> None:
        self.entries: dict[bytes, Entry] = {}
        self.clients: dict[int, Client] = {}
        self.room = Reservations(capacity, self)
        self.counts = [0] * len(STATES)  # of entries, by state
        self.spilled_bytes = 0
        self._sequence = 0
        self._doubtful: list[Entry] = []
        self._freed: dict[int, list[bytes]] = {}  # owner: what went in this call
        self.doubt = self._doubtful.append

    def done(self, out: list[Action]) -> list[Action]:
        """End a call: free what is no longer held, serve who waits for room, tell the owners."""
        while self._doubtful or self.room.waiting:
            self._settle(out)
            self.room.serve(out)
            if not self._doubtful:
                break
        if self._freed:
            out.extend(Freed(owner, oids) for owner, oids in self._freed.items())
            self._freed = {}
        return out

    # Entries

    def entry(self, oid: bytes) -> Entry:
        """The object's entry; a new one when nothing is known of it."""
        entry = self.entries.get(oid)
        if entry is None:
            entry = self.entries[oid] = Entry(oid)
            self.counts[UNKNOWN] += 1
            owner = self.clients.get(entry.owner)
            if owner is not None:
                owner.unvalued[entry] = None
        return entry

    def enter(self, entry: Entry, state: int) -> None:
        """Change the state."""
        old = entry.state
        entry.state = state
        self.counts[old] -= 1
        self.counts[state] += 1
        if (old < INLINE) != (state < INLINE) and (owner := self.clients.get(entry.owner)) is not None:
            if state < INLINE:
                owner.unvalued[entry] = None
            else:
                owner.unvalued.pop(entry, None)

    def held(self, entry: Entry) -> bool:
        return bool(entry.holds) or entry.inside > 0

    def count(self, entry: Entry, client: int, by: int) -> None:
        """Change a connected client's signed count."""
        holds = entry.holds
        count = holds.get(client, 0) + by
        if count:
            if count == by:
                self.clients[client].held[entry] = None
            holds[client] = count
        else:
            del holds[client]
            self.clients[client].held.pop(entry, None)
            if not holds:
                self.doubt(entry)

    # Values

    def replaceable(self, entry: Entry) -> bool:
        """Whether a new value may take the place of what is there: nobody reads or moves it."""
        return entry.state <= INLINE or (entry.state in (BLOCK, SPILLED) and not entry.readings)

    def value(self, entry: Entry, state: int, contains: tuple[bytes, ...], out: list[Action]) -> None:
        """Clear the old value away and enter a state that has one."""
        for oid in contains:
            self.entry(oid).inside += 1
        self._let_go(entry)
        entry.contains = contains
        self._clear(entry, out)
        entry.recovering = False
        entry.spill_round = -1
        self.enter(entry, state)
        if not self.held(entry):
            self.doubt(entry)

    def touch(self, block: Block) -> None:
        """The block's object has been wanted or made just now."""
        self._sequence += 1
        block.segment.touched = self._sequence

    def without_value(self, entry: Entry) -> tuple[int, str | None]:
        """(status, payload) for who wants an object whose owner is gone."""
        return (actions.LOST, entry.payload) if entry.state == LOST else (actions.OWNER_DIED, None)

    def mark_lost(self, entry: Entry, why: str, out: list[Action]) -> None:
        """No copy is left."""
        self._clear(entry, out)
        self.enter(entry, LOST)
        entry.payload = why
        if entry.wants:
            if entry.owner in self.clients:
                self.recover(entry, out)
            else:
                self.answer_all(entry, actions.LOST, why, out)
        self.doubt(entry)

    def recover(self, entry: Entry, out: list[Action]) -> None:
        """Ask the owner, once."""
        if not entry.recovering:
            entry.recovering = True
            out.append(Recover(entry.owner, entry.oid))

    def drop_file(self, entry: Entry, out: list[Action]) -> None:
        assert entry.path is not None
        out.append(DropSpill(entry.path))
        entry.path = None
        self.spilled_bytes -= entry.size

    def free_block(self, entry: Entry) -> None:
        assert entry.block is not None
        self.room.allocator.free(entry.block)
        entry.block = None

    # Deliveries

    def read(self, entry: Entry, client: int) -> None:
        """One reading more."""
        entry.readings[client] = entry.readings.get(client, 0) + 1
        self.clients[client].reading[entry] = None

    def end_reading(self, entry: Entry, client: int) -> None:
        """One reading less."""
        left = entry.readings[client] - 1
        if left:
            entry.readings[client] = left
        else:
            del entry.readings[client]
            self.clients[client].reading.pop(entry, None)

    def deliver_block(self, entry: Entry, client: int, out: list[Action]) -> None:
        """Tell a client where the value is; it reads from now on."""
        block = entry.block
        assert block is not None
        self.read(entry, client)
        location = (block.segment.number, block.offset, entry.size)
        out.append(Deliver(client, entry.oid, actions.IN_BLOCK, location))

    def deliver_block_to_all(self, entry: Entry, out: list[Action]) -> None:
        """Answer the waiters, unless the object is about to be freed."""
        if entry.wants and self.held(entry):
            for client in entry.wants:
                self.clients[client].wanted.pop(entry, None)
                self.deliver_block(entry, client, out)
            entry.wants.clear()

    def answer_all(self, entry: Entry, status: int, payload: Any, out: list[Action]) -> None:
        """Answer the waiters with a plain value."""
        for client in entry.wants:
            self.clients[client].wanted.pop(entry, None)
            out.append(Deliver(client, entry.oid, status, payload))
        entry.wants.clear()

    # What Reservations needs of the objects

    def spillable(self, block: Block) -> bool:
        entry = block.entry
        return (
            entry is not None
            and entry.state == BLOCK
            and not entry.readings
            and entry.spill_round != self.room.round
        )

    def spill(self, block: Block, out: list[Action]) -> None:
        entry = block.entry
        assert entry is not None
        self.enter(entry, SPILLING)
        self.room.spilling += 1
        out.append(SpillOut(entry.oid, block.segment.number, block.offset, entry.size))

    def restore(self, entry: Entry, block: Block, out: list[Action]) -> None:
        assert entry.path is not None
        entry.block, block.entry = block, entry
        out.append(RestoreIn(entry.oid, entry.path, block.segment.number, block.offset, entry.size))

    def no_room(self, entry: Entry, text: str, out: list[Action]) -> None:
        self.enter(entry, SPILLED)
        self.answer_all(entry, actions.STORE_FULL, text, out)
        self.doubt(entry)

    # Freeing

    def _settle(self, out: list[Action]) -> None:
        """Free the doubtful entries that nothing keeps."""
        for entry in self._doubtful:  # which grows meanwhile: what an entry contained comes after it
            if entry.holds or entry.inside or entry.state in (SPILLING, FREED):
                continue
            if entry.wants:
                if entry.state < INLINE:
                    continue
                if entry.state != RESTORING or entry.block is None:
                    self.answer_all(entry, actions.LOST, "nobody held it", out)
            if entry.state == RESTORING and entry.block is not None:
                continue  # the shell is filling the block
            self._free(entry, out)
        self._doubtful.clear()

    def _free(self, entry: Entry, out: list[Action]) -> None:
        del self.entries[entry.oid]
        for client in entry.readings:
            self.clients[client].reading.pop(entry, None)
        owner = self.clients.get(entry.owner)
        if owner is not None:
            owner.unvalued.pop(entry, None)
            if entry.state != UNKNOWN:
                self._freed.setdefault(entry.owner, []).append(entry.oid)
        self._let_go(entry)
        self._clear(entry, out)
        for block in entry.copies:
            self.room.allocator.free(block)
        self.counts[entry.state] -= 1
        entry.state = FREED

    def _let_go(self, entry: Entry) -> None:
        """The value no longer holds what it contains."""
        for oid in entry.contains:
            content = self.entries[oid]
            content.inside -= 1
            self.doubt(content)
        entry.contains = ()

    def _clear(self, entry: Entry, out: list[Action]) -> None:
        """Drop whatever the value lies in."""
        entry.payload = None
        if entry.block is not None:
            self.free_block(entry)
        if entry.path is not None:
            self.drop_file(entry, out)
