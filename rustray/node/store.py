"""The node's object store in its event loop: does what the ledger decides."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rustray.driver import failures
from rustray.driver.entry import BLOCK, ERROR
from rustray.errors import ObjectStoreFullError
from rustray.store import actions as act
from rustray.store.errors import SpillFailed, StoreError
from rustray.store.ledger import Ledger
from rustray.store.segments import create_segment, default_capacity, shm_directory
from rustray.store.spill import SpillDirectory, delete, read_back

log = logging.getLogger(__name__)

Send = Callable[..., None]

PATIENCE_S = 3.0
"""Seconds for which a request for room is tried again before it is refused: that arrays have been collected and
references dropped takes a moment to be told."""
TRY_AGAIN_S = 0.1


class StoreService:
    """Segments, spill files and the ledger of one node.

    Parameters
    ----------
    capacity: bytes, None for `default_capacity`.
    spill_folder: where objects go that memory has no room for.
    send: send(client, *messages, fds=()), ignored for a client that is gone.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, capacity: int | None, spill_folder: str, send: Send
    ) -> None:
        self._loop = loop
        self._send = send
        self._directory = shm_directory()
        self._capacity = default_capacity(self._directory)
        if capacity:
            space = os.statvfs(self._directory)
            self._capacity = min(capacity, space.f_bavail * space.f_frsize * 9 // 10)
            if self._capacity < capacity:
                log.warning(
                    "%s has no room for an object store of %.0f MiB, so it has %.0f MiB; the rest goes to disk",
                    self._directory,
                    capacity / 2**20,
                    self._capacity / 2**20,
                )
        self.ledger = Ledger(self._capacity)
        self._segments: dict[int, tuple[int, int]] = {}
        self._spill = SpillDirectory(spill_folder)
        self._mapped: dict[int, set[int]] = {}
        self._clients: set[int] = set()
        self._delayed: dict[tuple[int, int], tuple[int, float]] = {}
        """(client, request) of those that wait for room: (size, when they are refused)"""
        self._unread: dict[tuple[int, bytes], float] = {}
        """(client, object) of spilled objects for which there is no room now: when that is said"""
        # Faulting in a segment and writing a spill file take long; one thread keeps them in order.
        self._io = ThreadPoolExecutor(1, "rustray-store")
        self.handlers: dict[str, Callable[..., None]] = {
            "alloc": self._on_alloc,
            "seal": lambda c, oid, s, o, n, contains, holder: self.do(
                self.ledger.seal(c, oid, s, o, n, tuple(contains), holder)
            ),
            "abandon": lambda c, segment, offset: self.do(self.ledger.abandon(c, segment, offset)),
            "declare": lambda c, oid: self.do(self.ledger.declare(c, oid)),
            "publish": lambda c, oid, status, payload, contains: self.do(
                self.ledger.publish(c, oid, status, payload, tuple(contains))
            ),
            "retract": lambda c, oids: self.do(self.ledger.retract(c, oids)),
            "want": lambda c, oid: self.do(self.ledger.want(c, oid)),
            "unread": lambda c, oid: self.do(self.ledger.unread(c, oid)),
            "hold": lambda c, oids: self.do(self.ledger.hold(c, oids)),
            "release": lambda c, oids: self.do(self.ledger.release(c, oids)),
            "hold_for": lambda c, other, oids: self.do(self.ledger.hold_for(c, other, oids)),
            "map": self._on_map,
        }

    def connect(self, client: int) -> None:
        """A client has come."""
        self._clients.add(client)
        self.do(self.ledger.connect(client))

    def disconnect(self, client: int) -> None:
        """A client has gone, with all that it held."""
        self._clients.discard(client)
        self.do(self.ledger.disconnect(client))
        for clients in self._mapped.values():
            clients.discard(client)

    def _on_alloc(self, client: int, request: int, size: int) -> None:
        actions = self.ledger.reserve(client, request, size)
        if not (len(actions) == 1 and type(actions[0]) is act.Granted):
            self._delayed[client, request] = size, self._loop.time() + PATIENCE_S
        self.do(actions)

    def _on_full(self, action: act.Full) -> None:
        key = action.client, action.request
        size, deadline = self._delayed.pop(key, (0, 0.0))
        if size > self._capacity or self._loop.time() > deadline:
            self._send(action.client, ("full", action.request, action.text))
            return

        def again() -> None:
            if action.client in self._clients:
                self._delayed[key] = size, deadline
                self.do(self.ledger.reserve(action.client, action.request, size))

        self._loop.call_later(TRY_AGAIN_S, again)

    def _on_no_room_to_read(self, action: act.Deliver) -> None:
        key = action.client, action.oid
        deadline = self._unread.setdefault(key, self._loop.time() + PATIENCE_S)

        def again() -> None:
            if action.client not in self._clients or not self.ledger.knows(action.oid):
                self._unread.pop(key, None)
            elif self._loop.time() < deadline:
                self.do(self.ledger.want(action.client, action.oid))
            else:
                del self._unread[key]
                error = failures.typed(ObjectStoreFullError(str(action.payload)))
                self._send(action.client, ("no_room", action.oid, error))

        self._loop.call_later(TRY_AGAIN_S, again)

    def _on_map(self, client: int, request: int, segment: int) -> None:
        fd, size = self._segments[segment]
        self._mapped.setdefault(segment, set()).add(client)
        self._send(client, ("segment", request, size), fds=[fd])

    def do(self, actions: Iterable[act.Action]) -> None:
        """Carry out what the ledger asks."""
        for action in actions:
            kind = type(action)
            if kind is act.Deliver:
                self._deliver(action)  # type: ignore[arg-type]
            elif kind is act.Freed:
                self._send(action.owner, ("freed", action.oids))  # type: ignore[union-attr]
            elif kind is act.Granted:
                if self._delayed:
                    self._delayed.pop((action.client, action.request), None)  # type: ignore[union-attr]
                self._send(
                    action.client,  # type: ignore[union-attr]
                    ("block", action.request, action.segment, action.offset, action.size),  # type: ignore[union-attr]
                )
            else:
                self._do_rare(action)

    def _deliver(self, action: act.Deliver) -> None:
        status, payload = action.status, action.payload
        if status == act.STORE_FULL:
            self._on_no_room_to_read(action)
            return
        if self._unread:
            self._unread.pop((action.client, action.oid), None)
        if status == act.IN_BLOCK:
            status = BLOCK
        elif status == act.OWNER_DIED:
            status, payload = ERROR, failures.owner_died(action.oid)
        elif status == act.LOST:
            status, payload = ERROR, failures.object_lost(action.oid)
        self._send(action.client, ("object", action.oid, status, payload))

    def _do_rare(self, action: act.Action) -> None:
        if isinstance(action, act.Full):
            self._on_full(action)
        elif isinstance(action, act.Recover):
            self._send(action.owner, ("recover", action.oid))
        elif isinstance(action, act.CreateSegment):
            self._later(self._create, action)
        elif isinstance(action, act.DropSegment):
            os.close(self._segments.pop(action.segment)[0])
            for client in self._mapped.pop(action.segment, ()):
                self._send(client, ("unmap", action.segment))
        elif isinstance(action, act.SpillOut):
            self._later(self._spill_out, action)
        elif isinstance(action, act.RestoreIn):
            self._later(self._restore, action)
        elif isinstance(action, act.DropSpill):
            self._io.submit(delete, action.path)

    def _later(self, work: Callable[[Any], Callable[[], Sequence[act.Action]]], action: Any) -> None:
        """Do `work(action)` in the I/O thread; what it returns tells the ledger, in the loop."""

        def run() -> None:
            tell = work(action)
            try:
                self._loop.call_soon_threadsafe(lambda: self.do(tell()))
            except RuntimeError:
                pass  # the loop has ended: the node is going down

        self._io.submit(run)

    def _create(self, action: act.CreateSegment) -> Callable[[], Sequence[act.Action]]:
        try:
            fd = create_segment(self._directory, action.size)
        except (StoreError, OSError) as error:
            text = str(error)
            return lambda: self.ledger.segment_failed(action.segment, text)

        def ready() -> Sequence[act.Action]:
            self._segments[action.segment] = (fd, action.size)
            return self.ledger.segment_ready(action.segment)

        return ready

    def _spill_out(self, action: act.SpillOut) -> Callable[[], Sequence[act.Action]]:
        try:
            fd = self._segments[action.segment][0]
            path = self._spill.write(action.oid, fd, action.offset, action.size)
        except (SpillFailed, OSError) as error:
            text = str(error)
            return lambda: self.ledger.spill_failed(action.oid, text)
        return lambda: self.ledger.spilled(action.oid, path)

    def _restore(self, action: act.RestoreIn) -> Callable[[], Sequence[act.Action]]:
        try:
            read_back(action.path, self._segments[action.segment][0], action.offset, action.size)
        except (StoreError, OSError) as error:
            text = str(error)
            return lambda: self.ledger.restore_failed(action.oid, text)
        return lambda: self.ledger.restored(action.oid)

    def close(self) -> None:
        """Let all memory and files go."""
        self._io.shutdown(wait=True, cancel_futures=True)
        for fd, _size in self._segments.values():
            os.close(fd)
        self._segments.clear()
        self._spill.close()


def page_fd() -> int:
    """A fresh page of shared memory without a name."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("rustray-page", os.MFD_CLOEXEC)
    else:
        import tempfile

        fd, path = tempfile.mkstemp()
        os.unlink(path)
    os.ftruncate(fd, os.sysconf("SC_PAGE_SIZE"))
    return fd
