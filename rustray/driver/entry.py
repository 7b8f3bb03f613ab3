"""What a client process knows of one object."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

PENDING, VALUE, BLOCK, ERROR = range(4)

_waiters_lock = threading.Lock()
"""Threads that begin or end to wait for the same object; who settles it does not take it."""


def wake_all(waiters: Iterable[Callable[[], object]]) -> None:
    """Call each of `waiters`, whatever one of them raises; the first error is raised at the end and tells of others."""
    first: Exception | None = None
    for wake in waiters:
        try:
            wake()
        except Exception as error:
            if first is None:
                first = error
            else:
                first.add_note(f"Another that waited for the same failed too: {error!r}")
    if first is not None:
        raise first


class Entry:
    """One object as this process sees it.

    Attributes
    ----------
    id: the 16-byte object id.
    state: PENDING, VALUE (payload: packed inline value), BLOCK (payload: segment, offset, size, if it is known) or
        ERROR (payload: packed error).
    count: local references: `ObjectRef` instances, arguments of running tasks, values that contain it, views.
    held: how many holds the node counts for this process, each to be released once.
    owned: whether this process submitted the task or put the value.
    known: whether the node has been told of it (it left this process, or its value lies in the store).
    contains: entries that this object's value refers to, counted as long as this one lives.
    passed: whether it may have been passed on since it was lent to this process.
    asked: whether a `want` is on its way.
    node: in state BLOCK: the number of another node whose worker made the value, 0 for none.
    no_room: in state ERROR: only for now, the store had no room to bring the value back from disk.
    reading, views: whether the node keeps the block in place for us, and how many live views we have of it.
    task: while pending, the task that makes it; kept for big results, which may have to be made again.
    """

    __slots__ = (
        "asked",
        "contains",
        "count",
        "held",
        "id",
        "known",
        "no_room",
        "node",
        "owned",
        "passed",
        "payload",
        "reading",
        "state",
        "task",
        "views",
        "waiters",
    )

    def __init__(self, oid: bytes, owned: bool, task: Any = None) -> None:
        self.id = oid
        self.state = PENDING
        self.payload: Any = None
        self.count = 0
        self.held = 0
        self.owned = owned
        self.known = False
        self.passed = False
        self.asked = False
        self.no_room = False
        self.node = 0
        self.reading = False
        self.views = 0
        self.contains: tuple[Entry, ...] = ()
        self.task = task
        self.waiters: list[Callable[[], object]] | None = None

    @property
    def ready(self) -> bool:
        return self.state != PENDING

    def add_waiter(self, wake: Callable[[], object]) -> None:
        """Have `wake()` called once the value is known; the caller looks at `ready` afterwards."""
        with _waiters_lock:
            if self.waiters is None:
                self.waiters = [wake]
            else:
                self.waiters.append(wake)

    def remove_waiter(self, wake: Callable[[], object]) -> None:
        """Undo `add_waiter`; harmless when it has been called already."""
        with _waiters_lock:
            waiters = self.waiters
            if waiters is not None and wake in waiters:
                waiters.remove(wake)

    def settle(self, state: int, payload: Any) -> None:
        """The value is known: wake who waits."""
        self.payload = payload
        self.state = state
        waiters, self.waiters = self.waiters, None
        if waiters:
            wake_all(waiters)
