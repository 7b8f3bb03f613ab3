"""A client's side of the shared-memory store: blocks to write, blocks to read."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rustray.errors import ObjectStoreFullError
from rustray.serialization import Packed
from rustray.store import layout
from rustray.store.mapping import Mapping

if TYPE_CHECKING:
    from rustray.driver.requests import Reply
    from rustray.driver.session import Session

MAX_AHEAD = 4 << 20
"""Bytes; for bigger values the round trip for a block is nothing beside the copying."""
STEADY_S = 0.05
"""Seconds between two stored values that make it likely that there will be a third."""
KEEP_AHEAD_S = 0.2
Location = tuple[int, int, int]
"""segment, offset, size in bytes"""


class Blocks:
    """The segments that this process has mapped."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._mappings: dict[int, Mapping] = {}
        self._lock = threading.Lock()
        self._ahead: tuple[int, Reply, float] | None = None
        self._steady = False
        self._last = 0.0

    def store(self, oid: bytes, packed: Packed, contains: Sequence[bytes], holder: int) -> Location:
        """Write a value into a block of the store and seal it as `oid`, held by the client `holder`.

        Raises ObjectStoreFullError.
        """
        location = self.write(packed)
        self.seal(oid, location, contains, holder)
        return location

    def write(self, packed: Packed) -> Location:
        """Write a value into a block of the store, ours until it is sealed or abandoned.

        Raises ObjectStoreFullError.
        """
        size = layout.size_of(packed.pickle, packed.buffers)
        segment, offset = self._block(size)
        try:
            self._mapping(segment).write(offset, layout.parts(packed.pickle, packed.buffers))
        except BaseException:
            self._session.tell(("abandon", segment, offset))
            raise
        return segment, offset, size

    def abandon(self, location: Location) -> None:
        """What was written there is not wanted after all."""
        self._session.tell(("abandon", *location[:2]))

    def seal(self, oid: bytes, location: Location, contains: Sequence[bytes], holder: int) -> None:
        """What was written there is the value of `oid`, held by the client `holder`."""
        size = location[2]
        seal = ("seal", oid, *location, list(contains), holder)
        if self._steady and size <= MAX_AHEAD and self._ahead is None:
            # What stores one value after the other finds the next block granted already.
            with self._lock:
                if self._ahead is None:
                    number, reply = self._session.requests.begin()
                    self._ahead = (size, reply, time.monotonic())
                    self._session.tell(seal, ("alloc", number, size))
                    return
        self._session.tell(seal)

    def _block(self, size: int) -> tuple[int, int]:
        with self._lock:
            ahead, self._ahead = self._ahead, None
            now = time.monotonic()
            self._steady, self._last = now - self._last < STEADY_S, now
        if ahead is not None:
            asked, reply, _since = ahead
            try:
                self._session.reactor.wait(reply)
            except BaseException:
                with self._lock:
                    self._ahead = self._ahead or ahead  # the next one has it, or it goes back
                raise
            if len(reply.fields) == 3:
                segment, offset, capacity = reply.fields
                if size <= capacity and size > asked // 2:
                    return segment, offset
                self._session.tell(("abandon", segment, offset))
        fields = self._session.requests.ask("alloc", size).fields
        if len(fields) == 1:
            raise ObjectStoreFullError(fields[0])
        segment, offset, _capacity = fields
        return segment, offset

    def tick(self) -> None:
        """Give back a block that was asked for ahead and is not used after all. Called by the clock."""
        with self._lock:
            ahead = self._ahead
            if ahead is None or not ahead[1].ready or time.monotonic() - ahead[2] < KEEP_AHEAD_S:
                return
            self._ahead = None
        if len(ahead[1].fields) == 3:
            self._session.tell(("abandon", *ahead[1].fields[:2]))

    def read(
        self, location: Location, on_release: Callable[[], object]
    ) -> tuple[memoryview, list[memoryview]]:
        """(pickle, buffers) of the value there, as read-only views; `on_release` is called when all are gone, also if
        there are none."""
        segment, offset, size = location
        try:
            mapping = self._mapping(segment)
        except BaseException:  # as an interrupt of the question for it
            on_release()
            raise
        return layout.read(mapping.view(offset, size, on_release))

    def _mapping(self, segment: int) -> Mapping:
        mapping = self._mappings.get(segment)
        if mapping is None:
            reply = self._session.requests.ask("map", segment)
            with self._lock:
                mapping = self._mappings.get(segment)
                if mapping is None:
                    mapping = self._mappings[segment] = Mapping(reply.fds[0], reply.fields[0])
                else:
                    Mapping(reply.fds[0], reply.fields[0]).close()
        return mapping

    def on_unmap(self, segment: int) -> None:
        """The node has dropped a segment."""
        with self._lock:
            mapping = self._mappings.pop(segment, None)
        if mapping is not None:
            mapping.close()

    def close(self) -> None:
        """Unmap everything that nothing looks at."""
        with self._lock:
            for mapping in self._mappings.values():
                mapping.close()
            self._mappings.clear()
