"""The records of the journal: how they look on disk, and how much of a segment can be believed.

A segment is a file of fixed length that begins with a header; records follow, then zeros. A record is
magic, CRC-32, length, kind, `durable`, entry, term, payload. Positions count the bytes of records from the first
segment on. `durable` is the position up to which all was on disk (fsync had returned) when the record was made.

Rule 1. A record that cannot be read ends the log: a crash tore it, and nobody was told of it.
Rule 2. Unless a readable record behind it says that it had been durable: then the disk lost what others
        rely on, and the journal is damaged.
"""

from __future__ import annotations

import struct
from typing import NamedTuple
from zlib import crc32

SEGMENT_MAGIC = b"RRAYLOG1"
RECORD_MAGIC = b"\xd7\x5eR\xb1"

_SEGMENT = struct.Struct("<8sQQQI")  # magic, sequence, position of the first record, length of the file, seed
_CRC = struct.Struct("<I")
_RECORD = struct.Struct("<IBQQQ")  # length of the payload, kind, durable, entry, term
_OVERHEAD = len(RECORD_MAGIC) + _CRC.size + _RECORD.size

SEGMENT_HEADER = _SEGMENT.size + _CRC.size  # bytes

ENTRY = 1  # an entry of the raft log
TRUNCATE = 2  # the entries from `entry` on are void
RESET = 3  # all entries so far are void
META = 4  # the payload is what the head must never forget: term, vote, and more
MARK = 5  # nothing but a newer `durable`


class Record(NamedTuple):
    kind: int
    durable: int
    entry: int = 0  # its index
    term: int = 0
    payload: bytes = b""


class SegmentHeader(NamedTuple):
    """`seed` starts the CRC of the segment's records, so that bytes of another segment are no records here."""

    sequence: int
    position: int
    length: int
    seed: int


def pack_header(header: SegmentHeader) -> bytes:
    fields = _SEGMENT.pack(SEGMENT_MAGIC, *header)
    return fields + _CRC.pack(crc32(fields))


def read_header(data: bytes) -> SegmentHeader | None:
    """The header that a segment's bytes begin with; None where it cannot be read."""
    if len(data) < SEGMENT_HEADER:
        return None
    magic, *fields = _SEGMENT.unpack_from(data)
    (crc,) = _CRC.unpack_from(data, _SEGMENT.size)
    if magic != SEGMENT_MAGIC or crc != crc32(data[: _SEGMENT.size]):
        return None
    return SegmentHeader(*fields)


def pack_record(record: Record, seed: int) -> bytes:
    kind, durable, entry, term, payload = record
    fields = _RECORD.pack(len(payload), kind, durable, entry, term)
    return b"".join((RECORD_MAGIC, _CRC.pack(crc32(payload, crc32(fields, seed))), fields, payload))


def read_record(data: bytes, offset: int, seed: int) -> tuple[Record, int] | None:
    """The record at `offset` and where the next one begins; None where no whole record is."""
    fields_at = offset + len(RECORD_MAGIC) + _CRC.size
    payload_at = offset + _OVERHEAD
    if payload_at > len(data) or not data.startswith(RECORD_MAGIC, offset):
        return None
    (crc,) = _CRC.unpack_from(data, offset + len(RECORD_MAGIC))
    length, kind, durable, entry, term = _RECORD.unpack_from(data, fields_at)
    end = payload_at + length
    if end > len(data):
        return None
    payload = data[payload_at:end]
    if crc != crc32(payload, crc32(data[fields_at:payload_at], seed)):
        return None
    return Record(kind, durable, entry, term, payload), end


def read_records(data: bytes, seed: int) -> tuple[list[Record], int]:
    """The records of a segment up to the first that cannot be read, and the offset where they end."""
    records = []
    offset = SEGMENT_HEADER
    while (found := read_record(data, offset, seed)) is not None:
        record, offset = found
        records.append(record)
    return records, offset


def durable_behind(data: bytes, offset: int, seed: int) -> int:
    """The highest `durable` that a readable record behind `offset` tells; 0 where there is none."""
    highest = 0
    while (offset := data.find(RECORD_MAGIC, offset)) >= 0:
        found = read_record(data, offset, seed)
        if found is not None:
            highest = max(highest, found[0].durable)
        offset += 1
    return highest
