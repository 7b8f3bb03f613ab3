"""Who holds an object, across nodes.

The *home* of an object, its owner's node, counts its holders: its own clients one by one, and every other node as
one client. A node counts its own clients itself, and is *registered* at home while one of its counts is not zero
or a value that is here contains the object. What is told from one node to another arrives in order; what comes from
two nodes does not. Hence:

Rule 1. Who tells another node of an object has it held for that node first (`give`): at home by counting it there, so
        that its registration is in place before it knows; elsewhere by a hold of its own (*transit*) that ends when
        home says that the other has registered itself. What is told to home itself needs nothing: our own release
        comes after it.
Rule 2. Who is told (`take`) counts itself registered, and has home count it too unless home was the teller. So the
        counts of a node are changed by that node and by home alone, and the end of a third leaves nothing wrong.
Rule 3. A registration ends as a whole, with all that home has counted for this node.

Pure: it appends actions to the list it is given.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rustray.model.ids import home_of, node_client, node_of

from .actions import Action, Tell

if TYPE_CHECKING:
    from .entries import Away, Entry
    from .object_table import ObjectTable


class Holders:
    """The holds that nodes have for one another."""

    def __init__(self, table: ObjectTable) -> None:
        self._table = table
        self._hold: dict[int, list[bytes]] = {}  # home: what to register, at the end of this call
        self._release: dict[int, list[bytes]] = {}

    def give(self, node: int, oids: Iterable[bytes]) -> None:
        """These are about to be told to `node` (Rule 1)."""
        table = self._table
        to = table.peer(node)
        if to.down:
            return
        for oid in oids:
            if home_of(oid) != node:
                entry = table.entry(oid)
                if entry.away is not None and entry.away.home and table.nodes[entry.away.home].down:
                    table.doubt(entry)  # home will never say that it has been taken
                else:
                    table.count(entry, to.client, 1)

    def take(self, node: int, oids: Iterable[bytes], out: list[Action]) -> None:
        """`node` has told us of these (Rule 2). The caller counts whoever they are for."""
        table = self._table
        others: dict[int, list[bytes]] = {}
        for oid in oids:
            entry = table.entry(oid)
            table.doubt(entry)
            away = entry.away
            if away is None or not away.home or table.nodes[away.home].down:
                continue
            away.registered += 1
            if away.home != node:
                others.setdefault(away.home, []).append(oid)
        for home, theirs in others.items():
            out.append(Tell(home, ("take_over", node, theirs)))

    def hold_for(self, client: int, oids: Iterable[bytes], out: list[Action]) -> None:
        """A client of ours hands these to a client of another node."""
        oids = list(oids)
        node = node_of(client)
        self.give(node, oids)
        self._table.tell(node, ("hold_for", client, oids), out)

    def settle(self, entry: Entry, away: Away) -> None:
        """Register an object of another node at home, or end that, as somebody here holds it or not."""
        if entry.holds or entry.inside:
            if not away.registered and not self._table.nodes[away.home].down:
                away.registered = 1
                self._hold.setdefault(away.home, []).append(entry.oid)
        elif away.registered:
            self._release.setdefault(away.home, []).extend([entry.oid] * away.registered)
            away.registered = 0

    def tell_homes(self, out: list[Action]) -> None:
        """Send what `settle` has found."""
        for op, by_home in (("hold", self._hold), ("release", self._release)):
            for home, oids in by_home.items():
                self._table.tell(home, (op, oids), out)
            by_home.clear()

    # What other nodes tell

    def on_hold(self, node: int, oids: list[bytes], out: list[Action]) -> None:
        """It registers."""
        for oid in oids:
            self._table.count(self._table.entry(oid), node_client(node), 1)

    def on_release(self, node: int, oids: list[bytes], out: list[Action]) -> None:
        """It ends registrations."""
        for oid in oids:
            self._table.count(self._table.entry(oid), node_client(node), -1)

    def on_hold_for(self, node: int, client: int, oids: list[bytes], out: list[Action]) -> None:
        """A client there has handed these to one of ours."""
        self.take(node, oids, out)
        if client in self._table.clients:
            for oid in oids:
                self._table.count(self._table.entry(oid), client, 1)

    def on_take_over(self, node: int, giver: int, oids: list[bytes], out: list[Action]) -> None:
        """`node` registers for what `giver` has told it of, which need not hold it for `node` any longer."""
        self.on_hold(node, oids, out)
        self._table.tell(giver, ("taken", node, oids), out)

    def on_taken(self, _node: int, taker: int, oids: list[bytes], out: list[Action]) -> None:
        """`taker` has registered at home."""
        client = node_client(taker)
        for oid in oids:
            entry = self._table.entries.get(oid)
            if entry is not None and client in entry.holds:
                self._table.count(entry, client, -1)

    def on_borrow(self, node: int, client: int, oids: list[bytes], out: list[Action]) -> None:
        """A client there goes on using what something of ours lent it: as if that handed it over."""
        self.hold_for(client, oids, out)
