"""What finds no room, values that are wanted here and clients that want to write one: it waits until something goes.

Rule 1. What waits keeps nothing: it is not in the queue for room, and no other node offers it a block, which could not
        move then. So two nodes that wait for what the other is to give do not stop each other.
Rule 2. Nor do they give way to each other for ever: an offer is kept as long as a node with a higher number than ours
        reads here. That one is done soon, or finds no room and looks away; then we try with the offer in hand.
Rule 3. Whenever a block has been freed or is no longer read, those for which there may be room now begin anew, in
        order. A big one may be passed by a small one.
Rule 4. A value is *hopeless* when all who keep something in place wait for values here themselves, or when nobody does
        (the disk refuses what could go): then nobody will make room. All others may wait as long as they like. Who
        wants to write waits as long as the shell says.

Pure: it appends actions to the list it is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import actions
from .actions import Action, Delayed, Full, Short
from .allocator import MIB
from .entries import PULLING, RESTORING, SPILLED, Entry, Request

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
        self._waiting: dict[Entry | Request, str] = {}  # and why there was no room

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, entry: Entry) -> bool:
        return entry in self._waiting

    def begin(self, waiting: Entry | Request, why: str, out: list[Action]) -> None:
        """There is no room for a value, or for what a client is to write."""
        self._waiting[waiting] = why
        if isinstance(waiting, Entry):
            out.append(Short(waiting.oid))
        else:
            assert waiting.client is not None
            out.append(Delayed(waiting.client, waiting.number))

    def end(self, entry: Entry) -> None:
        """It has a value, is gone, or nobody wants it any more."""
        self._waiting.pop(entry, None)

    def disconnect(self, client: int) -> None:
        """A client has gone, and writes nothing any more."""
        for request in self._requests(client):
            del self._waiting[request]

    def _requests(self, client: int) -> list[Request]:
        return [one for one in self._waiting if isinstance(one, Request) and one.client == client]

    def keeps_offers(self) -> bool:
        """Whether what waits now keeps the offer of another node (Rule 2)."""
        nodes = self._table.nodes
        return any(node.number > nodes.own and node.reading for node in nodes)

    def look(self, out: list[Action]) -> bool:
        """Begin anew with what may find room (Rule 3). Whether there was any."""
        table = self._table
        if not self._waiting or not table.room.allocator.eased:
            return False
        table.room.allocator.eased = False
        keeps = self.keeps_offers()
        begun = []
        for waiting in self._waiting:
            if isinstance(waiting, Entry) and not waiting.wants or table.room.promises(waiting.size):
                begun.append(waiting)
            elif isinstance(waiting, Entry) and waiting.state == PULLING and not keeps:
                table.pulls.stop(waiting, out)
        for waiting in begun:
            del self._waiting[waiting]
            if isinstance(waiting, Request):
                table.room.ask(waiting, out)
            elif not waiting.wants:
                if waiting.state == PULLING:
                    table.pulls.stop(waiting, out)
                table.doubt(waiting)
            elif waiting.state == PULLING:
                table.ask_room(waiting, out)
            elif waiting.state == SPILLED:
                table.enter(waiting, RESTORING)
                table.ask_room(waiting, out)
            else:
                table.pulls.fetch(waiting, out)
        return bool(begun)

    def outlook(self, oid: bytes) -> Outlook | None:
        """How it is with a value that was said to be short of room; None if it is not any more."""
        entry = self._table.entries.get(oid)
        if entry is None or entry not in self._waiting or not entry.wants:
            return None
        in_the_way = self._in_the_way()
        patient = {client for one in self._waiting if isinstance(one, Entry) for client in one.wants}
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
            if entry.state == PULLING:
                self._table.pulls.stop(entry, out)
            self._table.answer_all(entry, actions.STORE_FULL, text, out)
            self._table.doubt(entry)

    def refuse(self, client: int, number: int, out: list[Action]) -> None:
        """A client's request has waited long enough, if it still waits."""
        for request in self._requests(client):
            if request.number == number:
                out.append(Full(client, number, self._text(request, client, self._in_the_way())))
                del self._waiting[request]

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

    def _text(self, waiting: Entry | Request, client: int, in_the_way: dict[int, int]) -> str:
        table = self._table
        text = table.room.needs(waiting.size)
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
            return self._waiting[waiting]
        return (
            f"{text}. Kept in place by who reads or writes it are {', '.join(held)}"
            ". Delete arrays that are no longer needed (views of objects keep them in memory), use smaller objects, or"
            " a larger object_store_memory"
        )
