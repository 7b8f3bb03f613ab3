"""Bringing values here that are on other nodes.

Home answers a want with the value itself, or with an offer of its own copy, or with the nodes that have one. An offer
means that the source keeps the block in place, as for any reader. Then room is asked for, the shell copies the bytes,
and the source is told that it has been read. What comes to nothing is tried with the next node, then with home again.

Pure: it appends actions to the list it is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import actions
from .actions import Action, PullIn
from .allocator import Block
from .entries import BLOCK, INLINE, PULLING, REMOTE, UNKNOWN, Away, Entry

if TYPE_CHECKING:
    from .object_table import ObjectTable


class Pulls:
    """What is on its way here."""

    def __init__(self, table: ObjectTable) -> None:
        self._table = table

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
            if source != table.nodes.own and not table.peer(source).down:
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
        source = self._table.peer(away.source)
        source.pulls.pop(entry, None)
        self._table.nodes.doubt(source)
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
            table.copies.choose_primary(entry, away, out)
            table.evacuation.relieve(entry, away, out)
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
            table.copies.drop(entry, away, source)
            table.copies.forget_place(entry, away, source, out)
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
            self._table.shortage.end(entry)
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
                self._table.copies.forget_place(entry, entry.away, node, out)
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
