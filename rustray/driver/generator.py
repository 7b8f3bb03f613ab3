"""Streams of refs: the results of a generator task, taken while it still runs, or all together when it has ended."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rustray import serialization
from rustray.driver.entry import ERROR, PENDING, VALUE, Entry, wake_all
from rustray.driver.packing import inline
from rustray.driver.refs import ObjectRef
from rustray.error_packing import read_summary
from rustray.model import ids
from rustray.model.quantities import counted

if TYPE_CHECKING:
    from rustray.driver.session import Session
    from rustray.driver.task import Task


class Stream:
    """What a generator task has yielded and nobody has taken yet. Changed under the table's lock.

    `received` counts all that came: a task that is run again sends what follows only.

    Parameters
    ----------
    gathered: whether all refs are the value of one object, and are not taken one by one.
    """

    def __init__(self, session: Session, gathered: bool = False) -> None:
        self.session = session
        self._gathered = gathered
        self._whole: Entry | None = None
        self._failure: bytes | None = None
        """What has ended the task, if that was not the user's code."""
        self._refs: deque[ObjectRef] = deque()
        self._ended = False
        self._waiters: list[Callable[[], object]] = []
        self._dropped = False
        self.received = 0

    @property
    def ready(self) -> bool:
        """Whether the next ref, or the end, is there."""
        return bool(self._refs) or self._ended

    @property
    def state(self) -> int:
        """As of an entry that is pending or has its value: who waits for several waits for both alike."""
        return VALUE if self.ready else PENDING

    @property
    def ended(self) -> bool:
        """Whether the last ref has come."""
        return self._ended

    @property
    def has_next(self) -> bool:
        """Whether the next ref is there."""
        return bool(self._refs)

    @property
    def exhausted(self) -> bool:
        """Whether the last ref has been taken."""
        return self._ended and not self._refs

    def add_waiter(self, wake: Callable[[], object]) -> None:
        self._waiters.append(wake)

    def remove_waiter(self, wake: Callable[[], object]) -> None:
        with contextlib.suppress(ValueError):  # who wakes them all has a list of his own
            self._waiters.remove(wake)

    def add(self, oid: bytes, state: int, payload: Any, contains: Sequence[bytes]) -> None:
        """The next object is there."""
        self.received += 1
        self._append(oid, state, payload, contains)
        self._wake()

    def _append(self, oid: bytes, state: int, payload: Any, contains: Sequence[bytes]) -> None:
        entry = Entry(oid, owned=True)
        if not self._dropped:
            self._refs.append(self.session.objects.new_ref(entry))
        self.session.objects.settle(entry, state, payload, contains)

    def end(self) -> None:
        """The generator has returned."""
        self._ended = True
        self._settle_whole()
        self._wake()

    def abandoned(self, task: Task) -> None:
        """Its generator has died, perhaps in the middle of anything: see `ObjectTable.settle_drops`."""
        if not self._ended or self._refs:
            self.session.objects.dropped_streams.append(task)

    def drop(self) -> bool:
        """Nobody will take anything any more: what has come, and what still comes, is let go. False at the end."""
        self._dropped = True
        self._refs.clear()
        return not self._ended

    def fail(self, error: bytes) -> None:
        """The task failed: the next ref raises, and it is the last."""
        if self._ended:
            return
        self._append(self.session.new_object_id(), ERROR, error, ())
        if not read_summary(error).function_name:
            self._failure = error
        self.end()

    # -- as a whole ------------------------------------------------------------------------------------

    def whole(self, task: Task) -> ObjectRef:
        """A ref of an object that is there when the task has ended: None, or the `DynamicObjectRefGenerator`."""
        objects = self.session.objects
        with objects.lock:
            entry = self._whole
            if entry is None or entry.count == 0 and entry.state != PENDING:
                # The id of one that was forgotten is not given again: others may refer to it.
                own = ids.make_object_id(self.session.client, task.number, 0)
                entry = Entry(own if entry is None else self.session.new_object_id(), True, task)
                self._whole = entry
            ref = objects.new_ref(entry)
            if self._ended:
                self._settle_whole()
        return ref

    def _settle_whole(self) -> None:
        entry = self._whole
        if entry is None or entry.state != PENDING:
            return
        objects, value = self.session.objects, None
        if self._failure is not None:  # as in Ray the whole fails then too
            objects.settle(entry, ERROR, self._failure)
            return
        if self._gathered:
            value = DynamicObjectRefGenerator(self._refs)
            self._refs = deque()
        packed = serialization.serialize(value)
        contains = self.session.sharing.escape(packed.refs) if packed.refs else ()
        objects.pin(contains)
        entry.contains = contains
        objects.settle(entry, VALUE, inline(packed))

    # -- one by one ------------------------------------------------------------------------------------

    def told(self, task: Task) -> str:
        """How its task is, and how much has come."""
        values = counted(self.received, "value")
        if self._ended:
            return f"ended after {values}"
        state = self.session.explaining.in_words(task)
        return f"{state}, {values} so far" if self.received else state

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        wake_all(waiters)

    def take(self) -> ObjectRef | None:
        """The next ref, None if there is none: it was the end, or another has been quicker."""
        with self.session.objects.lock:
            return self._refs.popleft() if self._refs else None

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the next ref or the end is there."""
        self.session.check_open()
        settled = self.session.wait(self, timeout)
        if not settled:
            self.session.check_open()
        return settled

    def look(self) -> None:
        """Take what has arrived, without waiting."""
        self.session.check_open()
        if not self.ready:
            self.session.reactor.poll_now()

    def when_ready(self, call: Callable[[], object]) -> None:
        """Have `call()` run once when `ready` turns true."""
        with self.session.objects.lock:
            if not self.ready:
                self._waiters.append(call)
                return
        call()


class ObjectRefGenerator(Iterator[ObjectRef], AsyncIterator[ObjectRef]):
    """Iterates, also asynchronously, over the refs of a task with ``num_returns="streaming"``.

    Each ref is given as soon as the task has yielded its object. An exception in the task is raised by the
    `get` of the ref after the last good one.
    """

    def __init__(self, stream: Stream, task: Task) -> None:
        self._stream = stream
        self._task = task

    def completed(self) -> ObjectRef:
        """A ref whose value, None, is there when the task has ended; also when its code has raised.

        Its `get` raises what else has ended the task: that its worker crashed, that it was cancelled.
        """
        return self._stream.whole(self._task)

    def next_ready(self) -> bool:
        """Whether the next ref is there, so that `next` and `get` of it need not wait. False at the end."""
        self._stream.look()
        return self._stream.has_next

    def is_finished(self) -> bool:
        """Whether the task has ended and its last ref was taken."""
        self._stream.look()
        return self._stream.exhausted

    def __del__(self) -> None:
        # In any thread, at any moment: no lock may be taken here.
        self._stream.abandoned(self._task)

    def __iter__(self) -> ObjectRefGenerator:
        return self

    def __next__(self) -> ObjectRef:
        while not self._stream.exhausted:
            self._stream.wait()
            if (ref := self._stream.take()) is not None:
                return ref
        raise StopIteration

    def __aiter__(self) -> ObjectRefGenerator:
        return self

    async def __anext__(self) -> ObjectRef:
        while not self._stream.exhausted:
            await self._next_is_there()
            if (ref := self._stream.take()) is not None:
                return ref
        raise StopAsyncIteration

    async def _next_is_there(self) -> None:
        import asyncio

        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def resolve() -> None:
            if not future.done():
                future.set_result(None)

        def settled() -> None:
            try:
                loop.call_soon_threadsafe(resolve)
            except RuntimeError:
                pass  # the loop is closed: nobody awaits any more

        self._stream.when_ready(settled)
        try:
            await future
        finally:
            self._stream.remove_waiter(settled)  # of one that was cancelled

    @property
    def stream(self) -> Stream:
        """What has come and was not taken."""
        return self._stream

    @property
    def task(self) -> Task:
        """The task behind the stream."""
        return self._task

    def __repr__(self) -> str:
        return f"ObjectRefGenerator({self._task.target.name}(), {self._stream.told(self._task)})"


class DynamicObjectRefGenerator:
    """The value of a task with ``num_returns="dynamic"``: the refs of all that it has yielded, each given once.

    When its code has raised an exception, `get` of the last ref raises that.
    """

    def __init__(self, refs: Iterable[ObjectRef]) -> None:
        self._refs = deque(refs)

    def __iter__(self) -> Iterator[ObjectRef]:
        while self._refs:
            yield self._refs.popleft()

    def __len__(self) -> int:
        return len(self._refs)

    def __repr__(self) -> str:
        return f"DynamicObjectRefGenerator({counted(len(self._refs), 'ref')})"
