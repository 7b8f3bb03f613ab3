"""The objects that a client process owns or refers to, and their exact counting.

ARCHITECTURE.md, "Objects and their references", has the rules; the numbers here name them. `lock` guards
counts and states. References die at any moment in any thread, so `ObjectRef.__del__` only appends
to `dropped`; :meth:`ObjectTable.settle_drops` takes the consequences at the next call.
"""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rustray import serialization
from rustray.driver import failures
from rustray.driver.entry import BLOCK, ERROR, PENDING, VALUE, Entry, wake_all
from rustray.driver.reactor import Awaited
from rustray.driver.refs import ObjectRef
from rustray.errors import GetTimeoutError, SessionError

if TYPE_CHECKING:
    import asyncio

    from rustray.driver.session import Session
    from rustray.driver.task import Task

INLINE_LIMIT = 100 * 1024
"""Bytes; a value from this size on lies in shared memory (Ray's limit too)."""

KEEP_SLOT_S = 0.1
"""Seconds for which a task keeps its slot while an argument that exists is brought to it."""

CALLBACK_THREADS = 64
"""Callbacks of `ref.future()` that may wait for one another at once; a thread is started where none is free."""

ESCAPE_BATCH = 300
"""Messages in one frame about refs that leave this process together; each may have a value of INLINE_LIMIT."""

_PRIMITIVES = frozenset({int, float, str, bytes, bool, type(None)})

Packed = bytes | tuple[bytes, tuple[bytes, ...]]


