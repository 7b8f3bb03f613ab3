"""What must hold of a ledger between two calls. For tests: it walks over everything."""

from __future__ import annotations

from collections import Counter

from .entries import (
    BLOCK,
    INLINE,
    LOST,
    PENDING,
    PULLING,
    REMOTE,
    RESTORING,
    SPILLED,
    SPILLING,
    UNKNOWN,
    Away,
    Entry,
)
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
    has_block = state in (BLOCK, SPILLING) or (state in (RESTORING, PULLING) and entry.block is not None)
    assert (entry.block is not None) == has_block, state
    assert entry.block is None or entry.block.entry is entry
    assert (entry.path is not None) == (state in (SPILLED, RESTORING)), state
    assert all(entry.holds.values()), "a zero count"
    assert all(count > 0 for count in entry.readings.values())
    assert not entry.readings or state in (BLOCK, SPILLING) or entry.copies, state
    waiting = state < INLINE or state in (SPILLING, RESTORING, PULLING)
    short = entry in table.shortage
    assert (
        not short or state in (SPILLED, UNKNOWN, REMOTE) or entry.away is not None and entry.away.offered
    ), state
    assert not entry.wants or waiting or short or not table.held(entry), state
    in_flight = state == SPILLING or (state in (RESTORING, PULLING) and has_block)
    asks = state in (RESTORING, PULLING) and not short and _lacks_room(entry)
    assert (entry.request is not None) == asks
    if entry.away is not None:
        _check_away(table, entry, entry.away)
        if entry.away.home:
            kept = table.held(entry) or entry.wants or entry.readings or in_flight
            assert kept, "nothing keeps it"
            return
    assert state not in (REMOTE, PULLING) or entry.away is not None
    owned = entry.owner in table.clients
    served = any(map(table.is_node, entry.readings))
    kept = table.held(entry) or entry.wants or in_flight or (state == PENDING and owned) or served
    assert kept, "nothing keeps it"
    assert state != PENDING or owned, "a promise of the dead"
    assert not (entry.wants and state in (UNKNOWN, PENDING, LOST)) or owned, "waits for the dead"
    assert not (entry.wants and state == LOST) or entry.recovering


def _lacks_room(entry: Entry) -> bool:
    if entry.block is not None:
        return False
    return entry.state == RESTORING or entry.away is not None and entry.away.offered


def _check_away(table: ObjectTable, entry: Entry, away: Away) -> None:
    state = entry.state
    assert (away.source != 0) == (state == PULLING)
    assert not away.offered or state == PULLING
    if not away.home:
        assert not away.registered and not away.asked and not away.kept
        assert state != REMOTE or away.places, "it is nowhere"
        assert (
            not away.secondary or state in (BLOCK, SPILLING, SPILLED, RESTORING) and any(away.places.values())
        )
        return
    home = table.nodes[away.home]
    assert not away.places and state not in (PENDING, LOST, REMOTE)
    assert not home.down or not (away.registered or away.asked or away.kept)
    assert home.down or bool(away.registered) == bool(entry.holds or entry.inside), "home is not told"
    asked = away.asked or entry in table.shortage
    assert not entry.wants or state != UNKNOWN or asked, "nobody was asked"
    assert not away.kept or state in (INLINE, BLOCK, SPILLING, SPILLED, RESTORING, PULLING)


def _check_clients(table: ObjectTable) -> None:
    for number, client in table.clients.items():
        entries = table.entries.values()
        assert set(client.held) == {entry for entry in entries if number in entry.holds}
        assert set(client.wanted) == {entry for entry in entries if number in entry.wants}
        assert set(client.reading) == {entry for entry in entries if number in entry.readings}
        assert set(client.unvalued) == {e for e in entries if e.owner == number and e.state < INLINE}
    for node in table.nodes:
        away = [(entry, entry.away) for entry in table.entries.values() if entry.away is not None]
        assert set(node.homed) == {entry for entry, at in away if at.home == node.number}
        assert set(node.copies) == {entry for entry, at in away if node.number in at.places}
        assert set(node.pulls) == {entry for entry, at in away if node.number == at.source}
        assert not node.down or not (node.copies or node.wanted or node.reading)
        referred = node.homed or node.pulls or node.client in table.clients
        assert not node.down or referred, "a dead node that nothing refers to"
    for entry in table.entries.values():
        assert table.clients.keys() >= entry.holds.keys() | entry.wants.keys() | entry.readings.keys()


def _check_room(table: ObjectTable) -> None:
    room = table.room
    room.allocator.sanity_check()
    nodes = {node.client for node in table.nodes}
    assert room.spilling == table.counts[SPILLING]
    assert not room.waiting or room.spilling, "somebody waits for nothing"
    assert room.unsealed.keys() == table.clients.keys() - nodes
    blocks = [block for segment in room.allocator.segments.values() for block in segment.blocks.values()]
    unsealed = [block for blocks in room.unsealed.values() for block in blocks.values()]
    accounted = {id(block) for block in unsealed}
    for entry in table.entries.values():
        accounted |= {id(block) for block in [entry.block, *(copy[0] for copy in entry.copies)] if block}
    for block in blocks:
        assert block.request is None or not block.segment.ready, "granted and not told"
        request = block.request
        restoring = request is not None and request.entry is not None
        assert id(block) in accounted or restoring, "a block that nothing accounts for"
    assert len(accounted) <= len(blocks)
