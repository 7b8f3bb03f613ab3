"""The objects that a client process owns or refers to, and their exact counting.

ARCHITECTURE.md, "Objects and their references", has the rules; the numbers here name them. `lock` guards
counts and states. References die at any moment in any thread, so `ObjectRef.__del__` only appends
to `dropped`; :meth:`ObjectTable.settle_drops` takes the consequences at the next call.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rustray import serialization
from rustray.driver import failures
from rustray.driver.entry import BLOCK, ERROR, PENDING, VALUE, Entry
from rustray.driver.refs import ObjectRef
from rustray.errors import SessionError

if TYPE_CHECKING:
    from rustray.driver.session import Session
    from rustray.driver.task import Task

INLINE_LIMIT = 100 * 1024
"""Bytes; a value from this size on lies in shared memory (Ray's limit too)."""

ESCAPE_BATCH = 300
"""Messages in one frame about refs that leave this process together; each may have a value of INLINE_LIMIT."""

_PRIMITIVES = frozenset({int, float, str, bytes, bool, type(None)})

Packed = bytes | tuple[bytes, tuple[bytes, ...]]


class ObjectTable:
    """Entries by id, for one session."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._entries: dict[bytes, Entry] = {}
        self.lock = threading.RLock()
        self.dropped: deque[Entry] = deque()
        self.view_dropped: deque[Entry] = deque()
        self.dropped_streams: deque[Task] = deque()
        self._fresh: list[Entry] = []
        self._fresh_before: list[Entry] = []
        self._release: list[bytes] = []
        self._unread: list[bytes] = []
        self._lineage: dict[bytes, Any] = {}
        self._lost: set[bytes] = set()
        """Pending objects that the store has asked for."""
        self._lending = threading.local()

    # -- references ------------------------------------------------------------------------------------

    def new_ref(self, entry: Entry) -> ObjectRef:
        """A reference to `entry`, counted."""
        with self.lock:
            entry.count += 1
        return ObjectRef(self, entry)

    def ref_of(self, oid: bytes) -> ObjectRef:
        """The reference that a pickle names: made while a value is being read (Rules 2 to 4)."""
        with self.lock:
            return self.new_ref(self.entry_of(oid))

    def entry_of(self, oid: bytes) -> Entry:
        """The entry of `oid`, made when this process sees the id for the first time. Caller has `lock`."""
        entry = self._entries.get(oid)
        if entry is None:
            entry = self._enter(oid)
            lent = getattr(self._lending, "entries", None)
            if lent is None:
                # Read from an object that we hold: our hold reaches the node before that one's release.
                entry.held = 1
                self.session.tell(("hold", [oid]))
            else:
                lent.append(entry)
        elif not entry.held:
            lent = getattr(self._lending, "entries", None)
            if lent is not None and not entry.owned:
                lent.append(entry)
        return entry

    def known_entry(self, oid: bytes) -> Entry | None:
        """The entry of `oid` if the table has one. Caller has `lock`."""
        return self._entries.get(oid)

    def _enter(self, oid: bytes) -> Entry:
        """An entry for an id that the table does not have (any more)."""
        task = self._lineage.get(oid)
        if task is None:
            entry = Entry(oid, owned=False)
            entry.known = True
        else:
            # Ours: its references had all left this process. Its task must not make another one.
            entry = next(entry for entry in task.entries if entry.id == oid)
        self._entries[oid] = entry
        return entry

    def _remove(self, entry: Entry) -> None:
        if self._entries.get(entry.id) is entry:
            del self._entries[entry.id]

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
        if self.view_dropped:
            with self.lock:
                self.tell_unread(self._ended_views())
        self.settle_drops()
        kept = []
        with self.lock:
            for entry in dict.fromkeys(lent):
                if entry.count > 0 or entry.passed:
                    entry.passed = False
                    entry.held += 1
                    kept.append(entry.id)
                if entry.count == 0:
                    self._forget(entry)
        return kept

    def hold_for(self, client: int, oids: list[bytes]) -> None:
        """Have these held for `client`, who goes on using what we lent him (Rule 3)."""
        with self.lock:
            for oid in oids:
                entry = self._entries.get(oid)
                if entry is not None:
                    entry.passed = True
            self.session.tell(("hold_for", client, oids))

    def pin(self, entries: Iterable[Entry]) -> None:
        """Count one more local reference on each."""
        with self.lock:
            for entry in entries:
                entry.count += 1

    def unpin(self, entries: Iterable[Entry]) -> None:
        """Take back what `pin` counted."""
        with self.lock:
            for entry in entries:
                entry.count -= 1
                if entry.count == 0:
                    self._forget(entry)

    def unpin_lent(self, entry: Entry) -> None:
        """Count down without forgetting: `borrowed` decides when the task has ended."""
        with self.lock:
            entry.count -= 1

    def settle_drops(self) -> None:
        """Count down the references that have died since the last call."""
        streams = self.dropped_streams
        while streams:
            try:
                task = streams.popleft()
            except IndexError:
                break  # another thread was quicker
            self.session.tasks.drop_stream(task)
        dropped = self.dropped
        if dropped:
            with self.lock:
                while dropped:
                    try:
                        entry = dropped.popleft()
                    except IndexError:
                        break
                    entry.count -= 1
                    if entry.count == 0:
                        self._forget(entry)
        if self._release or self._unread:
            self.flush_releases()

    def flush_releases(self) -> None:
        """Tell the node which readings and holds have ended."""
        with self.lock:
            messages: list[tuple[Any, ...]] = [("unread", oid) for oid in self._unread]
            if self._release:
                messages.append(("release", self._release))
            self._unread, self._release = [], []
            if messages:
                self.session.tell(*messages)

    def _forget(self, entry: Entry) -> None:
        # No local reference is left. A pending entry goes when it settles: its task still names it.
        unreferenced = [entry]
        for entry in unreferenced:  # which grows meanwhile: what an object contains comes after it
            if entry.state == PENDING and entry.owned:
                continue
            if entry.reading:
                entry.reading = False
                self._unread.append(entry.id)
            while entry.held:
                self._release.append(entry.id)
                entry.held -= 1
            if entry.known or not entry.owned:
                self._remove(entry)
                self.session.actors.on_forgotten(entry.id)
            contains, entry.contains = entry.contains, ()
            entry.payload = None
            for inner in contains:
                inner.count -= 1
                if inner.count == 0:
                    unreferenced.append(inner)

    def escape(self, refs: Sequence[ObjectRef]) -> tuple[Entry, ...]:
        """The entries of `refs`, made known to the node, because they are about to leave this process."""
        entries = tuple(ref._entry for ref in refs)
        if any(type(ref) is ObjectRef and ref._table is not self for ref in refs):
            raise SessionError.shut_down("Pickling an ObjectRef")
        with self.lock:
            messages: list[tuple[Any, ...]] = []
            for entry in entries:
                if entry.known:
                    entry.passed = True
                else:
                    entry.known = True
                    entry.held += 1
                    self._entries[entry.id] = entry
                    messages += (("declare", entry.id), ("hold", [entry.id]))
                    if entry.state != PENDING:
                        messages.append(_published(entry))
                    if len(messages) > ESCAPE_BATCH:
                        self.session.tell(*messages)
                        messages = []
            if messages:
                self.session.tell(*messages)
        return entries

    def publish_new(self, entry: Entry, contains: tuple[Entry, ...]) -> None:
        """Make an owned, settled entry known to the node at once; it keeps `contains` alive."""
        with self.lock:
            self.pin(contains)
            entry.contains = contains
            entry.known = True
            entry.held += 1
            self._entries[entry.id] = entry
            self.session.tell(("declare", entry.id), ("hold", [entry.id]))
            self._publish(entry)

    def let_contents_go(self, oid: bytes) -> None:
        """The object `oid`, owned here, needs what it contains no more."""
        with self.lock:
            entry = self._entries.get(oid)
            if entry is not None and entry.contains:
                contains, entry.contains = entry.contains, ()
                self._publish(entry)
                self.unpin(contains)

    def keep_for_ever(self, ref: ObjectRef) -> None:
        """`ref` was pickled by the user himself: nobody can tell when that copy dies."""
        self.pin(self.escape([ref]))

    def _publish(self, entry: Entry) -> None:
        self.session.tell(_published(entry))

    # -- values that arrive ----------------------------------------------------------------------------

    def settle(self, entry: Entry, state: int, payload: Any, contains: Sequence[bytes] = ()) -> None:
        """The value of an owned object is here. The sender has made a hold for us on each of `contains`,
        and for a BLOCK one on the object itself."""
        with self.lock:
            if contains:
                inner = []
                for oid in contains:
                    found = self._entries.get(oid) or self._enter(oid)
                    found.held += 1
                    found.count += 1
                    inner.append(found)
                entry.contains = tuple(inner)
            if state == BLOCK:
                # The sealer makes our hold once, also when the object is made again.
                if entry.id not in self._lineage:
                    entry.held += 1
                if payload is not None:
                    # Made on this node: it is being read from the moment it was stored.
                    entry.reading = True
                    self._fresh.append(entry)
                entry.known = True
                self._entries[entry.id] = entry
                if entry.task is not None:
                    self._lineage[entry.id] = entry.task
            entry.task = None
            if entry.known and state != BLOCK:
                entry.state, entry.payload = state, payload
                self._publish(entry)
            entry.settle(state, payload)
            if entry.id in self._lost:
                self._lost.discard(entry.id)
                if state == BLOCK:
                    entry.asked = True
                    self.session.tell(("want", entry.id))  # if it is lost, we are asked to make it again
            if entry.count == 0:
                self._forget(entry)

    def on_object(self, oid: bytes, state: int, payload: Any) -> None:
        """The node's answer to a `want`."""
        with self.lock:
            entry = self._entries.get(oid)
            if entry is not None and entry.state in (PENDING, BLOCK):
                entry.asked = False
                entry.reading = state == BLOCK
                entry.settle(state, payload)
            elif state == BLOCK:
                self.session.tell(("unread", oid))  # forgotten meanwhile

    def on_no_room(self, oid: bytes, error: bytes) -> None:
        """The node's answer to a `want` of what is on disk, while all memory is being read."""
        with self.lock:
            entry = self._entries.get(oid)
            if entry is not None and entry.asked:
                entry.asked = False
                entry.no_room = True
                entry.settle(ERROR, error)

    def on_freed(self, oids: Sequence[bytes]) -> None:
        """Nobody refers to these any more: they need not be made again."""
        for oid in oids:
            if self.session.actors.on_freed(oid):
                continue
            task = self._lineage.pop(oid, None)
            if task is not None:
                self.session.tasks.end_lineage(task, oid)

    def on_recover(self, oid: bytes) -> None:
        """The store has lost the value of an object that we own, or has never had one: make it again."""
        with self.lock:
            entry = self._entries.get(oid)
            if entry is not None and entry.owned and entry.state != BLOCK:
                if entry.state == PENDING:
                    self._lost.add(oid)  # what was lost may be what an answer on its way tells of
                else:
                    self._publish(entry)
                return
        task = self._lineage.get(oid)
        if task is None or not self.session.tasks.run_again(task, oid):
            error = failures.object_lost(oid)
            with self.lock:
                self.session.tell(("publish", oid, ERROR, error, []))
                entry = self._entries.get(oid)
                if entry is not None:
                    entry.settle(ERROR, error)

    # -- put -------------------------------------------------------------------------------------------

    def put(self, value: Any) -> ObjectRef:
        """Store `value`; small ones stay in this process until they leave it."""
        self.settle_drops()
        entry = Entry(self.session.new_object_id(), owned=True)
        if type(value) in _PRIMITIVES and (type(value) not in (str, bytes) or len(value) < INLINE_LIMIT // 4):
            entry.state = VALUE
            entry.payload = serialization.serialize(value).pickle
        else:
            packed = serialization.serialize(value, "the value given to put()")
            contained = self.escape(packed.refs) if packed.refs else ()
            if packed_size(packed) >= INLINE_LIMIT:
                entry = self.put_packed(packed, contained)
            else:
                entry.state, entry.payload = VALUE, inline(packed)
                self.pin(contained)
                entry.contains = contained
        entry.count = 1
        return ObjectRef(self, entry)

    def put_packed(self, packed: serialization.Packed, contained: tuple[Entry, ...]) -> Entry:
        """Store a big packed value in shared memory. The entry is not counted yet."""
        entry = Entry(self.session.new_object_id(), owned=True)
        entry.payload = self.session.blocks.store(
            entry.id, packed, [inner.id for inner in contained], self.session.client
        )
        entry.known = True
        entry.held = 1
        entry.state = BLOCK
        entry.reading = True
        with self.lock:
            self._fresh.append(entry)
            self.pin(contained)
            entry.contains = contained
            self._entries[entry.id] = entry
        return entry

    def has_lineage(self, oid: bytes) -> bool:
        """Whether the task of `oid` is kept, to make it again if it is lost."""
        return oid in self._lineage

    # -- values that somebody else has -----------------------------------------------------------------

    def want(self, entries: Iterable[Entry]) -> None:
        """Ask the node for the pending ones that somebody else owns."""
        asked: list[tuple[Any, ...]] = []
        with self.lock:
            for entry in entries:
                if entry.asked:
                    continue
                if entry.state == BLOCK and not entry.reading or entry.state == PENDING and not entry.owned:
                    entry.asked = True
                    asked.append(("want", entry.id))
        if asked:
            self.flush_releases()  # a reading that has ended ends before one that begins
            self.session.tell(*asked)

    def end_readings(self) -> None:
        """Tell the node what nobody here looks at any more: it may be spilled. Called by the clock.

        A value that has just been stored counts as read from one call to the next but one, so that who gets it
        at once need not ask where it is.
        """
        with self.lock:
            self.tell_unread([*self._ended_views(), *self._fresh_before])
            self._fresh_before, self._fresh = self._fresh, []

    def _ended_views(self) -> list[Entry]:
        """Count down the views that have been collected; gives what they were of. Caller has `lock`."""
        dropped, ended = self.view_dropped, []
        while dropped:
            entry = dropped.popleft()
            entry.views -= 1
            entry.count -= 1
            if entry.count == 0:
                self._forget(entry)
            else:
                ended.append(entry)
        return ended

    def tell_unread(self, entries: Iterable[Entry]) -> None:
        """Those of `entries` that nothing here looks at may be moved. Caller has `lock`."""
        for entry in entries:
            if entry.views == 0 and entry.reading:
                entry.reading = False
                self._unread.append(entry.id)
        if self._unread:
            self.flush_releases()

    def when_ready(self, entry: Entry, call: Callable[[], object]) -> None:
        """Have `call()` run once, in whatever thread, when `entry` is settled."""
        with self.lock:
            if entry.state == PENDING:
                self.want([entry])
            if entry.state == PENDING:
                entry.add_waiter(call)
                return
        call()

    # -- the end ---------------------------------------------------------------------------------------

    def fail_all(self, error: bytes) -> None:
        """The session has ended: whatever is pending fails with `error`."""
        with self.lock:
            for entry in list(self._entries.values()):
                if entry.state == PENDING or entry.waiters:
                    entry.settle(ERROR, error)

    def __len__(self) -> int:
        return len(self._entries)


def _published(entry: Entry) -> tuple[Any, ...]:
    """What tells the node the value of an object."""
    payload = bytes(entry.payload) if isinstance(entry.payload, memoryview) else entry.payload
    return "publish", entry.id, entry.state, payload, [inner.id for inner in entry.contains]


def inline(packed: serialization.Packed) -> Packed:
    """A packed value as a message carries it."""
    if packed.buffers:
        return packed.pickle, tuple(bytes(buffer) for buffer in packed.buffers)
    return packed.pickle


def packed_size(packed: serialization.Packed) -> int:
    """Bytes that a packed value takes."""
    size = len(packed.pickle)
    for buffer in packed.buffers:
        size += buffer.nbytes
    return size
