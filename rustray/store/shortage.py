"""Values that are wanted here and have found no room: they wait until something goes.

Rule 1. Who waits keeps nothing: no request in the queue, no offer of another node, whose block could not move then. So
        two nodes that wait for what the other is to give do not stop each other.
Rule 2. Whenever a block has been freed or is no longer read, those for which there may be room now begin anew, in
        order. A big one may be passed by a small one.
Rule 3. It is *hopeless* when all who keep something in place wait here themselves, or when nobody does (the disk
        refuses what could go): then nobody will make room. All others may wait as long as they like.

Pure: it appends actions to the list it is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import actions
from .actions import Action, Short
from .allocator import MIB
from .entries import RESTORING, SPILLED, Entry

if TYPE_CHECKING:
    from .object_table import ObjectTable


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is to be said of a value that waits for room.

    hopeless: nobody will make room. told: (client, text for people) for each client of this node that wants it.
    """

    hopeless: bool
    told: list[tuple[int, str]]


class Shortage:
    """What waits for room."""

    def __init__(self, table: ObjectTable) -> None:
        self._table = table
        self._waiting: dict[Entry, str] = {}  # and why there was no room

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, entry: Entry) -> bool:
        return entry in self._waiting

    def begin(self, entry: Entry, why: str, out: list[Action]) -> None:
        """There is no room for it now."""
        self._waiting[entry] = why
        out.append(Short(entry.oid))

    def end(self, entry: Entry) -> None:
        """It has a value, is gone, or nobody wants it any more."""
        self._waiting.pop(entry, None)

    def look(self, out: list[Action]) -> bool:
        """Begin anew with what may find room (Rule 2). Whether there was any."""
        room = self._table.room
        if not self._waiting or not room.allocator.eased:
            return False
        room.allocator.eased = False
        begun = [entry for entry in self._waiting if not entry.wants or room.promises(entry.size)]
        for entry in begun:
            del self._waiting[entry]
            if not entry.wants:
                self._table.doubt(entry)
            elif entry.state == SPILLED:
                self._table.enter(entry, RESTORING)
                self._table.ask_room(entry, out)
            else:
                self._table.pulls.fetch(entry, out)
        return bool(begun)

    def outlook(self, oid: bytes) -> Outlook | None:
        """How it is with a value that was said to be short of room; None if it is not any more."""
        entry = self._table.entries.get(oid)
        if entry is None or entry not in self._waiting or not entry.wants:
            return None
        in_the_way = self._in_the_way()
        patient = {client for waiting in self._waiting for client in waiting.wants}
        told = [
            (client, self._text(entry, client, in_the_way))
            for client in entry.wants
            if not self._table.is_node(client)
        ]
        return Outlook(in_the_way.keys() <= patient, told)

    def give_up(self, oid: bytes, out: list[Action]) -> None:
        """Answer those who want it: a later want tries again."""
        entry = self._table.entries.get(oid)
        if entry is not None and entry in self._waiting:
            text = self._text(entry, 0, self._in_the_way())
            del self._waiting[entry]
            self._table.answer_all(entry, actions.STORE_FULL, text, out)
            self._table.doubt(entry)

    def _in_the_way(self) -> dict[int, int]:
        """Bytes that may not be moved, by who reads or writes them; what two read counts for both."""
        found: dict[int, int] = {}
        for client, blocks in self._table.room.unsealed.items():
            if blocks:
                found[client] = sum(block.size for block in blocks.values())
        for segment in self._table.room.allocator.segments.values():
            for block in segment.blocks.values():
                for reader in block.entry.readings if block.entry is not None else ():
                    found[reader] = found.get(reader, 0) + block.size
        return found

    def _text(self, entry: Entry, client: int, in_the_way: dict[int, int]) -> str:
        table = self._table
        text = table.room.needs(entry.size)
        mine = in_the_way.get(client, 0)
        others = {who: size for who, size in in_the_way.items() if who != client}
        held = []
        if mine:
            held.append(f"{mine / MIB:,.1f} MiB by this process")
        for what, nodes in (("other process", False), ("node", True)):
            sizes = [size for who, size in others.items() if table.is_node(who) == nodes]
            if sizes:
                plural = "" if len(sizes) == 1 else "es" if not nodes else "s"
                held.append(f"{sum(sizes) / MIB:,.1f} MiB by {len(sizes)} {what}{plural}")
        if not held:
            return self._waiting[entry]
        return (
            f"{text}. Kept in place by who reads or writes it are {', '.join(held)}"
            ". Delete arrays that are no longer needed (views of objects keep them in memory), use smaller objects, or"
            " a larger object_store_memory"
        )
