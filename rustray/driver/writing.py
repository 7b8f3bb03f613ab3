"""Making objects of values: `put`, and arguments that are too big for a message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rustray import serialization
from rustray.driver.entry import BLOCK, VALUE, Entry
from rustray.driver.packing import INLINE_LIMIT, inline, packed_size
from rustray.driver.refs import ObjectRef

if TYPE_CHECKING:
    from rustray.driver.session import Session

_PRIMITIVES = frozenset({int, float, str, bytes, bool, type(None)})


class Writer:
    """`put` of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._table = session.objects

    def put(self, value: Any) -> ObjectRef:
        """Store `value`; small ones stay in this process until they leave it."""
        self._table.settle_drops()
        entry = Entry(self._session.new_object_id(), owned=True)
        if type(value) in _PRIMITIVES and (type(value) not in (str, bytes) or len(value) < INLINE_LIMIT // 4):
            entry.state = VALUE
            entry.payload = serialization.serialize(value).pickle
        else:
            packed = serialization.serialize(value, "the value given to put()")
            contained = self._session.sharing.escape(packed.refs) if packed.refs else ()
            if packed_size(packed) >= INLINE_LIMIT:
                entry = self.put_packed(packed, contained)
            else:
                entry.state, entry.payload = VALUE, inline(packed)
                self._table.pin(contained)
                entry.contains = contained
        entry.count = 1
        return ObjectRef(self._table, entry)

    def put_packed(self, packed: serialization.Packed, contained: tuple[Entry, ...]) -> Entry:
        """Store a big packed value in shared memory. The entry is not counted yet."""
        entry = Entry(self._session.new_object_id(), owned=True)
        blocks = self._session.blocks
        entry.payload = location = blocks.write(packed)
        entry.known = True
        entry.held = 1
        entry.state = BLOCK
        entry.reading = True
        with self._session.reactor.shield, self._table.lock:
            blocks.seal(entry.id, location, [inner.id for inner in contained], self._session.client)
            self._table.fresh.append(entry)
            self._table.pin(contained)
            entry.contains = contained
            self._table.entries[entry.id] = entry
        return entry
