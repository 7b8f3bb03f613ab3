"""Snapshots of a head's state on disk, and their way to a head that is far behind.

Rule 1. A snapshot is written to a new file, made durable, and only then given its name.
Rule 2. It begins with a checksum of the rest. One that does not match is never used and never replaced by an
        empty state: the head does not start.
Rule 3. A snapshot that arrives is checked before it takes the place of ours, and is not needed where the log
        already has the entry that it ends with.

The methods in mixed case are the interface that PySyncObj asks of its serializer; the state itself
belongs to another thread, which is asked for it by `request` and answers to `provide`.
"""

from __future__ import annotations

import logging
import marshal
import os
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, NamedTuple

from rustray.errors import ClusterStateError
from rustray.head.journal import Journal, sync_folder

MAGIC = b"RRAYSNP1"
SNAPSHOT = "snapshot"  # name of the file
CHUNK_BYTES = 64 << 10
BACKLOG_BYTES = 4 << 20  # on their way to one head; more chunks wait
RETRY_AFTER = 5.0  # seconds after a snapshot could not be written

_DIGEST = 32
_NOT_SERIALIZING, _SERIALIZING, _SUCCESS, _FAILED = 0, 1, 2, 3  # PySyncObj's SERIALIZER_STATE

Entry = tuple[bytes, int, int]

_log = logging.getLogger(__name__)


class Snapshot(NamedTuple):
    """`before` and `last` are the two entries that were applied last, `facts` is what all of them have led to."""

    before: Entry
    last: Entry
    facts: Any


def pack_snapshot(snapshot: Snapshot) -> bytes:
    data = marshal.dumps(tuple(snapshot), 4)
    return MAGIC + blake2b(data, digest_size=_DIGEST).digest() + data


def read_snapshot(path: Path) -> Snapshot:
    """Raises ClusterStateError where the file is not what was written."""
    data = path.read_bytes()
    start = len(MAGIC) + _DIGEST
    digest = blake2b(memoryview(data)[start:], digest_size=_DIGEST).digest()
    if data[:start] != MAGIC + digest:
        raise ClusterStateError.damaged(str(path), "its checksum does not match")
    return Snapshot(*marshal.loads(memoryview(data)[start:]))


def private(path: str, flags: int) -> int:
    """An opener of files that only their owner may read."""
    return os.open(path, flags, 0o600)


def write_durably(path: Path, data: bytes) -> None:
    with open(path, "wb", opener=private) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


class Snapshots:
    """The snapshot of one head. `backlog`, to be set, tells the bytes on their way to another.

    Parameters: loaded: the one that the head starts with, if there is one. request: asks for the facts as of the
    entry with that index, the one applied last. installed: takes a snapshot that came from the leader.
    """

    def __init__(
        self,
        folder: Path,
        journal: Journal,
        loaded: Snapshot | None,
        request: Callable[[int], None],
        installed: Callable[[Snapshot], None],
    ) -> None:
        self.path = folder / SNAPSHOT
        self.backlog: Callable[[Any], int] = lambda node: 0
        self._folder = folder
        self._journal = journal
        self._request = request
        self._installed = installed
        self._initial = loaded
        self._state = _NOT_SERIALIZING
        self._entries: tuple[Entry, Entry] | None = None
        self._id = 0
        self._facts: Any = None
        self._retry_at = 0.0
        self._outgoing: dict[Any, IO[bytes]] = {}
        self._incoming: IO[bytes] | None = None

    # -- making one

    def serialize(self, data: tuple[Any, Entry, Entry, Any], id: int) -> None:
        if self._state != _NOT_SERIALIZING or time.monotonic() < self._retry_at:
            return
        _nothing, last, before, _cluster = data
        self._entries, self._id, self._facts = (before, last), id, None
        self._state = _SERIALIZING
        self._request(last[1])

    def provide(self, index: int, facts: Any) -> None:
        """The facts that were requested, as of the entry `index`."""
        if self._state == _SERIALIZING and self._entries is not None and self._entries[1][1] == index:
            self._facts = facts

    def checkSerializing(self) -> tuple[int, int | None]:
        if self._state == _SERIALIZING and self._facts is not None:
            assert self._entries is not None
            snapshot = Snapshot(*self._entries, self._facts)
            self._facts, self._state = None, _NOT_SERIALIZING
            try:
                self._put_in_place("snapshot.new", pack_snapshot(snapshot))
            except OSError as error:
                self._retry_at = time.monotonic() + RETRY_AFTER
                _log.warning("the snapshot of %s could not be written: %s", self._folder, error)
                return _FAILED, self._id
            return _SUCCESS, self._id
        return self._state, self._id

    def _put_in_place(self, name: str, data: bytes) -> None:
        new = self._folder / name
        write_durably(new, data)
        os.rename(new, self.path)
        sync_folder(self._folder)

    def deserialize(self) -> tuple[None, Entry, Entry, list[Any]]:
        snapshot = self._initial or read_snapshot(self.path)
        self._initial = None
        return None, snapshot.last, snapshot.before, []

    # -- sending one

    def getTransmissionData(self, transmissionID: Any) -> tuple[bytes, bool, bool] | None:
        if self.backlog(transmissionID) > BACKLOG_BYTES:
            return None
        file = self._outgoing.get(transmissionID)
        first = file is None
        if file is None:
            file = self._outgoing[transmissionID] = open(self.path, "rb")
        chunk = file.read(CHUNK_BYTES)
        if not chunk:
            self.cancelTransmisstion(transmissionID)
        return chunk, first, not chunk

    def cancelTransmisstion(self, id: Any) -> None:
        file = self._outgoing.pop(id, None)
        if file is not None:
            file.close()

    # -- receiving one

    def setTransmissionData(self, data: tuple[bytes, bool, bool] | None) -> bool:
        """Whether a whole snapshot has arrived and is in place."""
        if data is None:
            return False
        new = self._folder / "snapshot.incoming"
        try:
            if not self._receive(new, *data):
                return False
            snapshot = read_snapshot(new)
        except (ClusterStateError, OSError) as error:  # the leader sends it again
            self._forget_incoming()
            _log.warning("a snapshot from the leader is not used: %s", error)
            return False
        if self._journal.term_at(snapshot.last[1]) == snapshot.last[2]:
            return False
        self._state, self._facts = _NOT_SERIALIZING, None  # one of ours would be older
        os.rename(new, self.path)
        sync_folder(self._folder)
        self._installed(snapshot)
        return True

    def _receive(self, new: Path, chunk: bytes, first: bool, last: bool) -> bool:
        if first:
            self._forget_incoming()
            self._incoming = open(new, "wb", opener=private)
        if self._incoming is None:
            return False
        self._incoming.write(chunk)
        if last:
            self._incoming.flush()
            os.fsync(self._incoming.fileno())
            self._forget_incoming()
        return last

    def _forget_incoming(self) -> None:
        if self._incoming is not None:
            self._incoming.close()
            self._incoming = None

    def close(self) -> None:
        self._forget_incoming()
        for node in list(self._outgoing):
            self.cancelTransmisstion(node)
