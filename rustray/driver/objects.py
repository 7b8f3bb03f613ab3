"""The objects that a client process owns or refers to, and their exact counting.

ARCHITECTURE.md, "Objects and their references", has the rules; the numbers here name them. `lock` guards
counts and states. References die at any moment in any thread, so `ObjectRef.__del__` only appends
to `dropped`; :meth:`ObjectTable.settle_drops` takes the consequences at the next call.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rustray.driver.entry import BLOCK, ERROR, PENDING, Entry
from rustray.driver.refs import ObjectRef

if TYPE_CHECKING:
    from rustray.driver.session import Session
    from rustray.driver.task import Task


class ObjectTable:
    """Entries by id, for one session.

    Attributes
    ----------
    lock: guards counts and states, also of entries that are not in the table.
    dropped, view_dropped, dropped_streams: whose reference, view or generator has died since the last look.
    fresh: entries stored or waited for since the last tick: they count as read for a while (Rule 7).
    short: by id, why what this process has asked for has had no room in the store for some seconds.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._lineage = session.lineage
        self.entries: dict[bytes, Entry] = {}
        self.lock = threading.RLock()
        self.dropped: deque[Entry] = deque()
        self.view_dropped: deque[Entry] = deque()
        self.dropped_streams: deque[Task] = deque()
        self.fresh: list[Entry] = []
        self._fresh_before: list[Entry] = []
        self.short: dict[bytes, str] = {}
        self._release: list[bytes] = []
        self._unread: list[bytes] = []

    # -- references ------------------------------------------------------------------------------------

    def new_ref(self, entry: Entry) -> ObjectRef:
        """A reference to `entry`, counted."""
        with self.lock:
            entry.count += 1
        return ObjectRef(self, entry)

    def enter(self, oid: bytes) -> Entry:
        """An entry for an id that the table does not have (any more)."""
        task = self._lineage.tasks.get(oid)
        if task is None:
            entry = Entry(oid, owned=False)
            entry.known = True
        else:
            # Ours: its references had all left this process. Its task must not make another one.
            entry = next(entry for entry in task.entries if entry.id == oid)
        self.entries[oid] = entry
        return entry

    def _remove(self, entry: Entry) -> None:
        if self.entries.get(entry.id) is entry:
            del self.entries[entry.id]
            self.short.pop(entry.id, None)

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
                    self.forget(entry)

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
                        self.forget(entry)
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

    def forget(self, entry: Entry) -> None:
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

    # -- values that arrive ----------------------------------------------------------------------------

    def settle(self, entry: Entry, state: int, payload: Any, contains: Sequence[bytes] = ()) -> None:
        """The value of an owned object is here. The sender has made a hold for us on each of `contains`,
        and for a BLOCK one on the object itself."""
        with self.lock:
            if contains:
                inner = []
                for oid in contains:
                    found = self.entries.get(oid) or self.enter(oid)
                    found.held += 1
                    found.count += 1
                    inner.append(found)
                before, entry.contains = entry.contains, tuple(inner)
                self.unpin(before)  # of a value that came with a sibling which was made again
            if state == BLOCK:
                # The sealer makes our hold once, also when the object is made again.
                if entry.id not in self._lineage.tasks:
                    entry.held += 1
                if payload is not None:
                    # Made on this node: it is being read from the moment it was stored.
                    entry.reading = True
                    self.fresh.append(entry)
                entry.known = True
                self.entries[entry.id] = entry
                if entry.task is not None:
                    self._lineage.tasks[entry.id] = entry.task
            entry.task = None
            if entry.known and state != BLOCK:
                entry.state, entry.payload = state, payload
                self.session.tell(published(entry))
            entry.settle(state, payload)
            if entry.id in self._lineage.lost:
                self._lineage.lost.discard(entry.id)
                if state == BLOCK:
                    entry.asked = True
                    self.session.tell(("want", entry.id))  # if it is lost, we are asked to make it again
            if entry.count == 0:
                self.forget(entry)

    def on_object(self, oid: bytes, state: int, payload: Any) -> None:
        """The node's answer to a `want`."""
        with self.lock:
            self.short.pop(oid, None)
            entry = self.entries.get(oid)
            if entry is None or not entry.asked or entry.reading or entry.state not in (PENDING, BLOCK):
                # Forgotten meanwhile, or it has come another way: the node counts each of its answers as a reading.
                if state == BLOCK:
                    self.session.tell(("unread", oid))
                if entry is not None:
                    entry.asked = False
                return
            if state == BLOCK and entry.state == PENDING:
                self.fresh.append(entry)  # it was waited for, which need not mean that it will be read
            entry.asked = False
            entry.reading = state == BLOCK
            entry.settle(state, payload)

    def on_no_room(self, oid: bytes, error: bytes) -> None:
        """The node's answer to a `want` of what is not in memory, while nobody will make room for it."""
        with self.lock:
            self.short.pop(oid, None)
            entry = self.entries.get(oid)
            if entry is not None and entry.asked:
                entry.asked = False
                entry.no_room = True
                entry.settle(ERROR, error)

    def on_short(self, oid: bytes, why: str) -> None:
        """What was wanted waits for room in the store; its answer will come."""
        with self.lock:
            if oid in self.entries:
                self.short[oid] = why

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
            self.tell_unread([*self.ended_views(), *self._fresh_before])
            self._fresh_before, self.fresh = self.fresh, []

    def ended_views(self) -> list[Entry]:
        """Count down the views that have been collected; gives what they were of. Caller has `lock`."""
        dropped, ended = self.view_dropped, []
        while dropped:
            entry = dropped.popleft()
            entry.views -= 1
            entry.count -= 1
            if entry.count == 0:
                self.forget(entry)
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
            for entry in list(self.entries.values()):
                if entry.state == PENDING or entry.waiters:
                    entry.settle(ERROR, error)

    def __len__(self) -> int:
        return len(self.entries)


def published(entry: Entry) -> tuple[Any, ...]:
    """What tells the node the value of an object."""
    payload = bytes(entry.payload) if isinstance(entry.payload, memoryview) else entry.payload
    return "publish", entry.id, entry.state, payload, [inner.id for inner in entry.contains]
