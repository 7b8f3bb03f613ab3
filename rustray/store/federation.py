"""The ledgers of several nodes as one: what they tell each other, and what the end of a node means.

Messages from one node arrive in the order they were sent, each once, until the node is *down*: for good, and as the
head decides. `holders.py`, `copies.py`, `pulls.py` and `evacuation.py` say what they are for:

    ("hold", oids) ("release", oids)                        to home: this node is registered, no longer
    ("hold_for", client, oids)                              one of your clients holds these
    ("take_over", giver, oids) -> giver: ("taken", taker, oids)   to home: registered for what `giver` told
    ("borrow", client, oids)                                hand these to a client of mine
    ("want", oid) ("want_again", oid) ("unwant", oid)       to home
        -> ("value", oid, status, payload, contains) | ("at", oid, nodes) | ("source", oid, size, contains)
    ("pull", oid) -> ("source", ...) | ("gone", oid)        to a node with a copy
    ("unread", oid)                                         what `source` named has been read
    ("prefetch", oids)                                      tasks that will run at yours want these
    ("copy", oid, size, holder) ("have", oid, size) ("evicted", oid)     to home: made here, pulled here, dropped here
    ("drop", oids) ("keep", oid) -> ("kept", oid)           home to a node with a copy
    ("evacuate", oids)                                      to home, of a node that leaves and keeps these
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from . import actions
from .actions import Action
from .entries import PENDING, UNKNOWN, Entry
from .object_table import ObjectTable


class Federation:
    """The other nodes, as the ledger of this one sees them. Each method returns what the shell has to do."""

    def __init__(self, table: ObjectTable) -> None:
        self._table = table
        holders, copies, pulls = table.holders, table.copies, table.pulls
        self._handlers: dict[str, Callable[..., None]] = {
            "hold": holders.on_hold,
            "release": holders.on_release,
            "hold_for": holders.on_hold_for,
            "take_over": holders.on_take_over,
            "taken": holders.on_taken,
            "borrow": holders.on_borrow,
            "want": copies.on_want,
            "want_again": copies.on_want_again,
            "unwant": copies.on_unwant,
            "value": pulls.on_value,
            "at": pulls.on_at,
            "source": pulls.on_source,
            "pull": copies.on_pull,
            "gone": pulls.on_gone,
            "unread": self._on_unread,
            "prefetch": lambda _node, oids, _out: table.prefetch.hint(oids),
            "copy": copies.on_copy,
            "have": copies.on_have,
            "evicted": copies.lose_place,
            "drop": copies.on_drop,
            "keep": copies.on_keep,
            "kept": table.evacuation.on_kept,
            "evacuate": table.evacuation.on_evacuate,
        }

    def join(self, node: int, others: Iterable[int]) -> None:
        """This node has a number now. Before the first client connects.

        `others` are the nodes that are up.
        """
        self._table.nodes.join(node, others)
        self._table.prefetch.join(node)

    def told(self, node: int, messages: Iterable[tuple[Any, ...]]) -> list[Action]:
        """What another node's ledger says."""
        out: list[Action] = []
        if not self._table.peer(node).down:
            for op, *fields in messages:
                self._handlers[op](node, *fields, out)
        return self._table.done(out)

    def down(self, node: int) -> list[Action]:
        """A node is gone for good, with its copies, and with the truth about the objects whose home it was.

        What it held stays held until `forget`: it may have handed that on to nodes that are about to register.
        """
        out: list[Action] = []
        table = self._table
        gone = table.peer(node)
        if gone.down:
            return out
        table.nodes.bury(gone)
        for entry in list(gone.homed):
            self._orphan(entry, out)
        for entry in list(gone.copies):
            table.copies.lose_place(node, entry.oid, out)
        for entry in list(gone.pulls):
            table.pulls.on_source_down(entry, out)
        for entry in gone.wanted:
            del entry.wants[gone.client]
            if entry.state != PENDING:
                table.doubt(entry)
        for entry in gone.reading:
            del entry.readings[gone.client]
            table.doubt(entry)
        gone.wanted.clear()
        gone.reading.clear()
        table.room.allocator.eased = True
        return table.done(out)

    def forget(self, node: int) -> list[Action]:
        """Some seconds after `down`: nothing that it has told others is on its way any more."""
        table = self._table
        gone = table.peer(node)
        if table.clients.pop(gone.client, None) is not None:
            for entry in gone.held:
                del entry.holds[gone.client]
                table.doubt(entry)
            gone.held.clear()
        table.nodes.doubt(gone)
        return table.done([])

    def _orphan(self, entry: Entry, out: list[Action]) -> None:
        """Its home is down: what is here serves those who are here."""
        table, away = self._table, entry.away
        assert away is not None
        away.registered = 0
        away.asked = away.kept = away.secondary = False
        away.sources = []
        for client in [client for client in entry.holds if table.is_node(client)]:
            table.count(entry, client, -entry.holds[client])
        if entry.state == UNKNOWN:
            table.answer_all(entry, actions.OWNER_DIED, None, out)
        table.doubt(entry)

    def _on_unread(self, node: int, oid: bytes, out: list[Action]) -> None:
        table = self._table
        entry = table.entries.get(oid)
        client = table.peer(node).client
        if entry is not None and client in entry.readings:
            table.end_reading(entry, client)
            table.doubt(entry)

    # An orderly end of this node

    def evacuate(self, again: bool) -> list[Action]:
        """See to it that the values of other nodes' objects which are kept here are kept elsewhere.

        again: ask for those too that have been asked for; now and then.
        """
        out: list[Action] = []
        self._table.evacuation.ask(again, out)
        return self._table.done(out)

    def left(self) -> set[bytes]:
        """Objects of other nodes whose values would go with this one."""
        return self._table.evacuation.left()

    # Pulls, for the shell

    def place_for(self, node: int, oid: bytes) -> tuple[int, int, int] | None:
        """(segment, offset, size) of an object that is kept in place for `node`; None if none is."""
        entry = self._table.entries.get(oid)
        if entry is None or entry.block is None or self._table.peer(node).client not in entry.readings:
            return None
        return entry.block.segment.number, entry.block.offset, entry.size

    def pulled(self, oid: bytes) -> list[Action]:
        """The value is in its block."""
        out: list[Action] = []
        self._table.pulls.pulled(oid, out)
        return self._table.done(out)

    def pull_failed(self, oid: bytes, text: str) -> list[Action]:
        """The value could not be fetched from that node."""
        out: list[Action] = []
        self._table.pulls.pull_failed(oid, text, out)
        return self._table.done(out)
