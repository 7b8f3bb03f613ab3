"""The raft log of one head on disk, in append-only segments.

Rule 1. Nothing that was written is written again: entries are voided by records that say so, and segments
        are removed whole, the oldest first.
Rule 2. `sync` makes all that was added durable, in one write and one fsync. Before it returns nobody may be told.
Rule 3. The next segment is allocated before it is needed. Where that fails the disk is full: `full` is set, and
        the rest of the present segment is left to what raft itself has to write.
Rule 4. A tail that a crash tore is cut off. A journal that has lost anything durable is refused.

Its methods in mixed case are the interface that PySyncObj asks of a journal; a position there counts from
the first entry that the journal still has.
"""

from __future__ import annotations

import errno
import marshal
import os
from pathlib import Path
from typing import Any, SupportsIndex, overload

from rustray.errors import ClusterStateError
from rustray.head.journal_records import (
    ENTRY,
    MARK,
    META,
    RESET,
    SEGMENT_HEADER,
    TRUNCATE,
    Record,
    SegmentHeader,
    durable_behind,
    pack_header,
    pack_record,
    read_header,
    read_records,
)

SEGMENT_BYTES = 4 << 20

Entry = tuple[bytes, int, int]  # command, index, term

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # EFBIG: over the process's RLIMIT_FSIZE


class JournalFull(Exception):
    """There is no room on the disk for what was to be written."""


