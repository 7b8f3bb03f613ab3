"""Waiting for objects and reading their values."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rustray import serialization
from rustray.driver import failures, grouping, patience
from rustray.driver.entry import BLOCK, ERROR, PENDING, VALUE, Entry, wake_all
from rustray.driver.generator import ObjectRefGenerator, Stream
from rustray.driver.reactor import Awaited
from rustray.driver.refs import ObjectRef
from rustray.errors import GetTimeoutError

if TYPE_CHECKING:
    from rustray.driver.session import Session

Waitable = ObjectRef | ObjectRefGenerator

MANY_REFS_BYTES = 512
"""A pickle that is smaller has a few refs at most."""
KEEP_SLOT_S = 0.1
"""Seconds for which a task keeps its slot while an argument that exists is brought to it."""


class Reader:
    """`get` and `wait` of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._table = session.objects

    def get(self, refs: Sequence[ObjectRef], timeout: float | None) -> list[Any]:
        """The values of `refs` in order, read-only views of shared memory where they are big."""
        self._table.settle_drops()
        entries = [ref._entry for ref in refs]
        try:
            self.wait_for(entries, timeout)
            return [self.value_of(entry) for entry in entries]
        except BaseException as error:
            with self._table.lock:
                self._table.tell_unread(entries)
            if told := grouping.told_of(entries):
                error.add_note(told)
            raise

    def fetch(self, entry: Entry) -> None:
        """Block until an argument may be read. It is there already, so the slot is kept for a while.

        One that is lost is made again, perhaps by a task that waits for this very slot.
        """
        session = self._session
        while entry.state == PENDING or entry.state == BLOCK and not entry.reading:
            self._table.want([entry])
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
            self._table.want(pending)
            self._wait_all(pending, entries, timeout, deadline)
        in_store = [entry for entry in entries if entry.state == BLOCK and not entry.reading]
        if in_store:
            self._table.want(in_store)
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
                missing = [entry for entry in entries if entry.state == PENDING or entry.asked]
                short = next(
                    (self._table.short[one.id] for one in missing if one.id in self._table.short), ""
                )
                why = (
                    f"There is {short}"
                    if short
                    else patience.why_not_started(session, missing, timeout or 0.0)
                )
                raise GetTimeoutError(
                    f"get() waited {timeout} s and {len(missing)} of {len(entries)} objects are not ready"
                    + (f", the first is {missing[0].id.hex()}" if missing else "")
                    + (f". {why}" if why else "")
                    + ". Wait longer with timeout=, or use wait() to take what is ready."
                )

    def value_of(self, entry: Entry) -> Any:
        """Read a settled object; raises what its task raised."""
        while True:
            state, payload = entry.state, entry.payload
            if state == VALUE:
                if type(payload) is tuple:
                    return self._read(*payload)
                if len(payload) < MANY_REFS_BYTES:
                    return serialization.deserialize(payload)
                return self._read(payload)
            if state == ERROR:
                if entry.no_room:
                    # The next one who wants it may find room.
                    entry.no_room, entry.state = False, BLOCK
                raise failures.unpack(payload)
            parts = self.block_parts(entry)
            if parts is not None:
                return self._read(*parts)
            self.wait_for([entry], None)

    def _read(self, data: bytes | memoryview, buffers: Iterable[Any] = ()) -> Any:
        with self._session.sharing.reading():
            return serialization.deserialize(data, buffers)

    def block_parts(self, entry: Entry) -> tuple[memoryview, list[memoryview]] | None:
        """(pickle, buffers) of an object in shared memory; None if it is not in place (see `wait_for`)."""
        with self._table.lock:
            if entry.state != BLOCK or not entry.reading:
                return None
            entry.views += 1
            entry.count += 1
            location = entry.payload
        return self._session.blocks.read(location, lambda: self._table.view_dropped.append(entry))

    def wait(
        self, refs: Sequence[Waitable], num_returns: int, timeout: float | None
    ) -> tuple[list[Waitable], list[Waitable]]:
        """The first `num_returns` ready refs in their order, and all others."""
        self._table.settle_drops()
        entries = [ref._entry if isinstance(ref, ObjectRef) else ref.stream for ref in refs]
        self._table.want(entry for entry in entries if entry.state == PENDING and type(entry) is Entry)
        session = self._session
        session.check_open()
        with self._table.lock:
            enough = _Enough(entries, num_returns)
        try:
            if not enough.ready and timeout != 0:
                session.wait(enough, timeout)
            elif not enough.ready:
                session.reactor.poll_now()
        finally:
            with self._table.lock:
                enough.leave()
        session.check_open()
        ready: list[Waitable] = []
        rest: list[Waitable] = []
        for ref, entry in zip(refs, entries, strict=True):
            if entry.state != PENDING and len(ready) < num_returns:
                ready.append(ref)
            else:
                rest.append(ref)
        return ready, rest


class _Enough:
    """Ready when `wanted` of `entries` are settled. Made and left under the table's lock, as they settle."""

    def __init__(self, entries: Sequence[Entry | Stream], wanted: int) -> None:
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
