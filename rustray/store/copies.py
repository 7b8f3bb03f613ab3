"""Where the values of objects are, across nodes, and who gets them from here.

Small values and errors travel in messages. A big one is *pulled* by who wants it: see `pulls.py`.

Rule 1. Home knows who has a copy of a value. A copy is kept until home says `drop`, or until its node gives it up,
        which it tells home (`evicted`).
Rule 2. Whoever has a copy holds what that contains; home itself only for a value that lies there.
Rule 3. A value made on a node stays there, on disk if need be. A *secondary* copy, one that was pulled, is dropped
        when room is needed. Home makes one primary when there is no other any more.
Rule 4. A small value with refs in it is a copy too: what it contains is held for whoever reads them out of it.

Pure: it appends actions to the list it is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import actions
from .actions import Action
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
    Away,
    Entry,
)

if TYPE_CHECKING:
    from .object_table import ObjectTable

_HERE = (BLOCK, SPILLING, SPILLED, RESTORING)


class Copies:
    """The copies of values on other nodes, and those here of other nodes' objects."""

    def __init__(self, table: ObjectTable) -> None:
        self._table = table
        self._drop: dict[int, list[bytes]] = {}  # node: which copies home needs no more

    # What is here

    def on_sealed(self, entry: Entry, size: int, holder: int | None, out: list[Action]) -> None:
        """A value of another node's object has been made here."""
        away = entry.away
        assert away is not None
        away.secondary = False
        if not self._table.nodes[away.home].down:
            away.kept = True
            self._table.tell(away.home, ("copy", entry.oid, size, holder), out)

    def evict(self, entry: Entry, out: list[Action]) -> None:
        """Drop a secondary copy to make room."""
        self._table.free_block(entry)
        for block, _size in entry.copies:
            self._table.room.allocator.free(block)
        entry.copies.clear()
        self.on_lost(entry, out)

    def on_lost(self, entry: Entry, out: list[Action]) -> None:
        """What was here is gone, and there are other copies, or home knows what to do."""
        table, away = self._table, entry.away
        assert away is not None
        table.contain(entry, ())
        away.secondary = False
        table.enter(entry, UNKNOWN if away.home else REMOTE)
        if away.kept:
            away.kept = False
            table.tell(away.home, ("evicted", entry.oid), out)
        for node in table.nodes_waiting(entry):
            if away.home:
                table.tell(node, ("gone", entry.oid), out)
            else:
                self._say_where(entry, away, node, out)
        if entry.wants:
            table.pulls.fetch(entry, out)
        table.doubt(entry)

    def on_new_value(self, entry: Entry, state: int) -> None:
        """What is here, if anything, is replaced."""
        away = entry.away
        assert away is not None
        away.secondary = False
        if not away.home and INLINE in (state, entry.state):
            self._drop_all(entry, away)

    def on_freed(self, entry: Entry, out: list[Action]) -> None:
        """The entry goes."""
        table, away = self._table, entry.away
        assert away is not None
        if entry.state == PULLING:
            table.pulls.stop(entry, out)
        if away.home:
            home = table.nodes[away.home]
            home.homed.pop(entry, None)
            table.nodes.doubt(home)
            if away.asked:
                table.tell(away.home, ("unwant", entry.oid), out)
        self._drop_all(entry, away)

    def on_drop(self, _node: int, oids: list[bytes], out: list[Action]) -> None:
        """Home does not count on our copies any more."""
        for oid in oids:
            entry = self._table.entries.get(oid)
            if entry is not None and entry.away is not None:
                entry.away.kept = False
                self._table.doubt(entry)

    def on_keep(self, node: int, oid: bytes, out: list[Action]) -> None:
        """Our copy is the one that counts now."""
        entry = self._table.entries.get(oid)
        if entry is not None and entry.away is not None:
            entry.away.secondary = False
            if entry.away.kept:
                self._table.tell(node, ("kept", oid), out)

    # What home knows

    def _note_place(self, entry: Entry, node: int, made: bool) -> None:
        if entry.away is None:
            entry.away = Away(0)
        entry.away.places[node] = made or entry.away.places.get(node, False)
        self._table.peer(node).copies[entry] = None

    def forget_place(self, entry: Entry, away: Away, node: int, out: list[Action]) -> None:
        away.places.pop(node, None)
        self._table.peer(node).copies.pop(entry, None)
        if entry.state != INLINE:
            self.choose_primary(entry, away, out)

    def choose_primary(self, entry: Entry, away: Away, out: list[Action]) -> None:
        """One of the copies is kept whatever happens."""
        if any(away.places.values()):
            return
        if entry.state in _HERE:
            away.secondary = False
        elif away.places:
            self.keep_at(entry, away, min(away.places, key=lambda node: self._table.peer(node).leaving), out)

    def keep_at(self, entry: Entry, away: Away, node: int, out: list[Action]) -> None:
        """The copy of this node is the one that counts now. If it has gone meanwhile, we hear of that."""
        away.places[node] = True
        self._table.tell(node, ("keep", entry.oid), out)

    def drop(self, entry: Entry, away: Away, node: int) -> None:
        """If a node has a copy, it is not counted on any more."""
        if node in away.places:
            self._drop.setdefault(node, []).append(entry.oid)

    def _drop_all(self, entry: Entry, away: Away) -> None:
        for node in away.places:
            self._drop.setdefault(node, []).append(entry.oid)
            self._table.peer(node).copies.pop(entry, None)
        away.places = {}

    def tell_places(self, out: list[Action]) -> None:
        """Send what has become needless in this call."""
        for node, oids in self._drop.items():
            self._table.tell(node, ("drop", oids), out)
        self._drop.clear()

    def on_copy(self, node: int, oid: bytes, size: int, holder: int | None, out: list[Action]) -> None:
        """A value has been made there; the hold of `holder` is made as by `Ledger.seal`."""
        table = self._table
        entry = table.entry(oid)
        if holder in table.clients and entry.seal_held is None:
            entry.seal_held = holder
            table.count(entry, holder, 1)
        self._add_place(entry, node, size, True, out)

    def on_have(self, node: int, oid: bytes, size: int, out: list[Action]) -> None:
        """It has pulled a copy."""
        entry = self._table.entries.get(oid)
        if entry is None or entry.state in (UNKNOWN, INLINE):
            self._drop.setdefault(node, []).append(oid)
        else:
            self._add_place(entry, node, size, False, out)

    def _add_place(self, entry: Entry, node: int, size: int, made: bool, out: list[Action]) -> None:
        table = self._table
        if entry.state > INLINE:
            self._note_place(entry, node, made)
            return
        table.value(entry, REMOTE, (), out)
        entry.size = size
        self._note_place(entry, node, made)
        assert entry.away is not None
        self.choose_primary(entry, entry.away, out)
        if table.held(entry):
            for waiting in table.nodes_waiting(entry):
                self._say_where(entry, entry.away, waiting, out)
            if entry.wants:
                table.pulls.fetch(entry, out)

    def lose_place(self, node: int, oid: bytes, out: list[Action]) -> None:
        """It has no copy any more."""
        entry = self._table.entries.get(oid)
        if entry is not None and entry.away is not None and node in entry.away.places:
            self.forget_place(entry, entry.away, node, out)
            if entry.state == REMOTE and not entry.away.places:
                self._table.mark_lost(entry, "no copy of it is left", out)
            self._table.doubt(entry)

    # Giving a value to another node

    def on_want(self, node: int, oid: bytes, out: list[Action]) -> None:
        """A node wants the value of an object of ours."""
        table = self._table
        entry = table.entry(oid)
        state, away = entry.state, entry.away
        if state == INLINE:
            self.answer(entry, node, entry.status, entry.payload, out)
        elif away is not None and away.places and state in (REMOTE, PULLING, SPILLED, RESTORING):
            self._say_where(entry, away, node, out)
        else:
            table.await_value(entry, table.peer(node).client, out)
        table.doubt(entry)

    def on_want_again(self, node: int, oid: bytes, out: list[Action]) -> None:
        """A node wants what it was told to be somewhere, and was not."""
        entry = self._table.entries.get(oid)
        if entry is None or entry.state == UNKNOWN:
            self._table.tell(node, ("value", oid, actions.LOST, "nobody held it", []), out)
        else:
            self.on_want(node, oid, out)

    def on_unwant(self, node: int, oid: bytes, out: list[Action]) -> None:
        """Nobody waits there any more."""
        table = self._table
        entry = table.entries.get(oid)
        client = table.peer(node).client
        if entry is not None and client in entry.wants:
            del entry.wants[client]
            del table.clients[client].wanted[entry]
            if entry.state != PENDING:
                table.doubt(entry)

    def on_pull(self, node: int, oid: bytes, out: list[Action]) -> None:
        """A node that knows of our copy asks for it."""
        table = self._table
        entry = table.entries.get(oid)
        if entry is not None and (entry.state in _HERE or entry.state == PULLING and entry.copies):
            table.await_value(entry, table.peer(node).client, out)
            table.doubt(entry)
        else:
            table.tell(node, ("gone", oid), out)

    def answer(self, entry: Entry, node: int, status: int, payload: Any, out: list[Action]) -> None:
        """Send a small value, or why there is none."""
        contains = entry.contains if status >= 0 else ()
        self._table.holders.give(node, contains)
        self._table.tell(node, ("value", entry.oid, status, payload, list(contains)), out)
        if contains and not self._table.peer(node).down:
            self._note_place(entry, node, False)

    def offer(self, entry: Entry, node: int, out: list[Action]) -> None:
        """Say that the value is in our memory. It is being read from now on."""
        if entry.away is None:
            entry.away = Away(0)
        self._table.holders.give(node, entry.contains)
        self._table.tell(node, ("source", entry.oid, entry.size, list(entry.contains)), out)

    def _say_where(self, entry: Entry, away: Away, node: int, out: list[Action]) -> None:
        places = [place for place in away.places if place != node]
        first = node % len(places) if places else 0  # so that not all ask the same one
        self._table.tell(node, ("at", entry.oid, places[first:] + places[:first]), out)
