"""The entries of a ledger and the moves they make: counting, valuing, delivering, freeing.

Every change that may leave an entry unheld puts it in doubt; `done` looks at those at the end of a call, and
so frees a container, then what it contained, and so on, without recursion.

Pure: it appends actions to the list it is given.
"""

from __future__ import annotations

from typing import Any

from rustray.model.ids import NODE_SHIFT, owner_of

from . import actions
from .actions import Action, Deliver, DropSpill, Freed, Recover, Tell
from .allocator import Block
from .copies import Copies
from .entries import (
    BLOCK,
    FREED,
    INLINE,
    LOST,
    PULLING,
    REMOTE,
    RESTORING,
    SPILLED,
    SPILLING,
    STATES,
    UNKNOWN,
    Away,
    Client,
    Entry,
    Request,
)
from .evacuation import Evacuation
from .holders import Holders
from .moves import Moves
from .nodes import Nodes
from .prefetch import Prefetch
from .pulls import Pulls
from .reservations import Reservations
from .shortage import Shortage

_COUNTER = (1 << NODE_SHIFT) - 1  # of a client's number; 0 in that of a node


class ObjectTable:
    """All entries of one node, and the shared memory they lie in."""

    def __init__(self, capacity: int) -> None:
        self.entries: dict[bytes, Entry] = {}
        self.clients: dict[int, Client] = {}
        self.nodes = Nodes(self.clients)
        self.peer = self.nodes.peer
        self.room = Reservations(capacity, Moves(self))
        self.copies = Copies(self)
        self.pulls = Pulls(self)
        self.evacuation = Evacuation(self)
        self.shortage = Shortage(self)
        self.prefetch = Prefetch(self)
        self.holders = Holders(self)
        self.counts = [0] * len(STATES)  # of entries, by state
        self.spilled_bytes = 0
        self._sequence = 0
        self._doubtful: list[Entry] = []
        self._freed: dict[int, list[bytes]] = {}  # owner: what went in this call
        self.doubt = self._doubtful.append

    def done(self, out: list[Action]) -> list[Action]:
        """End a call: free what is no longer held, serve who waits for room, tell the owners."""
        while self._doubtful or self.room.waiting or self._begin_more(out):
            self._settle(out)
            self.room.serve(out)
            if not self._doubtful and not self._begin_more(out):
                break
        if self._freed:
            out.extend(Freed(owner, oids) for owner, oids in self._freed.items())
            self._freed = {}
        if self.nodes.own:
            self.holders.tell_homes(out)
            self.copies.tell_places(out)
            self.nodes.settle()
        return out

    def _begin_more(self, out: list[Action]) -> bool:
        """Begin to bring here what could not be brought before."""
        return self.shortage.look(out) or self.prefetch.go_on(out)

    # Nodes

    def tell(self, number: int, message: tuple[Any, ...], out: list[Action]) -> None:
        """Tell another node, if it is up."""
        if not self.peer(number).down:
            out.append(Tell(number, message))

    def is_node(self, client: int) -> bool:
        """Whether the number stands for a node."""
        return not client & _COUNTER

    # Entries

    def entry(self, oid: bytes) -> Entry:
        """The object's entry; a new one when nothing is known of it."""
        entry = self.entries.get(oid)
        if entry is None:
            number = owner_of(oid)
            entry = self.entries[oid] = Entry(oid, number)
            self.counts[UNKNOWN] += 1
            owner = self.clients.get(number)
            if owner is not None:
                owner.unvalued[entry] = None
            elif self.nodes.own and number >> NODE_SHIFT != self.nodes.own:
                home = number >> NODE_SHIFT
                entry.away = Away(home)
                self.peer(home).homed[entry] = None
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
        return bool(entry.holds) or entry.inside > 0 or (entry.away is not None and entry.away.kept)

    def count(self, entry: Entry, client: int, by: int) -> None:
        """Change a connected client's signed count."""
        holds = entry.holds
        count = holds.get(client, 0) + by
        if count:
            if count == by:
                self.clients[client].held[entry] = None
                if entry.away is not None:
                    self.doubt(entry)  # home may have to be told
            holds[client] = count
        else:
            del holds[client]
            self.clients[client].held.pop(entry, None)
            if not holds:
                self.doubt(entry)

    # Values

    def replaceable(self, entry: Entry) -> bool:
        """Whether a new value may take the place of what is there: nobody reads or moves it."""
        return entry.state <= INLINE or (entry.state in (BLOCK, SPILLED, REMOTE) and not entry.readings)

    def value(self, entry: Entry, state: int, contains: tuple[bytes, ...], out: list[Action]) -> None:
        """Clear the old value away and enter a state that has one."""
        self.shortage.end(entry)
        self.contain(entry, contains)
        self._clear(entry, out)
        if entry.away is not None:
            self.copies.on_new_value(entry, state)
        entry.recovering = False
        entry.spill_round = -1
        self.enter(entry, state)
        if not self.held(entry):
            self.doubt(entry)

    def contain(self, entry: Entry, contains: tuple[bytes, ...]) -> None:
        """The value holds these, and what the old one held no more."""
        for oid in contains:
            content = self.entry(oid)
            content.inside += 1
            if content.away is not None:
                self.doubt(content)
        for oid in entry.contains:
            content = self.entries[oid]
            content.inside -= 1
            self.doubt(content)
        entry.contains = contains

    def touch(self, block: Block) -> None:
        """The block's object has been wanted or made just now."""
        self._sequence += 1
        block.segment.touched = self._sequence

    def without_value(self, entry: Entry) -> tuple[int, str | None]:
        """(status, payload) for who wants an object whose owner is gone."""
        return (actions.LOST, entry.payload) if entry.state == LOST else (actions.OWNER_DIED, None)

    def mark_lost(self, entry: Entry, why: str, out: list[Action]) -> None:
        """The copy that was here is gone; what is left is another one, or none."""
        self.shortage.end(entry)
        self._clear(entry, out)
        if entry.copies:
            block, entry.size = entry.copies.pop()
            self.put_block(entry, block)
            self.enter(entry, BLOCK)
            self.deliver_block_to_all(entry, out)
            self.doubt(entry)
            return
        if entry.away is not None and (entry.away.home or entry.away.places):
            self.copies.on_lost(entry, out)
            return
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

    def put_block(self, entry: Entry, block: Block) -> None:
        entry.block, block.entry = block, entry

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
            self.room.allocator.eased = True

    def deliver_block(self, entry: Entry, client: int, out: list[Action]) -> None:
        """Tell a client where the value is; it reads from now on."""
        block = entry.block
        assert block is not None
        if client == self.prefetch.client:
            self.prefetch.over(entry)
            return
        self.read(entry, client)
        if client & _COUNTER:
            location = (block.segment.number, block.offset, entry.size)
            out.append(Deliver(client, entry.oid, actions.IN_BLOCK, location))
        else:
            self.copies.offer(entry, client >> NODE_SHIFT, out)

    def deliver_block_to_all(self, entry: Entry, out: list[Action]) -> None:
        """Answer the waiters, unless the object is about to be freed."""
        if entry.wants and (self.held(entry) or entry.away is not None and entry.away.home):
            for client in entry.wants:
                self.clients[client].wanted.pop(entry, None)
                self.deliver_block(entry, client, out)
            entry.wants.clear()

    def await_value(self, entry: Entry, client: int, out: list[Action]) -> None:
        """Deliver a block that is in place; else queue the want, and see to it that it will be answered."""
        state = entry.state
        if (
            state in (BLOCK, SPILLING)
            and entry.block is not None
            and (self.held(entry) or entry.away is not None)
        ):
            self.touch(entry.block)
            self.deliver_block(entry, client, out)
            return
        away = entry.away
        elsewhere = away is not None and away.home
        if state < INLINE and not elsewhere and entry.owner not in self.clients:
            self.answer_one(entry, client, *self.without_value(entry), out)
            self.doubt(entry)
            return
        entry.wants[client] = None
        self.clients[client].wanted[entry] = None
        if entry in self.shortage:
            return
        if state == SPILLED:
            self.enter(entry, RESTORING)
            self.ask_room(entry, out)
        elif state == LOST:
            if client == entry.owner:
                entry.recovering = False  # asked before, it had not heard yet of the value that was lost
            self.recover(entry, out)
        elif state == REMOTE or (elsewhere and state == UNKNOWN):
            self.pulls.fetch(entry, out)

    def nodes_waiting(self, entry: Entry) -> list[int]:
        """The other nodes that want the value; they do not wait any longer."""
        found = [client for client in entry.wants if not client & _COUNTER]
        for client in found:
            del entry.wants[client]
            self.clients[client].wanted.pop(entry, None)
        return [client >> NODE_SHIFT for client in found]

    def answer_one(self, entry: Entry, client: int, status: int, payload: Any, out: list[Action]) -> None:
        """Answer a want with a plain value."""
        if client == self.prefetch.client:
            self.prefetch.over(entry)
        elif client & _COUNTER:
            out.append(Deliver(client, entry.oid, status, payload))
        else:
            self.copies.answer(entry, client >> NODE_SHIFT, status, payload, out)

    def answer_all(self, entry: Entry, status: int, payload: Any, out: list[Action]) -> None:
        """Answer the waiters with a plain value."""
        for client in entry.wants:
            self.clients[client].wanted.pop(entry, None)
            self.answer_one(entry, client, status, payload, out)
        entry.wants.clear()

    def ask_room(self, entry: Entry, out: list[Action]) -> None:
        """Ask for a block to bring the value into."""
        entry.request = Request(None, 0, entry.size, entry)
        self.room.ask(entry.request, out)

    # Freeing

    def _settle(self, out: list[Action]) -> None:
        """Free the doubtful entries that nothing keeps."""
        for entry in self._doubtful:  # which grows meanwhile: what an entry contained comes after it
            if entry.away is not None and entry.away.home and self._kept_away(entry):
                continue
            if entry.holds or entry.inside or entry.state in (SPILLING, FREED):
                continue
            if entry.readings and entry.away is not None and any(map(self.is_node, entry.readings)):
                continue  # it is being copied to another node
            filling = entry.block is not None and entry.state in (RESTORING, PULLING)
            if entry.wants:
                if entry.state < LOST:
                    continue
                if not filling:
                    self.answer_all(entry, actions.LOST, "nobody held it", out)
            if filling:
                continue  # by the shell
            self._free(entry, out)
        self._doubtful.clear()

    def _kept_away(self, entry: Entry) -> bool:
        """Whether an object of another node keeps its entry here. Home learns whether anybody here holds it."""
        away = entry.away
        assert away is not None
        if entry.state == FREED:
            return True
        self.holders.settle(entry, away)
        return bool(entry.wants or entry.readings or away.kept)

    def _free(self, entry: Entry, out: list[Action]) -> None:
        del self.entries[entry.oid]
        self.shortage.end(entry)
        self.prefetch.forget(entry)
        for client in entry.readings:
            self.clients[client].reading.pop(entry, None)
        owner = self.clients.get(entry.owner)
        if owner is not None:
            owner.unvalued.pop(entry, None)
            if entry.state != UNKNOWN:
                self._freed.setdefault(entry.owner, []).append(entry.oid)
        if entry.away is not None:
            self.copies.on_freed(entry, out)
        self.contain(entry, ())
        self._clear(entry, out)
        for block, _size in entry.copies:
            self.room.allocator.free(block)
        entry.request = None
        self.counts[entry.state] -= 1
        entry.state = FREED

    def _clear(self, entry: Entry, out: list[Action]) -> None:
        """Drop whatever the value lies in."""
        entry.payload = None
        if entry.block is not None:
            self.free_block(entry)
        if entry.path is not None:
            self.drop_file(entry, out)
