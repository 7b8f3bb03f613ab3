"""What a node that leaves in an orderly way takes care of: values that would go with it.

The node that leaves asks the homes of the values that it keeps (`evacuate`), and stays until they count on it no more
(`drop`). What its own clients own ends with it.

Rule 1. A copy goes only when another is sure to stay: the one at home, or one whose node has answered `keep` by `kept`.
        That of a node which leaves too does not count.
Rule 2. If there is none, home pulls the value, though nobody there wants it. It goes to disk like any other.
Rule 3. What can never have room at home is given up: its owner makes it again when it is wanted. What has none now, or
        cannot be fetched, is asked for again by the node that leaves, once in a while and as long as it stays.

Pure: it appends actions to the list it is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .actions import Action
from .allocator import MIB, pages
from .entries import BLOCK, INLINE, REMOTE, RESTORING, SPILLED, SPILLING, Away, Entry

if TYPE_CHECKING:
    from .object_table import ObjectTable

AT_ONCE_BYTES = 256 * MIB
"""What a home is asked for at a time: it must not fill its memory with blocks that wait for their bytes."""

_HERE = (BLOCK, SPILLING, SPILLED, RESTORING)


class Evacuation:
    """Both sides of it."""

    def __init__(self, table: ObjectTable) -> None:
        self._table = table
        self._asked: set[bytes] = set()

    # The node that leaves

    def ask(self, again: bool, out: list[Action]) -> None:
        """Ask homes for what has come up since the last time, or (`again`) for all that is still kept here."""
        asked = set()
        for number, entries in self._kept():
            due, size = [], 0
            for entry in entries:
                if size > AT_ONCE_BYTES:
                    break
                size += entry.size
                asked.add(entry.oid)
                if again or entry.oid not in self._asked:
                    due.append(entry.oid)
            if due:
                self._table.tell(number, ("evacuate", due), out)
        self._asked = asked

    def left(self) -> set[bytes]:
        """Objects of other nodes whose values would go with this one."""
        return {entry.oid for _number, entries in self._kept() for entry in entries}

    def _kept(self) -> list[tuple[int, list[Entry]]]:
        """By home. Home itself has the small ones."""
        found = []
        for node in self._table.nodes:
            entries = [entry for entry in node.homed if entry.state != INLINE and _is_primary(entry)]
            if entries:
                found.append((node.number, entries))
        return found

    # Home

    def on_evacuate(self, node: int, oids: list[bytes], out: list[Action]) -> None:
        """A node of which we have counted on these is about to leave."""
        self._table.peer(node).leaving = True
        for oid in oids:
            entry = self._table.entries.get(oid)
            if entry is not None and entry.away is not None and node in entry.away.places:
                self._evacuate(entry, entry.away, node, out)

    def _evacuate(self, entry: Entry, away: Away, node: int, out: list[Action]) -> None:
        table = self._table
        if entry.state in _HERE:
            self.relieve(entry, away, out)
        elif staying := [place for place in away.places if not table.peer(place).leaving]:
            # The first that was made or is kept, if any: another one may have been dropped by now.
            table.copies.keep_at(entry, away, max(staying, key=away.places.__getitem__), out)
        elif entry.state == REMOTE and entry not in table.shortage:
            if pages(entry.size) <= table.room.allocator.capacity:
                table.pulls.fetch(entry, out)
            else:
                table.copies.drop(entry, away, node)
                table.copies.lose_place(node, entry.oid, out)

    def on_kept(self, node: int, oid: bytes, out: list[Action]) -> None:
        """The copy there stays."""
        entry = self._table.entries.get(oid)
        if entry is None or entry.away is None or node not in entry.away.places:
            return
        if not self._table.peer(node).leaving:
            self.relieve(entry, entry.away, out)

    def relieve(self, entry: Entry, away: Away, out: list[Action]) -> None:
        """There is a copy that stays: nodes that leave need not keep theirs."""
        for node in [node for node in away.places if self._table.peer(node).leaving]:
            if entry.state in _HERE:
                away.secondary = False
            self._table.copies.drop(entry, away, node)
            self._table.copies.forget_place(entry, away, node, out)


def _is_primary(entry: Entry) -> bool:
    away = entry.away
    return away is not None and away.kept and not away.secondary
