"""The journal after every crash that can be: what was durable is there, and what is damaged is refused."""

from __future__ import annotations

import errno
import os
import random
import shutil
from pathlib import Path

import pytest

from rustray.errors import ClusterStateError
from rustray.head import journal as journal_module
from rustray.head.journal import Entry, Journal, JournalFull
from rustray.head.journal_records import read_header, read_records

SEGMENT = 4096


def entries_of(journal: Journal) -> list[Entry]:
    return list(journal[:])


def act(journal: Journal, rng: random.Random, term: int) -> None:
    """Something that raft may do to its journal."""
    choice = rng.random()
    if choice < 0.8 or len(journal) < 3:
        last = journal[-1][1] if len(journal) else 0
        journal.add(rng.randbytes(rng.randrange(300)), last + 1, term)
    elif choice < 0.9:
        journal.deleteEntriesFrom(rng.randrange(1, len(journal)))
    elif choice < 0.95:
        journal.deleteEntriesTo(rng.randrange(len(journal) - 1))
    else:
        journal.clear()
        start = rng.randrange(1, 1000)
        journal.add(b"before", start, term)
        journal.add(b"last", start + 1, term)


def reopened(folder: Path) -> Journal:
    return Journal(folder, SEGMENT)


@pytest.mark.parametrize("seed", range(16))
def test_any_crash_leaves_what_was_durable_and_a_beginning_of_the_rest(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    journal = reopened(tmp_path / make(tmp_path, "a"))
    for term in range(20):
        for _ in range(rng.randrange(4)):
            act(journal, rng, term)
        if rng.random() < 0.3:
            journal.remember(term=term, voted=rng.choice(["one", "two", None]))
        journal.sync()
        # All that could be there if the process or the machine stopped before the next sync has returned.
        allowed = [entries_of(journal)]
        voted = journal.getVotedForNodeId()
        file, offset, present = journal._file, journal._written, journal._sequence
        for _ in range(rng.randrange(5)):
            journal.add(rng.randbytes(rng.randrange(100)), allowed[-1][-1][1] + 1 if allowed[-1] else 1, term)
            allowed.append(entries_of(journal))
        if journal._sequence == present:
            unwritten = bytearray(journal._unwritten)
            if rng.random() < 0.5:
                del unwritten[rng.randrange(len(unwritten) + 1) :]
            elif unwritten:  # a page in between was not written
                hole = rng.randrange(len(unwritten))
                unwritten[hole : hole + 50] = bytes(len(unwritten[hole : hole + 50]))
            os.pwrite(file, unwritten, offset)
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        after = reopened(tmp_path / "b")
        kept = entries_of(after)
        # entries that were dropped as covered by a snapshot may be back, as their segment is still there
        assert any(kept[len(kept) - len(one) :] == one for one in allowed)
        assert after.getVotedForNodeId() == voted
        after.add(b"goes on", kept[-1][1] + 1 if kept else 1, term)
        after.sync()
        grown = entries_of(after)
        after.close()
        again = reopened(tmp_path / "b")
        assert entries_of(again) == grown
        again.close()
        shutil.rmtree(tmp_path / "b")
        journal.sync()
    journal.close()


def make(folder: Path, name: str) -> str:
    (folder / name).mkdir()
    return name


@pytest.mark.parametrize("seed", range(30))
def test_a_changed_byte_of_what_was_durable_is_refused(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    journal = reopened(tmp_path)
    for index in range(1, 60):
        journal.add(rng.randbytes(rng.randrange(300)), index, 1)
        if rng.random() < 0.5:
            journal.sync()
    journal.sync()
    used = {path: end_of_records(path) for path in tmp_path.glob("journal-*")}
    journal.onOneSecondTimer()  # leaves proof of the last ones
    journal.close()
    path = rng.choice(list(used))
    data = bytearray(path.read_bytes())
    data[rng.randrange(used[path])] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    with pytest.raises(ClusterStateError, match="damaged"):
        reopened(tmp_path)


def end_of_records(path: Path) -> int:
    data = path.read_bytes()
    header = read_header(data)
    assert header is not None
    return read_records(data, header.seed)[1]


def test_a_segment_that_was_cut_short_or_is_missing_is_refused(tmp_path: Path) -> None:
    journal = reopened(tmp_path)
    for index in range(1, 40):
        journal.add(bytes(300), index, 1)
    journal.sync()
    journal.close()
    paths = sorted(tmp_path.glob("journal-*"))
    assert len(paths) > 3
    with open(paths[-1], "r+b") as file:
        file.truncate(SEGMENT // 2)
    with pytest.raises(ClusterStateError, match="cut short"):
        reopened(tmp_path)
    with open(paths[-1], "r+b") as file:
        file.truncate(SEGMENT)
    paths[1].unlink()
    with pytest.raises(ClusterStateError, match="missing"):
        reopened(tmp_path)


def test_bytes_that_were_torn_off_are_never_read_again(tmp_path: Path) -> None:
    journal = reopened(tmp_path)
    journal.add(b"one", 1, 1)
    journal.sync()
    start = journal._written
    journal.add(b"torn", 2, 1)
    journal.add(b"ghost", 3, 1)
    journal.sync()
    journal.close()
    (path,) = tmp_path.glob("journal-*")
    data = bytearray(path.read_bytes())
    data[start] ^= 1  # as if the first of the two had not been written, and sync had not returned
    path.write_bytes(data)
    journal = reopened(tmp_path)
    assert entries_of(journal) == [(b"one", 1, 1)]
    journal.add(b"TORN", 2, 2)  # as long as the torn one, so that the ghost would follow it
    journal.sync()
    journal.close()
    assert entries_of(reopened(tmp_path)) == [(b"one", 1, 1), (b"TORN", 2, 2)]


def test_dropped_entries_free_their_segments(tmp_path: Path) -> None:
    journal = reopened(tmp_path)
    journal.remember(term=3, voted="me")
    for index in range(1, 100):
        journal.add(bytes(300), index, 3)
    many = journal.size
    journal.deleteEntriesTo(97)
    assert journal.size < many / 4
    assert [entry[1] for entry in journal[:]] == [98, 99]
    journal.close()
    journal = reopened(tmp_path)
    assert journal[-1][1] == 99
    assert journal.first_index > 80
    assert (journal.getCurrentTerm(), journal.getVotedForNodeId()) == (3, "me")


def test_nothing_is_written_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: dict[int, int] = {}
    write = os.pwrite

    def pwrite(file: int, data: bytes, offset: int) -> int:
        inode = os.fstat(file).st_ino
        assert offset == 0 or offset >= written[inode]  # at 0: the header of a new file
        written[inode] = offset + len(data)
        return write(file, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    rng = random.Random(1)
    journal = reopened(tmp_path)
    for term in range(200):
        act(journal, rng, term)
        journal.sync()
    journal.close()


def test_without_room_raft_goes_on_a_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = reopened(tmp_path)
    assert not journal.full

    def no_room(file: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(journal_module.os, "posix_fallocate", no_room)
    index = 0
    while not journal.full:
        index += 1
        journal.add(bytes(500), index, 1)
    journal.setCurrentTerm(2, "somebody")
    with pytest.raises(JournalFull):
        for _ in range(20):
            index += 1
            journal.add(bytes(500), index, 2)
    kept = entries_of(journal)
    journal.sync()
    monkeypatch.undo()
    journal.onOneSecondTimer()
    assert not journal.full
    journal.add(b"there is room again", kept[-1][1] + 1, 2)
    journal.sync()
    journal.close()
    assert [entry[1] for entry in reopened(tmp_path)[:]] == list(range(1, kept[-1][1] + 2))


def test_a_write_that_finds_no_room_is_made_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems have no room for a write into what they had allocated."""
    journal = reopened(tmp_path)
    journal.add(b"one", 1, 1)
    write = os.pwrite

    def half(file: int, data: bytes, offset: int) -> int:
        if len(data) < 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data[: len(data) // 2], offset)

    monkeypatch.setattr(os, "pwrite", half)
    with pytest.raises(JournalFull):
        journal.sync()
    assert journal.full
    monkeypatch.undo()
    journal.sync()
    journal.close()
    assert entries_of(reopened(tmp_path)) == [(b"one", 1, 1)]


def test_aligning_with_a_snapshot(tmp_path: Path) -> None:
    journal = reopened(tmp_path)
    entries = [(b"%d" % index, index, 1) for index in range(1, 11)]
    for entry in entries:
        journal.add(*entry)
    journal.align(entries[4], entries[5])
    assert entries_of(journal) == entries[4:]  # what follows the snapshot is kept
    journal.align((b"x", 20, 3), (b"y", 21, 3))
    assert entries_of(journal) == [(b"x", 20, 3), (b"y", 21, 3)]  # it came from a leader, and ours are void
    with pytest.raises(ClusterStateError, match="begins with entry 20"):
        journal.align(entries[4], entries[5])  # what is between is lost
    journal.close()
    assert entries_of(reopened(tmp_path)) == [(b"x", 20, 3), (b"y", 21, 3)]
