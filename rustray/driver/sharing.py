"""References that leave this process and that come to it: Rules 1 to 4 of ARCHITECTURE.md."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rustray.driver.entry import PENDING, Entry
from rustray.driver.objects import published
from rustray.driver.refs import ObjectRef
from rustray.errors import SessionError

if TYPE_CHECKING:
    from rustray.driver.session import Session

ESCAPE_BATCH = 300
"""Messages in one frame about refs that leave this process together; each may have a value of INLINE_LIMIT."""

HOLD_BATCH = 10_000
"""Refs in one message."""


class Sharing:
    """What one session shares with other processes."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._table = session.objects
        self._lending = threading.local()

    # -- references that come --------------------------------------------------------------------------

    def ref_of(self, oid: bytes) -> ObjectRef:
        """The reference that a pickle names: made while a value is being read (Rules 2 to 4)."""
        with self._table.lock:
            return self._table.new_ref(self.entry_of(oid))

    def entry_of(self, oid: bytes) -> Entry:
        """The entry of `oid`, made when this process sees the id for the first time. Caller has `lock`."""
        entry = self._table.entries.get(oid)
        if entry is None:
            entry = self._table.enter(oid)
            lent = getattr(self._lending, "entries", None)
            if lent is None:
                # Read from an object that we hold: our hold reaches the node before that one's release.
                entry.held = 1
                holds = getattr(self._lending, "holds", None)
                if holds is None:
                    self._session.tell(("hold", [oid]))
                else:
                    holds.append(oid)
            else:
                lent.append(entry)
        elif not entry.held:
            lent = getattr(self._lending, "entries", None)
            if lent is not None and not entry.owned:
                lent.append(entry)
        return entry

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While a value is read that this process holds: holds of the refs met in it are made together, at the end."""
        before = getattr(self._lending, "holds", None)
        holds: list[bytes] = []
        self._lending.holds = holds
        try:
            yield
        finally:
            self._lending.holds = before
            for first in range(0, len(holds), HOLD_BATCH):
                self._session.tell(("hold", holds[first : first + HOLD_BATCH]))

    @contextmanager
    def lending(self, lent: list[Entry]) -> Iterator[None]:
        """While arguments are read: refs in them are pinned by their sender until the task answers."""
        self._lending.entries = lent
        try:
            yield
        finally:
            self._lending.entries = None

    def borrowed(self, lent: list[Entry]) -> list[bytes]:
        """The ids of `lent` still referred to here, or passed on: the sender makes a hold for each (Rule 3).

        Also of those that somebody has made a hold for meanwhile: he may have had them from us.
        """
        if self._table.view_dropped:
            with self._table.lock:
                self._table.tell_unread(self._table.ended_views())
        self._table.settle_drops()
        kept = []
        with self._table.lock:
            for entry in dict.fromkeys(lent):
                if entry.count > 0 or entry.passed:
                    entry.passed = False
                    entry.held += 1
                    kept.append(entry.id)
                if entry.count == 0:
                    self._table.forget(entry)
        return kept

    def hold_for(self, client: int, oids: list[bytes]) -> None:
        """Have these held for `client`, who goes on using what we lent him (Rule 3)."""
        with self._table.lock:
            for oid in oids:
                entry = self._table.entries.get(oid)
                if entry is not None:
                    entry.passed = True
            self._session.tell(("hold_for", client, oids))

    def unpin_lent(self, entry: Entry) -> None:
        """Count down without forgetting: `borrowed` decides when the task has ended."""
        with self._table.lock:
            entry.count -= 1

    # -- references that go ----------------------------------------------------------------------------

    def escape(self, refs: Sequence[ObjectRef]) -> tuple[Entry, ...]:
        """The entries of `refs`, made known to the node, because they are about to leave this process."""
        entries = tuple(ref._entry for ref in refs)
        if any(type(ref) is ObjectRef and ref._table is not self._table for ref in refs):
            raise SessionError.shut_down("Pickling an ObjectRef")
        with self._table.lock:
            messages: list[tuple[Any, ...]] = []
            for entry in entries:
                if entry.known:
                    entry.passed = True
                else:
                    entry.known = True
                    entry.held += 1
                    self._table.entries[entry.id] = entry
                    messages += (("hold", [entry.id]), ("declare", entry.id))  # Rule 8
                    if entry.state != PENDING:
                        messages.append(published(entry))
                    if len(messages) > ESCAPE_BATCH:
                        self._session.tell(*messages)
                        messages = []
            if messages:
                self._session.tell(*messages)
        return entries

    def publish_new(self, entry: Entry, contains: tuple[Entry, ...]) -> None:
        """Make an owned, settled entry known to the node at once; it keeps `contains` alive."""
        with self._table.lock:
            self._table.pin(contains)
            entry.contains = contains
            entry.known = True
            entry.held += 1
            self._table.entries[entry.id] = entry
            self._session.tell(("hold", [entry.id]), ("declare", entry.id), published(entry))

    def let_contents_go(self, oid: bytes) -> None:
        """The object `oid`, owned here, needs what it contains no more."""
        with self._table.lock:
            entry = self._table.entries.get(oid)
            if entry is not None and entry.contains:
                contains, entry.contains = entry.contains, ()
                self._session.tell(published(entry))
                self._table.unpin(contains)

    def keep_for_ever(self, ref: ObjectRef) -> None:
        """`ref` was pickled by the user himself: nobody can tell when that copy dies."""
        self._table.pin(self.escape([ref]))
