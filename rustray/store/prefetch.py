"""Values that are brought here before anybody asks: arguments of tasks that will run on this node.

Who has the tasks sends *hints*. A hint is a want of a client that is nobody: it reads nothing when the value is
there, so what was brought is a copy like others, which home may drop and which goes when room is needed.

Rule 1. At most `AT_ONCE` are on their way: all that comes from a node shares a channel, and the first is needed first.
Rule 2. A hint takes free room, or that of copies that are elsewhere too. It makes nobody's object go to disk, does not
        wait for room, and is forgotten when there is none.
Rule 3. A hint is no hold: who sends it keeps the object until the task has answered (Rule 3 of ARCHITECTURE). One that
        comes too late finds that nobody held it, and that is all.

Pure: it appends actions to the list it is given.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rustray.model.ids import NODE_SHIFT, home_of

from .actions import Action
from .entries import REMOTE, SPILLED, UNKNOWN, Client, Entry

if TYPE_CHECKING:
    from .object_table import ObjectTable

AT_ONCE = 2
KEPT = 256
"""Hints that wait for their turn; the oldest are forgotten."""


class Prefetch:
    """The hints of one node."""

    def __init__(self, table: ObjectTable) -> None:
        self._table = table
        self.client = 0
        """In whose name they want; 0 as long as there are no other nodes."""
        self._hints: dict[bytes, None] = {}
        self._coming: dict[Entry, None] = {}

    def join(self, own: int) -> None:
        """This node has a number now. The last client number of a node is nobody's."""
        self.client = (own + 1 << NODE_SHIFT) - 1
        self._table.clients[self.client] = Client()
        self._table.room.connect(self.client)

    def hint(self, oids: Iterable[bytes]) -> None:
        """These will be wanted soon, in this order."""
        for oid in oids:
            self._hints[oid] = None
        while len(self._hints) > KEPT:
            del self._hints[next(iter(self._hints))]

    def go_on(self, out: list[Action]) -> bool:
        """Ask for those whose turn it is. Whether there was any."""
        if not self._hints or len(self._coming) >= AT_ONCE:
            return False
        table = self._table
        while self._hints and len(self._coming) < AT_ONCE:
            oid = next(iter(self._hints))
            del self._hints[oid]
            if oid not in table.entries and home_of(oid) == table.nodes.own:
                continue  # it has gone, or is not known yet
            entry = table.entry(oid)
            elsewhere = entry.away is not None and entry.away.home
            lacking = entry.state in (REMOTE, SPILLED) or elsewhere and entry.state == UNKNOWN
            if lacking and not entry.wants and entry not in table.shortage:
                self._coming[entry] = None
                table.await_value(entry, self.client, out)
        return True

    def is_all(self, entry: Entry) -> bool:
        """Whether nobody else wants it (Rule 2)."""
        return len(entry.wants) == 1 and self.client in entry.wants

    def over(self, entry: Entry) -> None:
        """It is here, or cannot be had."""
        self._coming.pop(entry, None)

    def forget(self, entry: Entry) -> None:
        """There is no room for it."""
        if self.client in entry.wants:
            del entry.wants[self.client]
            del self._table.clients[self.client].wanted[entry]
            self.over(entry)
