"""`ObjectRef`: a future value, and a reference that keeps it alive."""

from __future__ import annotations

import concurrent.futures
from collections import deque
from collections.abc import Generator
from html import escape
from typing import TYPE_CHECKING, Any

from rustray import serialization
from rustray.driver.entry import BLOCK, ERROR, PENDING, Entry
from rustray.driver.on_behalf import submitter_of
from rustray.error_packing import read_summary
from rustray.model import ids

if TYPE_CHECKING:
    import asyncio

    from rustray.driver.objects import ObjectTable


class ObjectRef:
    """A reference to an object that a task makes or that `put` stored.

    Hashable, comparable, picklable inside other objects, awaitable in asyncio. The object lives as long as
    a reference to it does, anywhere in the cluster.
    """

    __slots__ = ("__weakref__", "_dropped", "_entry", "_table")

    def __init__(self, table: ObjectTable, entry: Entry) -> None:
        self._table = table
        self._entry = entry
        self._dropped: deque[Entry] = table.dropped

    def __del__(self) -> None:
        # Any thread, any moment, perhaps inside the garbage collector: append is atomic and takes no lock.
        try:
            self._dropped.append(self._entry)
        except AttributeError:
            pass  # __init__ did not finish

    def binary(self) -> bytes:
        """The 16-byte id."""
        return self._entry.id

    def hex(self) -> str:
        """The id in hexadecimal."""
        return self._entry.id.hex()

    def task_id(self) -> str:
        """The id, in hexadecimal, of the task that makes the object."""
        return ids.task_of(self._entry.id).hex()

    def future(self) -> concurrent.futures.Future[Any]:
        """A `concurrent.futures.Future` of the value; its callbacks run in a thread of their own."""
        return self._table.session.futures.future_of(self)

    def as_future(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Any]:
        """An asyncio future of the value, on `loop`."""
        return self._table.session.futures.asyncio_future_of(self, loop)

    def __await__(self) -> Generator[Any, None, Any]:
        import asyncio

        return self.as_future(asyncio.get_running_loop()).__await__()

    def __reduce__(self) -> Any:
        serialization.note_ref(self)
        return _load_ref, (self._entry.id,)

    def __hash__(self) -> int:
        return hash(self._entry.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectRef) and self._entry.id == other._entry.id

    def _state(self) -> tuple[str, str]:
        """(state, function) as this process knows them, without asking or waiting; "" for what it does not know."""
        entry, session = self._entry, self._table.session
        making = entry.task
        task = making or session.lineage.tasks.get(entry.id)
        name = "" if task is None else f"{session.explaining.name_of(task)}()"
        if entry.state == ERROR:
            told = read_summary(entry.payload)
            name = f"{told.function_name}()" if told.function_name else name
            return "cancelled" if told.cancelled else f"failed: {told.type_name.rpartition('.')[2]}", name
        if entry.state != PENDING:
            return "ready, in the store" if entry.state == BLOCK else "ready", name
        if making is not None:
            return session.explaining.in_words(making), name
        if entry.owned:
            return "pending", name
        submitter = submitter_of(session, self)
        return ("", "") if submitter is None else submitter.told(self)

    def __repr__(self) -> str:
        state, name = self._state()
        return f"ObjectRef({', '.join(filter(None, (self.hex(), name, state)))})"

    def _repr_html_(self) -> str:
        state, name = self._state()
        told = escape(" ".join(filter(None, (name, state))))
        return f"<code>ObjectRef({self.hex()})</code> <small>{told}</small>"


def _load_ref(oid: bytes) -> ObjectRef:
    from rustray.driver.current import current

    return current().sharing.ref_of(oid)
