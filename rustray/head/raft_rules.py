"""What a head may believe of a raft message: PySyncObj believes more than is safe.

Rule 1. An entry that the log already has is never deleted to be written again; only a conflict of terms
        voids entries, and never one that is committed.
Rule 2. A message proves that the log equals the leader's up to the last entry it names, and nothing behind
        that: only so much is acknowledged, and only so much of it is committed.
Rule 3. What was said in another term counts for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

Entry = tuple[bytes, int, int]  # command, index, term
Message = dict[str, Any]


class Log(Protocol):
    @property
    def first_index(self) -> int: ...
    @property
    def last_index(self) -> int: ...
    def term_at(self, index: int) -> int | None: ...


class Diverged(Exception):
    """A leader contradicts what is committed: two heads have different pasts, and this one must stop."""


class Believed(NamedTuple):
    """A message as PySyncObj may see it, and the last index that it proves (None: it proves nothing)."""

    message: Message
    proven: int | None


def believe_append(message: Mapping[str, Any], log: Log, committed: int) -> Believed:
    """An ``append_entries`` with entries or none, as it arrived from the leader."""
    previous, previous_term = message["prevLogIdx"], message["prevLogTerm"]
    entries: list[Entry] = list(message["entries"])
    if previous is None or previous > log.last_index:
        return Believed(dict(message, commit_index=0), None)  # PySyncObj asks for earlier ones
    proven = previous + len(entries)
    if previous < log.first_index:  # committed long ago, and so the same here and there
        entries = [entry for entry in entries if entry[1] > log.first_index]
        previous = log.first_index
        proven = max(proven, previous)
    elif log.term_at(previous) != previous_term:
        if previous <= committed:
            raise Diverged(f"the leader has another entry {previous} of term {previous_term}")
        return Believed(dict(message, commit_index=0), None)  # PySyncObj asks for the one before
    known = 0
    while known < len(entries) and log.term_at(entries[known][1]) == entries[known][2]:
        previous = entries[known][1]
        known += 1
    entries = entries[known:]
    if not entries:
        previous = log.last_index  # PySyncObj deletes what is behind `previous`
    elif entries[0][1] <= log.last_index and entries[0][1] <= committed:
        raise Diverged(f"the leader has another entry {entries[0][1]} of term {entries[0][2]}")
    believed = dict(
        message,
        prevLogIdx=previous,
        prevLogTerm=log.term_at(previous),
        entries=entries,
        commit_index=min(message["commit_index"], proven),
    )
    return Believed(believed, proven)


def believe_snapshot(message: Mapping[str, Any], committed: int) -> Message:
    """An ``append_entries`` with a piece of a snapshot: it says nothing about the entries that are here."""
    return dict(message, commit_index=committed)


def acknowledge(ack: Mapping[str, Any], term: int, proven: int | None) -> Message:
    """A ``next_node_idx`` as it leaves: no more than is proven, and stamped with the term."""
    index = ack["next_node_idx"]
    if ack["success"] and proven is not None:
        index = min(index, proven + 1)
    return dict(ack, next_node_idx=index, term=term)


def counts(ack: Mapping[str, Any], term: int) -> bool:
    """Whether a ``next_node_idx`` answers the leader of this term."""
    return bool(ack.get("term") == term)
