"""The ledger of one node: which objects there are, who holds them, where they lie, and when they go.

It does no I/O: every method returns what the shell has to do (`actions.py`). Methods are named after the
messages of the node socket, or after what the shell reports. A client is a number, never used twice; whoever
calls must be connected, whoever is only named need not be.

Rule 1. Counts are signed, a client: messages of two clients may overtake each other. An object is held while
        any count is not zero, or while a value that exists contains it. What is no longer held is freed.
Rule 2. Hold first, then declare or publish: a value that nobody holds is not kept. A declaration is kept until its
        value comes, its owner goes, or its last hold ends.
Rule 3. A want is answered once. It does not hold the object, but it makes an entry for an unknown one.
Rule 4. A block that has been delivered is *read* until as many `unread` have come back as deliveries went
        out, or the reader is gone. What is read is never spilled. A release does not end a reading: a count
        may pass zero while its client still reads.
Rule 5. A shell's answer about a spill or restore may come late. Until then block and file stay as they are.
Rule 6. A newer value (of a retry) replaces an older one, unless somebody reads that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rustray.model.ids import home_of, node_of

from .actions import Action, Deliver, DropSpill, Tell
from .entries import (
    BLOCK,
    INLINE,
    PENDING,
    PULLING,
    REMOTE,
    RESTORING,
    SPILLED,
    SPILLING,
    UNKNOWN,
    Client,
    Request,
)
from .errors import InvalidRequest
from .federation import Federation
from .inventory import largest
from .object_table import ObjectTable
from .sanity import check
from .shortage import Outlook


class Ledger:
    """The objects of one node, in at most `capacity` bytes of shared memory."""

    def __init__(self, capacity: int) -> None:
        self._table = ObjectTable(capacity)
        self._room = self._table.room
        self.federation = Federation(self._table)
        self._unknown: set[bytes] = set()

    # Clients

    def connect(self, client: int) -> list[Action]:
        """A client has come."""
        self._table.clients[client] = Client()
        self._room.connect(client)
        return []

    def disconnect(self, client: int) -> list[Action]:
        """A client has gone, and with it its holds, wants, readings, requests, blocks and promises."""
        out: list[Action] = []
        gone = self._table.clients.pop(client)
        self._room.disconnect(client)
        self._table.shortage.disconnect(client)
        for entry in gone.reading:
            del entry.readings[client]
            if entry.away is not None:
                self._table.doubt(entry)
        for entry in gone.wanted:
            del entry.wants[client]
            if entry.state != PENDING:
                self._table.doubt(entry)
        for entry in gone.held:
            del entry.holds[client]
            self._table.doubt(entry)
        for entry in gone.unvalued:
            if entry.state == PENDING:
                self._table.enter(entry, UNKNOWN)
            self._table.answer_all(entry, *self._table.without_value(entry), out)
            self._table.doubt(entry)
        return self._table.done(out)

    # Room

    def reserve(self, client: int, request: int, size: int) -> list[Action]:
        """A client wants `size` bytes to write an object into. Answered by Granted, Full or Delayed, now or later."""
        out: list[Action] = []
        self._room.ask(Request(client, request, size, None), out)
        return self._table.done(out)

    def abandon(self, client: int, segment: int, offset: int) -> list[Action]:
        """A client does not want its unsealed block any more."""
        self._room.allocator.free(self._room.sealed(client, segment, offset))
        return self._table.done([])

    def segment_ready(self, segment: int) -> list[Action]:
        """The shell has created the segment."""
        out: list[Action] = []
        self._room.segment_ready(segment, out)
        return self._table.done(out)

    def segment_failed(self, segment: int, text: str) -> list[Action]:
        """The shell could not create the segment."""
        self._room.segment_failed(segment, text)
        return self._table.done([])

    def trim(self, target: int) -> list[Action]:
        """Give idle memory back until the segments have at most `target` bytes, if that is possible."""
        out: list[Action] = []
        self._room.trim(target, out)
        return out

    # Values

    def seal(
        self,
        client: int,
        oid: bytes,
        segment: int,
        offset: int,
        size: int,
        contains: tuple[bytes, ...],
        holder: int | None,
        reading: bool = True,
    ) -> list[Action]:
        """A client has written an object's value, `size` bytes, into a block that it reserved.

        The hold that `holder` gets is made once in the life of the entry, so that a retried task may seal
        again. `reading`: the holder has been told the location, and owes an `unread`.
        """
        block = self._room.sealed(client, segment, offset)
        if size > block.size:
            self._room.allocator.free(block)
            raise InvalidRequest(f"client {client} wrote {size} bytes into a block of {block.size}")
        out: list[Action] = []
        table = self._table
        entry = table.entry(oid)
        told = holder if holder in table.clients else None
        if entry.seal_reading and entry.seal_held in entry.readings:
            table.end_reading(entry, entry.seal_held)  # sealed before, and the answer never arrived
        if told is not None and entry.seal_held is None:
            entry.seal_held = told
            table.count(entry, told, 1)
        if entry.state == PULLING and entry.block is None:
            table.pulls.stop(entry, out)
        if table.replaceable(entry):
            table.value(entry, BLOCK, contains, out)
            entry.size = size
            table.put_block(entry, block)
            table.touch(block)
        else:
            entry.copies.append((block, size))
        if entry.away is not None and entry.away.home:
            table.copies.on_sealed(entry, size, holder, out)
        elif reading and told is not None:
            table.read(entry, told)
        entry.seal_reading = reading
        if entry.state in (BLOCK, SPILLING):
            table.deliver_block_to_all(entry, out)
        return table.done(out)

    def declare(self, client: int, oid: bytes) -> list[Action]:
        """The owner promises a value: whoever wants the object waits for it, as long as the owner lives."""
        entry = self._table.entry(oid)
        if entry.owner not in self._table.clients:
            self._table.doubt(entry)
        elif entry.state == UNKNOWN:
            self._table.enter(entry, PENDING)
        return self._table.done([])

    def publish(
        self, client: int, oid: bytes, status: int, payload: Any, contains: tuple[bytes, ...]
    ) -> list[Action]:
        """An object's value (or error) is this plain value. `status` is the owner's, 0 or more."""
        out: list[Action] = []
        entry = self._table.entry(oid)
        if self._table.replaceable(entry):
            self._table.value(entry, INLINE, contains, out)
            entry.status, entry.payload = status, payload
            self._table.answer_all(entry, status, payload, out)
        return self._table.done(out)

    def retract(self, client: int, oids: Iterable[bytes]) -> list[Action]:
        """The owner takes back the hold that a sealer made for it, if one did.

        For the results of a task that has finally failed: its worker may have died between seal and answer.
        """
        for oid in oids:
            entry = self._table.entries.get(oid)
            if entry is not None and entry.seal_held == client:
                entry.seal_held = None
                if entry.seal_reading and client in entry.readings:
                    self._table.end_reading(entry, client)
                self._table.count(entry, client, -1)
        return self._table.done([])

    def lose(self, oid: bytes) -> list[Action]:
        """The copy of an object is gone. Its owner is asked to make it again, once somebody wants it."""
        entry = self._table.entries.get(oid)
        if entry is None or entry.state not in (BLOCK, SPILLED):
            return []
        if not self._table.replaceable(entry):
            raise InvalidRequest(f"object {oid.hex()} is being read")
        out: list[Action] = []
        self._table.mark_lost(entry, "its copy is gone", out)
        return self._table.done(out)

    def owes(self, client: int) -> bool:
        """Whether a client has declared what it has not published yet."""
        return any(entry.state == PENDING for entry in self._table.clients[client].unvalued)

    # Wants and holds

    def want(self, client: int, oid: bytes) -> list[Action]:
        """A client wants the value: Deliver comes, now or later."""
        out: list[Action] = []
        table = self._table
        entry = table.entry(oid)
        if entry.state == INLINE:
            out.append(Deliver(client, oid, entry.status, entry.payload))
        else:
            table.await_value(entry, client, out)
        return table.done(out)

    def unread(self, client: int, oid: bytes) -> list[Action]:
        """A client has ended one reading: nothing of it looks at the delivered block any more."""
        entry = self._table.entries.get(oid)
        if entry is not None and client in entry.readings:
            self._table.end_reading(entry, client)
            if client == entry.seal_held:
                entry.seal_reading = False
            if entry.away is not None:
                self._table.doubt(entry)
            elif not len(self._table.shortage):
                return []
        return self._table.done([])

    def hold(self, client: int, oids: Iterable[bytes]) -> list[Action]:
        """Count one up for each."""
        for oid in oids:
            self._table.count(self._table.entry(oid), client, 1)
        return self._table.done([])

    def release(self, client: int, oids: Iterable[bytes]) -> list[Action]:
        """Count one down for each."""
        for oid in oids:
            self._table.count(self._table.entry(oid), client, -1)
        return self._table.done([])

    def hold_for(self, client: int, other: int, oids: Iterable[bytes]) -> list[Action]:
        """`client` hands these objects to `other`: count one up for `other`, unless it is gone."""
        if other in self._table.clients:
            return self.hold(other, oids)
        out: list[Action] = []
        own = self._table.nodes.own
        if own and node_of(other) != own:
            self._table.holders.hold_for(other, oids, out)
        return self._table.done(out)

    def borrow(self, client: int, lender: bytes, oids: list[bytes]) -> list[Action]:
        """`client` holds from now on what `lender`, an object that contains it, has lent it."""
        home = home_of(lender)
        if home == self._table.nodes.own or not self._table.nodes.own or self._table.peer(home).down:
            return self.hold(client, oids)
        return [Tell(home, ("borrow", client, oids))] if oids else []

    # What the shell reports of files

    def spilled(self, oid: bytes, path: str) -> list[Action]:
        """The block is in this file now."""
        out: list[Action] = []
        entry = self._table.entries[oid]
        self._room.spilling -= 1
        if entry.readings or entry.wants or not self._table.held(entry):  # wanted or freed in the meantime
            self._table.enter(entry, BLOCK)
            self._table.deliver_block_to_all(entry, out)
            self._table.doubt(entry)
            out.append(DropSpill(path))
        else:
            self._table.free_block(entry)
            self._table.enter(entry, SPILLED)
            entry.path = path
            self._table.spilled_bytes += entry.size
        return self._table.done(out)

    def spill_failed(self, oid: bytes, text: str) -> list[Action]:
        """The block could not be written to a file."""
        out: list[Action] = []
        entry = self._table.entries[oid]
        self._room.spilling -= 1
        self._room.spill_failed(text)
        entry.spill_round = self._room.round
        self._table.enter(entry, BLOCK)
        self._table.deliver_block_to_all(entry, out)
        self._table.doubt(entry)
        return self._table.done(out)

    def restored(self, oid: bytes) -> list[Action]:
        """The file is in its block again."""
        out: list[Action] = []
        entry = self._table.entries[oid]
        assert entry.block is not None
        self._table.drop_file(entry, out)
        self._table.enter(entry, BLOCK)
        self._table.touch(entry.block)
        self._table.deliver_block_to_all(entry, out)
        self._table.doubt(entry)
        return self._table.done(out)

    def restore_failed(self, oid: bytes, text: str) -> list[Action]:
        """The file could not be read."""
        out: list[Action] = []
        self._table.mark_lost(self._table.entries[oid], text, out)
        return self._table.done(out)

    def ask_owners(self) -> list[Action]:
        """Call it now and then: owners are asked for what has been wanted since the last time and is not known.

        It may be freed: the answer of a task has overtaken a want of it, or who handed it over died before he said so.
        """
        out: list[Action] = []
        unknown = [
            entry
            for client in self._table.clients.values()
            for entry in client.unvalued
            if entry.state == UNKNOWN and entry.wants
        ]
        for entry in unknown:
            if entry.oid in self._unknown:
                self._table.recover(entry, out)
        self._unknown = {entry.oid for entry in unknown}
        return out

    # Values that wait for room, or that will be wanted

    def prefetch(self, client: int, node: int, oids: list[bytes]) -> list[Action]:
        """A client has tasks that will want these on `node` soon, in this order."""
        out: list[Action] = []
        if node == self._table.nodes.own:
            self._table.prefetch.hint(oids)
        elif self._table.nodes.own:
            self._table.tell(node, ("prefetch", oids), out)
        return self._table.done(out)

    def outlook(self, oid: bytes) -> Outlook | None:
        """Of an object that was `Short`, after a while; None if it is that no longer."""
        return self._table.shortage.outlook(oid)

    def refuse(self, client: int, request: int) -> list[Action]:
        """A request that was Delayed has waited long enough: it is Full, unless room is being made for it."""
        out: list[Action] = []
        self._table.shortage.refuse(client, request, out)
        return self._table.done(out)

    def give_up(self, oid: bytes) -> list[Action]:
        """There is no hope of room: answer with STORE_FULL who wants it."""
        out: list[Action] = []
        self._table.shortage.give_up(oid, out)
        return self._table.done(out)

    # For people

    def stats(self) -> dict[str, int]:
        """Numbers of objects, and bytes: `reserved` of `used` of `segments` of `capacity`."""
        table, allocator = self._table, self._room.allocator
        return {
            "objects": len(table.entries),
            "pending": table.counts[PENDING],
            "inline": table.counts[INLINE],
            "spilled": table.counts[SPILLED] + table.counts[RESTORING],
            "spilled_bytes": table.spilled_bytes,
            "remote": table.counts[REMOTE] + table.counts[PULLING],
            "used": allocator.used,
            "reserved": self._room.reserved(),
            "segments": allocator.total,
            "capacity": allocator.capacity,
            "waiting": len(self._room.waiting),
        }

    def largest(self, count: int) -> list[dict[str, Any]]:
        """The largest values that lie here: see `inventory`."""
        return largest(self._table.entries.values(), count)

    def sanity_check(self) -> None:
        """Assert all that must hold between calls."""
        check(self._table)
