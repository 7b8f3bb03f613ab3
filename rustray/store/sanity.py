"""What must hold of a ledger between two calls. For tests: it walks over everything."""

from __future__ import annotations

from collections import Counter

from .entries import BLOCK, FREED, INLINE, LOST, PENDING, RESTORING, SPILLED, SPILLING, UNKNOWN, Entry
from .object_table import ObjectTable


def check(table: ObjectTable) -> None:
    """Raise AssertionError, naming the entry, when the table contradicts itself."""
    inside: Counter[bytes] = Counter(oid for entry in table.entries.values() for oid in entry.contains)
    for oid, entry in table.entries.items():
        assert entry.oid == oid
        assert entry.inside == inside[oid], (entry.inside, inside[oid])
        _check_entry(table, entry)
    states = Counter(entry.state for entry in table.entries.values())
    assert all(table.counts[state] == states[state] for state in range(len(table.counts))), "state counts"
    files = [entry for entry in table.entries.values() if entry.path is not None]
    assert table.spilled_bytes == sum(entry.size for entry in files)
    _check_clients(table)
    _check_room(table)


def _check_entry(table: ObjectTable, entry: Entry) -> None:
    state = entry.state
    has_block = state in (BLOCK, SPILLING) or (state == RESTORING and entry.block is not None)
    assert (entry.block is not None) == has_block, state
    assert entry.block is None or entry.block.entry is entry
    assert (entry.path is not None) == (state in (SPILLED, RESTORING)), state
    assert all(entry.holds.values()), "a zero count"
    assert all(count > 0 for count in entry.readings.values())
    assert not entry.readings or state in (BLOCK, SPILLING) or entry.copies, state
    assert not entry.wants or state < INLINE or state == RESTORING or not table.held(entry), state
    owned = entry.owner in table.clients
    in_flight = state == SPILLING or (state == RESTORING and has_block)
    kept = table.held(entry) or entry.wants or in_flight or (state == PENDING and owned)
    assert kept, "nothing keeps it"
    assert state != PENDING or owned, "a promise of the dead"
    assert not (entry.wants and state in (UNKNOWN, PENDING, LOST)) or owned, "waits for the dead"
    assert not (entry.wants and state == LOST) or entry.recovering


def _check_clients(table: ObjectTable) -> None:
    for number, client in table.clients.items():
        entries = table.entries.values()
        assert set(client.held) == {entry for entry in entries if number in entry.holds}
        assert set(client.wanted) == {entry for entry in entries if number in entry.wants}
        assert set(client.reading) == {entry for entry in entries if number in entry.readings}
        assert set(client.unvalued) == {e for e in entries if e.owner == number and e.state < INLINE}
    for entry in table.entries.values():
        assert table.clients.keys() >= entry.holds.keys() | entry.wants.keys() | entry.readings.keys()


def _check_room(table: ObjectTable) -> None:
    room = table.room
    room.allocator.sanity_check()
    assert room.spilling == table.counts[SPILLING]
    assert not room.waiting or room.spilling, "somebody waits for nothing"
    assert room.unsealed.keys() == table.clients.keys()
    blocks = [block for segment in room.allocator.segments.values() for block in segment.blocks.values()]
    unsealed = [block for blocks in room.unsealed.values() for block in blocks.values()]
    accounted = {id(block) for block in unsealed}
    for entry in table.entries.values():
        accounted |= {id(block) for block in [entry.block, *entry.copies] if block is not None}
    for block in blocks:
        assert block.request is None or not block.segment.ready, "granted and not told"
        request = block.request
        restoring = request is not None and request.entry is not None
        assert id(block) in accounted or restoring, "a block that nothing accounts for"
        if restoring and request is not None and request.entry is not None:
            assert request.entry.state in (RESTORING, FREED)
    assert len(accounted) <= len(blocks)