class Journal:
    """Parameters: folder: exists, and is this journal's alone. segment_bytes: length of a new segment.

    Raises ClusterStateError where the journal is damaged, JournalFull where there is no room for its beginning.
    """

    def __init__(self, folder: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._entries: list[Entry] = []
        self._meta: dict[str, Any] = {}
        self._highest: dict[int, int] = {}  # segment: highest index of the entries in it
        self._unwritten = bytearray()
        self._file = -1
        self._sequence = 0
        self._position = 0  # of the first record of the present segment
        self._seed = 0
        self._written = 0  # offset in the present segment
        self._durable = 0  # position
        self._spare: Path | None = None
        self.full = False  # no room for another segment: only raft itself should add now; read by other threads too
        paths = sorted(folder.glob("journal-*"))
        self.blank = not paths
        if self.blank:
            self._allocate_spare()
            self._begin_segment(0, 0)
        else:
            self._replay(paths)
        self._marked = self._durable
        self._allocate_spare()

    @property
    def size(self) -> int:
        """Bytes in segments, the spare one not counted."""
        return len(self._highest) * self._segment_bytes

    @property
    def first_index(self) -> int:
        return self._entries[0][1]

    @property
    def last_index(self) -> int:
        return self._entries[-1][1]

    def term_at(self, index: int) -> int | None:
        """The term of the entry with that index; None where the journal does not have it."""
        position = index - self.first_index if self._entries else -1
        return self._entries[position][2] if 0 <= position < len(self._entries) else None

    def remembered(self, name: str) -> Any:
        """What `remember` was told; None if nothing."""
        return self._meta.get(name)

    def remember(self, **facts: Any) -> None:
        """Keep plain values for ever, durable on return."""
        self._meta.update(facts)
        self._add_record(META, payload=marshal.dumps(self._meta, 4))
        self.sync()

    def align(self, before: Entry, last: Entry) -> None:
        """Begin with `before` and `last`, the last two entries of a snapshot that is in place on this disk.

        What follows them is kept where the journal has just these two: a crash may have come between a
        snapshot and the compaction it was made for. Raises ClusterStateError where entries between the snapshot
        and the journal are missing.
        """
        if self._entries and self.first_index > last[1]:
            text = f"it begins with entry {self.first_index}, and the snapshot ends with {last[1]}"
            raise ClusterStateError.damaged(str(self._folder), text)
        if self.term_at(last[1]) == last[2] and self.term_at(before[1]) == before[2]:
            self.deleteEntriesTo(before[1] - self.first_index)
        else:
            self.clear()
            self.add(*before)
            self.add(*last)
        self.sync()

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    # -- on disk

    def sync(self) -> None:
        """Make all that was added durable. Raises JournalFull; another OSError is for good."""
        if not self._unwritten:
            return
        try:
            data, offset = memoryview(self._unwritten), self._written
            while data:
                count = os.pwrite(self._file, data, offset)
                data, offset = data[count:], offset + count
            os.fdatasync(self._file)
        except OSError as error:
            if error.errno in _FULL:
                self._give_up_spare()
                raise JournalFull(f"{self._folder}: {error}") from error
            raise
        finally:
            data.release()
        self._written = offset
        self._durable = self._position + offset - SEGMENT_HEADER
        self._unwritten.clear()

    def _add_record(self, kind: int, index: int = 0, term: int = 0, payload: bytes = b"") -> None:
        record = pack_record(Record(kind, self._durable, index, term, payload), self._seed)
        if self._written + len(self._unwritten) + len(record) > self._segment_bytes:
            self.sync()
            self._begin_segment(self._sequence + 1, self._durable)
            record = pack_record(Record(kind, self._durable, index, term, payload), self._seed)
        self._unwritten += record
        if kind == ENTRY:
            self._highest[self._sequence] = index

    def _begin_segment(self, sequence: int, position: int) -> None:
        if self._spare is None:
            self._allocate_spare()
        if self._spare is None:
            raise JournalFull(f"{self._folder} has no room for another {self._segment_bytes} bytes")
        seed = int.from_bytes(os.urandom(4), "little")
        path = self._path(sequence)
        file = os.open(self._spare, os.O_RDWR | os.O_CLOEXEC)
        os.pwrite(file, pack_header(SegmentHeader(sequence, position, self._segment_bytes, seed)), 0)
        os.fsync(file)
        os.rename(self._spare, path)
        sync_folder(self._folder)
        self._spare = None
        self._use(file, sequence, position, seed, SEGMENT_HEADER)
        self._durable = position
        self._highest[sequence] = 0
        if self._meta:  # so that older segments can go
            self._add_record(META, payload=marshal.dumps(self._meta, 4))
        self._allocate_spare()

    def _use(self, file: int, sequence: int, position: int, seed: int, written: int) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = file
        self._sequence = sequence
        self._position = position
        self._seed = seed
        self._written = written

    def _path(self, sequence: int) -> Path:
        return self._folder / f"journal-{sequence:012d}"

    def _allocate_spare(self) -> None:
        if self._spare is not None:
            return
        path = self._folder / "spare"
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(file, 0, self._segment_bytes)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            path.unlink()
            self.full = True
        else:
            self._spare = path
            self.full = False
        finally:
            os.close(file)

    def _give_up_spare(self) -> None:
        """The disk lied about the room it had allocated; it may be true once it has been asked again."""
        if self._spare is not None:
            self._spare.unlink(missing_ok=True)
            self._spare = None
        self.full = True

    # -- opening

    def _replay(self, paths: list[Path]) -> None:
        expected = None  # sequence and position of the next segment
        for path in paths:
            data = path.read_bytes()
            header = read_header(data)
            if header is None or path != self._path(header.sequence) or len(data) != header.length:
                raise self._damaged(f"{path.name} is cut short or has no valid header")
            if expected is not None and (header.sequence, header.position) != expected:
                raise self._damaged(f"what comes before {path.name} is missing or unreadable")
            records, end = read_records(data, header.seed)
            self._highest[header.sequence] = 0
            for record in records:
                self._redo(record, header.sequence)
            expected = header.sequence + 1, header.position + end - SEGMENT_HEADER
        if durable_behind(data, end, header.seed) > expected[1]:  # type: ignore[index, union-attr]
            raise self._damaged(f"{path.name} is unreadable at byte {end}, where it was whole before")
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._use(file, header.sequence, header.position, header.seed, end)  # type: ignore[union-attr]
        self._segment_bytes = header.length  # type: ignore[union-attr]
        if data[end:].strip(b"\0"):  # else what is torn might be read again behind a new record
            os.pwrite(file, bytes(len(data) - end), end)
        os.fsync(file)  # what a killed process had written may be in memory only
        self._durable = self._position + end - SEGMENT_HEADER

    def _redo(self, record: Record, sequence: int) -> None:
        if record.kind == ENTRY:
            if self._entries and record.entry != self.last_index + 1:
                raise self._damaged(f"entry {record.entry} follows entry {self.last_index}")
            self._entries.append((record.payload, record.entry, record.term))
            self._highest[sequence] = max(self._highest[sequence], record.entry)
        elif record.kind == TRUNCATE:
            if self._entries:
                del self._entries[max(record.entry - self.first_index, 0) :]
        elif record.kind == RESET:
            self._entries.clear()
        elif record.kind == META:
            self._meta = marshal.loads(record.payload)

    def _damaged(self, what: str) -> ClusterStateError:
        return ClusterStateError.damaged(str(self._folder), what)

    # -- what PySyncObj asks of a journal

    def add(self, command: bytes, idx: int, term: int) -> None:
        self._add_record(ENTRY, idx, term, command)
        self._entries.append((command, idx, term))

    def clear(self) -> None:
        self._add_record(RESET)
        self._entries.clear()

    def deleteEntriesFrom(self, entryFrom: int) -> None:
        if entryFrom < len(self._entries):
            self._add_record(TRUNCATE, self._entries[entryFrom][1])
            del self._entries[entryFrom:]

    def deleteEntriesTo(self, entryTo: int) -> None:
        """Forget the entries before that position, and the segments that nothing is left of."""
        del self._entries[:entryTo]
        self.sync()  # the present segment must hold the facts before an older one with them goes
        for sequence in sorted(self._highest):
            if sequence == self._sequence or self._highest[sequence] >= self.first_index:
                break
            self._path(sequence).unlink()
            del self._highest[sequence]

    @overload
    def __getitem__(self, item: SupportsIndex) -> Entry: ...
    @overload
    def __getitem__(self, item: slice) -> list[Entry]: ...
    def __getitem__(self, item: SupportsIndex | slice) -> Entry | list[Entry]:
        return self._entries[item]

    def __len__(self) -> int:
        return len(self._entries)

    def setCurrentTerm(self, term: int, votedForNodeId: str | None) -> None:
        self.remember(term=term, voted=votedForNodeId)

    def getCurrentTerm(self) -> int:
        return int(self._meta.get("term", 0))

    def getVotedForNodeId(self) -> str | None:
        return self._meta.get("voted")

    def setRaftCommitIndex(self, raftCommitIndex: int) -> None:
        """Not kept: a new leader finds it out."""

    def getRaftCommitIndex(self) -> int:
        return 1

    def onOneSecondTimer(self) -> None:
        """Look for room again, and leave proof of what is durable: the last record has none behind it."""
        self._allocate_spare()
        if self._marked < self._durable and not self._unwritten:
            self._add_record(MARK)
            self.sync()
            self._marked = self._durable

    def _destroy(self) -> None:
        self.close()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
