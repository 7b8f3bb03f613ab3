"""Where the values of objects are, across nodes, and how they get to where they are wanted.

Small values and errors travel in messages. A big one is *pulled*: its source keeps the block in place as for any
reader, the shell copies the bytes into a block here, and then the source is told that it has been read.

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
from .actions import Action, PullIn
from .allocator import Block
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

    # Bringing a value here

    def fetch(self, entry: Entry, out: list[Action]) -> None:
        """Somebody here wants a value that is not here."""
        away = entry.away
        assert away is not None
        if not away.home:
            away.sources = list(away.places)
            self._pull_next(entry, away, out)
        elif self._table.nodes[away.home].down:
            self._table.answer_all(entry, actions.OWNER_DIED, None, out)
            self._table.doubt(entry)
        elif not away.asked:
            away.asked = True
            self._table.tell(away.home, ("want", entry.oid), out)

    def _pull_next(self, entry: Entry, away: Away, out: list[Action]) -> None:
        """Ask the next node that has it."""
        table = self._table
        while away.sources:
            source = away.sources.pop(0)
            if source != table.node and not table.peer(source).down:
                table.enter(entry, PULLING)
                away.source = source
                table.peer(source).pulls[entry] = None
                table.tell(source, ("pull", entry.oid), out)
                return
        if away.home:
            table.enter(entry, UNKNOWN)
            if not table.nodes[away.home].down:
                away.asked = True  # home knows of others by now, or that none is left
                table.tell(away.home, ("want_again", entry.oid), out)
            else:
                self.fetch(entry, out)

    def _expected(self, entry: Entry | None, node: int) -> bool:
        """Whether `node` owes the value of an entry; from now on it does not."""
        if entry is None or entry.away is None:
            return False
        away = entry.away
        if away.asked and away.home == node:
            away.asked = False
            return entry.state == UNKNOWN
        return entry.state == PULLING and away.source == node and not away.offered

    def on_source(self, node: int, oid: bytes, size: int, contains: list[bytes], out: list[Action]) -> None:
        """A node has the value, and keeps it there until it is told `unread`."""
        table = self._table
        table.holders.take(node, contains, out)
        entry = table.entries.get(oid)
        if not self._expected(entry, node):
            table.tell(node, ("unread", oid), out)
            if entry is not None:
                table.doubt(entry)
            return
        assert entry is not None and entry.away is not None
        table.enter(entry, PULLING)
        entry.away.source, entry.away.offered = node, True
        table.peer(node).pulls[entry] = None
        entry.size = size
        table.contain(entry, tuple(contains))
        table.doubt(entry)
        table.ask_room(entry, out)

    def fill(self, entry: Entry, block: Block, out: list[Action]) -> None:
        """There is room: have the bytes copied."""
        away = entry.away
        assert away is not None and away.offered
        out.append(PullIn(entry.oid, away.source, block.segment.number, block.offset, entry.size))

    def stop(self, entry: Entry, out: list[Action]) -> None:
        """End a pull, however far it has come; the entry is as it was before."""
        table, away = self._table, entry.away
        assert away is not None
        self._end(entry, away, out)
        entry.request = None
        if entry.block is not None:
            table.free_block(entry)
        table.contain(entry, ())
        table.enter(entry, UNKNOWN if away.home else REMOTE)

    def _end(self, entry: Entry, away: Away, out: list[Action]) -> None:
        self._table.peer(away.source).pulls.pop(entry, None)
        if away.offered:
            self._table.tell(away.source, ("unread", entry.oid), out)
        away.source, away.offered = 0, False

    def pulled(self, oid: bytes, out: list[Action]) -> None:
        """The shell has copied it."""
        table = self._table
        entry = table.entries[oid]
        away = entry.away
        assert away is not None and entry.block is not None
        self._end(entry, away, out)
        away.sources = []
        away.secondary = not away.kept  # it may have been made here meanwhile
        if away.home and not table.nodes[away.home].down:
            away.kept = True
            table.tell(away.home, ("have", oid, entry.size), out)
        elif away.home:
            away.secondary = False
        table.enter(entry, BLOCK)
        if not away.home:
            self._choose_primary(entry, away, out)
        table.touch(entry.block)
        table.deliver_block_to_all(entry, out)
        table.doubt(entry)

    def pull_failed(self, oid: bytes, text: str, out: list[Action]) -> None:
        """The shell could not copy it, and has tried more than once."""
        table = self._table
        entry = table.entries[oid]
        away = entry.away
        assert away is not None
        source = away.source
        self.stop(entry, out)
        if not away.home:
            # It counts as lost there: were it the only copy, the owner makes it again.
            if source in away.places:
                self._drop.setdefault(source, []).append(oid)
            self._forget_place(entry, away, source, out)
        if away.home and not away.sources and not table.peer(source).down:
            table.answer_all(entry, actions.LOST, text, out)
        else:
            self._go_on(entry, away, out)
        table.doubt(entry)

    def _go_on(self, entry: Entry, away: Away, out: list[Action]) -> None:
        """A pull has come to nothing: try elsewhere, if it is still wanted."""
        if entry.copies or not (away.home or away.places):
            self._table.mark_lost(entry, "no copy of it is left", out)
        elif entry.wants:
            if not away.home:
                away.sources = list(away.places)
            self._pull_next(entry, away, out)

    def on_source_down(self, entry: Entry, out: list[Action]) -> None:
        """The node that it is being pulled from is gone. If the shell is at work, it will say that it has failed."""
        assert entry.away is not None
        if entry.block is None:
            self.stop(entry, out)
            self._go_on(entry, entry.away, out)
            self._table.doubt(entry)

    def on_gone(self, node: int, oid: bytes, out: list[Action]) -> None:
        """A node that was asked has no copy any more; home has been told by it."""
        entry = self._table.entries.get(oid)
        if entry is not None and self._expected(entry, node):
            assert entry.away is not None
            self.stop(entry, out)
            if not entry.away.home:
                self._forget_place(entry, entry.away, node, out)
            self._go_on(entry, entry.away, out)
            self._table.doubt(entry)

    def on_at(self, node: int, oid: bytes, places: list[int], out: list[Action]) -> None:
        """Home says where copies are."""
        entry = self._table.entries.get(oid)
        if entry is not None and self._expected(entry, node):
            assert entry.away is not None
            entry.away.sources = list(places)
            self._pull_next(entry, entry.away, out)
            self._table.doubt(entry)

    def on_value(
        self, node: int, oid: bytes, status: int, payload: Any, contains: list[bytes], out: list[Action]
    ) -> None:
        """Home's answer: a small value, or why there is none."""
        table = self._table
        table.holders.take(node, contains, out)
        entry = table.entries.get(oid)
        if entry is None:
            return
        table.doubt(entry)
        if not self._expected(entry, node):
            return
        if entry.state == PULLING:
            self.stop(entry, out)
        if status >= 0:
            assert entry.away is not None
            table.value(entry, INLINE, tuple(contains), out)
            entry.status, entry.payload = status, payload
            entry.away.kept = bool(contains)
        table.answer_all(entry, status, payload, out)

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
            self.fetch(entry, out)
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
            self.stop(entry, out)
        if away.home:
            table.nodes[away.home].homed.pop(entry, None)
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

    def on_keep(self, _node: int, oid: bytes, out: list[Action]) -> None:
        """Our copy is the one that counts now."""
        entry = self._table.entries.get(oid)
        if entry is not None and entry.away is not None:
            entry.away.secondary = False

    # What home knows

    def _note_place(self, entry: Entry, node: int, made: bool) -> None:
        if entry.away is None:
            entry.away = Away(0)
        entry.away.places[node] = made or entry.away.places.get(node, False)
        self._table.peer(node).copies[entry] = None

    def _forget_place(self, entry: Entry, away: Away, node: int, out: list[Action]) -> None:
        away.places.pop(node, None)
        self._table.peer(node).copies.pop(entry, None)
        if entry.state != INLINE:
            self._choose_primary(entry, away, out)

    def _choose_primary(self, entry: Entry, away: Away, out: list[Action]) -> None:
        """One of the copies is kept whatever happens."""
        if any(away.places.values()):
            return
        if entry.state in _HERE:
            away.secondary = False
        elif away.places:
            node = next(iter(away.places))
            away.places[node] = True
            self._table.tell(node, ("keep", entry.oid), out)

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
        self._choose_primary(entry, entry.away, out)
        if table.held(entry):
            for waiting in table.nodes_waiting(entry):
                self._say_where(entry, entry.away, waiting, out)
            if entry.wants:
                self.fetch(entry, out)

    def lose_place(self, node: int, oid: bytes, out: list[Action]) -> None:
        """It has no copy any more."""
        entry = self._table.entries.get(oid)
        if entry is not None and entry.away is not None and node in entry.away.places:
            self._forget_place(entry, entry.away, node, out)
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
