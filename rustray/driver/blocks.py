"""A client's side of the shared-memory store: blocks to write, blocks to read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rustray.errors import ObjectStoreFullError
from rustray.serialization import Packed
from rustray.store import layout
from rustray.store.mapping import Mapping

if TYPE_CHECKING:
    from rustray.driver.session import Session

Location = tuple[int, int, int]
"""segment, offset, size in bytes"""


class Blocks:
    """The segments that this process has mapped."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._mappings: dict[int, Mapping] = {}
        self._lock = threading.Lock()

    def store(self, oid: bytes, packed: Packed, contains: Sequence[bytes], holder: int) -> Location:
        """Write a value into a block of the store and seal it as `oid`, held by the client `holder`.

        Raises ObjectStoreFullError.
        """
        size = layout.size_of(packed.pickle, packed.buffers)
        fields = self._session.request("alloc", size).fields
        if len(fields) == 1:
            raise ObjectStoreFullError(fields[0])
        segment, offset, _capacity = fields
        try:
            self._mapping(segment).write(offset, layout.parts(packed.pickle, packed.buffers))
        except BaseException:
            self._session.tell(("abandon", segment, offset))
            raise
        self._session.tell(("seal", oid, segment, offset, size, list(contains), holder))
        return segment, offset, size

    def read(
        self, location: Location, on_release: Callable[[], object]
    ) -> tuple[memoryview, list[memoryview]]:
        """(pickle, buffers) of the value there, as read-only views; `on_release` is called when all are gone."""
        segment, offset, size = location
        return layout.read(self._mapping(segment).view(offset, size, on_release))

    def _mapping(self, segment: int) -> Mapping:
        mapping = self._mappings.get(segment)
        if mapping is None:
            reply = self._session.request("map", segment)
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