class ObjectTable:
    """Entries by id, for one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._entries: dict[bytes, Entry] = {}
        self.lock = threading.RLock()
        self.dropped: deque[Entry] = deque()
        self.view_dropped: deque[Entry] = deque()
        self.dropped_streams: deque[Task] = deque()
        self._fresh: list[Entry] = []
        self._fresh_before: list[Entry] = []
        self._release: list[bytes] = []
        self._lineage: dict[bytes, Any] = {}
        self._lending = threading.local()
        self._callbacks: concurrent.futures.ThreadPoolExecutor | None = None

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
                self._session.tell(("hold", [oid]))
            else:
                lent.append(entry)
        elif not entry.held:
            lent = getattr(self._lending, "entries", None)
            if lent is not None and not entry.owned:
                lent.append(entry)
        return entry

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
        """The ids of `lent` still referred to here: the sender makes a hold for each (Rule 3)."""
        if self.view_dropped:
            with self.lock:
                self._tell_unread(self._ended_views())
        self.settle_drops()
        kept = []
        with self.lock:
            for entry in lent:
                if entry.count > 0 and not entry.held:
                    entry.held = 1
                    kept.append(entry.id)
                elif entry.count == 0 and not entry.held:
                    self._forget(entry)
        return kept

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
            self._session.tasks.drop_stream(task)
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
        if self._release:
            self.flush_releases()

    def flush_releases(self) -> None:
        """Tell the node which holds have ended."""
        with self.lock:
            release, self._release = self._release, []
            if release:
                self._session.tell(("release", release))

    def _forget(self, entry: Entry) -> None:
        # No local reference is left. A pending entry goes when it settles: its task still names it.
        unreferenced = [entry]
        for entry in unreferenced:  # which grows meanwhile: what an object contains comes after it
            if entry.state == PENDING and entry.owned:
                continue
            if entry.reading:
                entry.reading = False
                self._session.tell(("unread", entry.id))
            while entry.held:
                self._release.append(entry.id)
                entry.held -= 1
            if entry.known or not entry.owned:
                self._remove(entry)
                self._session.actors.on_forgotten(entry.id)
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
                if not entry.known:
                    entry.known = True
                    entry.held += 1
                    self._entries[entry.id] = entry
                    messages += (("declare", entry.id), ("hold", [entry.id]))
                    if entry.state != PENDING:
                        messages.append(_published(entry))
                    if len(messages) > ESCAPE_BATCH:
                        self._session.tell(*messages)
                        messages = []
            if messages:
                self._session.tell(*messages)
        return entries

    def publish_new(self, entry: Entry, contains: tuple[Entry, ...]) -> None:
        """Make an owned, settled entry known to the node at once; it keeps `contains` alive."""
        with self.lock:
            self.pin(contains)
            entry.contains = contains
            entry.known = True
            entry.held += 1
            self._entries[entry.id] = entry
            self._session.tell(("declare", entry.id), ("hold", [entry.id]))
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
        self._session.tell(_published(entry))

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
                self._session.tell(("unread", oid))  # forgotten meanwhile

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
            if self._session.actors.on_freed(oid):
                continue
            task = self._lineage.pop(oid, None)
            if task is not None:
                self._session.tasks.end_lineage(task, oid)

    def on_recover(self, oid: bytes) -> None:
        """The store lost the value of an object that we own: make it again."""
        task = self._lineage.get(oid)
        if task is None or not self._session.tasks.run_again(task, oid):
            error = failures.object_lost(oid)
            with self.lock:
                self._session.tell(("publish", oid, ERROR, error, []))
                entry = self._entries.get(oid)
                if entry is not None:
                    entry.settle(ERROR, error)

    # -- put -------------------------------------------------------------------------------------------

    def put(self, value: Any) -> ObjectRef:
        """Store `value`; small ones stay in this process until they leave it."""
        self.settle_drops()
        entry = Entry(self._session.new_object_id(), owned=True)
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
        entry = Entry(self._session.new_object_id(), owned=True)
        entry.payload = self._session.blocks.store(
            entry.id, packed, [inner.id for inner in contained], self._session.client
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

    # -- get -------------------------------------------------------------------------------------------

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
            self._session.tell(*asked)

    def get(self, refs: Sequence[ObjectRef], timeout: float | None) -> list[Any]:
        """The values of `refs` in order, read-only views of shared memory where they are big."""
        self.settle_drops()
        entries = [ref._entry for ref in refs]
        try:
            self.wait_for(entries, timeout)
            return [self.value_of(entry) for entry in entries]
        except BaseException:
            with self.lock:
                self._tell_unread(entries)
            raise

    def fetch(self, entry: Entry) -> None:
        """Block until an argument may be read. It is there already, so the slot is kept for a while.

        One that is lost is made again, perhaps by a task that waits for this very slot.
        """
        session = self._session
        while entry.state == PENDING or entry.state == BLOCK and not entry.reading:
            self.want([entry])
            awaited = entry if entry.state == PENDING else _Readable(entry)
            if not session.reactor.wait(awaited, KEEP_SLOT_S):
                session.check_open()
                session.wait(awaited)
            session.check_open()

    def wait_for(self, entries: Sequence[Entry], timeout: float | None) -> None:
        """Block until every entry may be read; GetTimeoutError when `timeout` seconds run out first."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pending: list[Any] = [entry for entry in entries if entry.state == PENDING]
        if pending:
            self.want(pending)
            self._wait_all(pending, entries, timeout, deadline)
        in_store = [entry for entry in entries if entry.state == BLOCK and not entry.reading]
        if in_store:
            self.want(in_store)
            self._wait_all([_Readable(entry) for entry in in_store], entries, timeout, deadline)

    def _wait_all(
        self,
        awaited: Sequence[Awaited],
        entries: Sequence[Entry],
        timeout: float | None,
        deadline: float | None,
    ) -> None:
        session = self._session
        session.check_open()
        for one in awaited:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not session.wait(one, left):
                session.check_open()
                missing = [entry for entry in entries if entry.state == PENDING]
                raise GetTimeoutError(
                    f"get() waited {timeout} s and {len(missing)} of {len(entries)} objects are not ready"
                    + (f", the first is {missing[0].id.hex()}" if missing else "")
                    + ". Wait longer with timeout=, or use wait() to take what is ready."
                )

    def value_of(self, entry: Entry) -> Any:
        """Read a settled object; raises what its task raised."""
        while True:
            state, payload = entry.state, entry.payload
            if state == VALUE:
                if type(payload) is tuple:
                    return serialization.deserialize(payload[0], payload[1])
                return serialization.deserialize(payload)
            if state == ERROR:
                if entry.no_room:
                    # The next one who wants it may find room.
                    entry.no_room, entry.state = False, BLOCK
                raise failures.unpack(payload)
            parts = self.block_parts(entry)
            if parts is not None:
                return serialization.deserialize(*parts)
            self.wait_for([entry], None)

    def block_parts(self, entry: Entry) -> tuple[memoryview, list[memoryview]] | None:
        """(pickle, buffers) of an object in shared memory; None if it is not in place (see `wait_for`)."""
        with self.lock:
            if entry.state != BLOCK or not entry.reading:
                return None
            entry.views += 1
            entry.count += 1
            location = entry.payload
        return self._session.blocks.read(location, lambda: self.view_dropped.append(entry))

    def end_readings(self) -> None:
        """Tell the node what nobody here looks at any more: it may be spilled. Called by the clock.

        A value that has just been stored counts as read from one call to the next but one, so that who gets it
        at once need not ask where it is.
        """
        with self.lock:
            self._tell_unread([*self._ended_views(), *self._fresh_before])
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

    def _tell_unread(self, entries: Iterable[Entry]) -> None:
        """Those of `entries` that nothing here looks at may be moved. Caller has `lock`."""
        for entry in entries:
            if entry.views == 0 and entry.reading:
                entry.reading = False
                self._session.tell(("unread", entry.id))

    def wait(
        self, refs: Sequence[ObjectRef], num_returns: int, timeout: float | None
    ) -> tuple[list[ObjectRef], list[ObjectRef]]:
        """The first `num_returns` ready refs in their order, and all others."""
        self.settle_drops()
        entries = [ref._entry for ref in refs]
        self.want(entry for entry in entries if entry.state == PENDING)
        session = self._session
        session.check_open()
        with self.lock:
            enough = _Enough(entries, num_returns)
        if not enough.ready and timeout != 0:
            session.wait(enough, timeout)
        elif not enough.ready:
            session.reactor.poll_now()
        with self.lock:
            enough.leave()
        session.check_open()
        ready: list[ObjectRef] = []
        rest: list[ObjectRef] = []
        for ref in refs:
            if ref._entry.state != PENDING and len(ready) < num_returns:
                ready.append(ref)
            else:
                rest.append(ref)
        return ready, rest

    # -- futures ---------------------------------------------------------------------------------------

    def when_ready(self, entry: Entry, call: Callable[[], object]) -> None:
        """Have `call()` run once, in whatever thread, when `entry` is settled."""
        with self.lock:
            if entry.state == PENDING:
                self.want([entry])
            if entry.state == PENDING:
                entry.add_waiter(call)
                return
        call()

    def future_of(self, ref: ObjectRef) -> concurrent.futures.Future[Any]:
        self._session.check_open()  # before the lock: in a forked child nobody may ever give it back
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        with self.lock:
            if self._callbacks is None:
                self._callbacks = concurrent.futures.ThreadPoolExecutor(CALLBACK_THREADS, "rustray-futures")
        callbacks = self._callbacks

        def resolve() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                value = self.value_of(ref._entry)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(value)

        def settled() -> None:
            # The user's callbacks may wait for other objects; the thread that settles this one must not.
            try:
                callbacks.submit(resolve)
            except RuntimeError:  # the interpreter is exiting: no thread can be started any more
                future.cancel()

        self.when_ready(ref._entry, settled)
        return future

    def asyncio_future_of(self, ref: ObjectRef, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Any]:
        self._session.check_open()
        future: asyncio.Future[Any] = loop.create_future()

        entry = ref._entry

        def resolve() -> None:
            # In the event loop: it must not wait, so a block that is not in place is asked for first.
            with self.lock:
                in_store = entry.state == BLOCK
                if in_store and not entry.reading:
                    if not future.done():
                        self.want([entry])
                        entry.add_waiter(settled)
                    return
                if in_store:
                    entry.views += 1  # so that it stays in place until it has been read
                    entry.count += 1
            try:
                if not future.done():
                    future.set_result(self.value_of(entry))
            except StopIteration as error:
                future.set_exception(RuntimeError(f"the task raised {error!r}"))
            except BaseException as error:
                future.set_exception(error)
            finally:
                if in_store:
                    self.view_dropped.append(entry)

        def settled() -> None:
            try:
                loop.call_soon_threadsafe(resolve)
            except RuntimeError:
                pass  # the loop is closed: nobody awaits any more

        self.when_ready(entry, settled)
        return future

    # -- the end ---------------------------------------------------------------------------------------

    def fail_all(self, error: bytes) -> None:
        """The session has ended: whatever is pending fails with `error`."""
        with self.lock:
            for entry in list(self._entries.values()):
                if entry.state == PENDING or entry.waiters:
                    entry.settle(ERROR, error)
        if self._callbacks is not None:
            self._callbacks.shutdown(wait=False)

    def __len__(self) -> int:
        return len(self._entries)


def _published(entry: Entry) -> tuple[Any, ...]:
    """What tells the node the value of an object."""
    payload = bytes(entry.payload) if isinstance(entry.payload, memoryview) else entry.payload
    return "publish", entry.id, entry.state, payload, [inner.id for inner in entry.contains]


class _Enough:
    """Ready when `wanted` of `entries` are settled. Made and left under the table's lock, as they settle."""

    def __init__(self, entries: Sequence[Entry], wanted: int) -> None:
        self._wanted = wanted
        self._settled = 0
        self._waiters: list[Callable[[], object]] = []
        self._pending = []
        for entry in entries:
            if entry.state == PENDING:
                entry.add_waiter(self._one_more)
                self._pending.append(entry)
            else:
                self._settled += 1

    def _one_more(self) -> None:
        self._settled += 1
        if self._settled == self._wanted:
            wake_all(list(self._waiters))

    @property
    def ready(self) -> bool:
        return self._settled >= self._wanted

    def add_waiter(self, wake: Callable[[], object]) -> None:
        self._waiters.append(wake)

    def remove_waiter(self, wake: Callable[[], object]) -> None:
        if wake in self._waiters:
            self._waiters.remove(wake)

    def leave(self) -> None:
        for entry in self._pending:
            entry.remove_waiter(self._one_more)


class _Readable:
    """Ready when an object in shared memory may be mapped: the node will not move it meanwhile."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self.add_waiter = entry.add_waiter
        self.remove_waiter = entry.remove_waiter

    @property
    def ready(self) -> bool:
        return self._entry.state != BLOCK or self._entry.reading


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
