"""Commands as entries of the raft log: plain values, packed by marshal; big ones in numbered fragments.

Rule 1. A head adds the fragments of one command one after another. So at most one command is being put
        together at a time, and a fragment that does not follow its predecessor ends it.
Rule 2. What is put together so far is part of the replicated state, and so of every snapshot.
"""

from __future__ import annotations

import marshal
import struct
from collections.abc import Mapping
from typing import Any

MARSHAL_VERSION = 4  # the same bytes for every Python that we support
FRAGMENT_BYTES = 24 << 10  # the bounds of PySyncObj's transport for one entry are far above
COMMAND_BYTES = 16 << 20

_REGULAR = b"\0"  # PySyncObj's type of an entry; its no-op is b"\1"
_WHOLE, _FRAGMENT = b"w", b"f"
_NUMBER = struct.Struct("<16sII")  # id, number of the fragment, count of fragments

Command = tuple[str, dict[str, Any]]


class CommandTooLarge(ValueError):
    """The command is bigger than `COMMAND_BYTES`."""


def pack_command(op: str, payload: Mapping[str, Any], fragments_id: bytes) -> list[bytes]:
    """The entries of a command. ValueError where the payload is not of plain values, or too large.

    Parameters: fragments_id: 16 bytes, never used for another command.
    """
    data = marshal.dumps((op, dict(payload)), MARSHAL_VERSION)
    if len(data) <= FRAGMENT_BYTES:
        return [_REGULAR + _WHOLE + data]
    if len(data) > COMMAND_BYTES:
        raise CommandTooLarge(f"{op} has {len(data)} bytes; {COMMAND_BYTES} is the most a command may have")
    pieces = [data[start : start + FRAGMENT_BYTES] for start in range(0, len(data), FRAGMENT_BYTES)]
    return [
        _REGULAR + _FRAGMENT + _NUMBER.pack(fragments_id, number, len(pieces)) + piece
        for number, piece in enumerate(pieces)
    ]


class Assembly:
    """Makes commands of the entries that were applied, in their order."""

    def __init__(self, pieces: list[bytes] | None = None) -> None:
        self.pieces: list[bytes] = pieces or []  # entries of the command that is not complete yet

    def take(self, entry: bytes) -> Command | None:
        """The command that this entry completes; None where it completes none, or is none of ours."""
        if entry[:1] != _REGULAR:
            return None
        if entry[1:2] == _WHOLE:
            self.pieces.clear()
            return _unpack(entry[2:])
        fragments_id, number, count = _NUMBER.unpack_from(entry, 2)
        if number == 0:
            self.pieces.clear()
        elif number != len(self.pieces) or _NUMBER.unpack_from(self.pieces[0], 2)[0] != fragments_id:
            self.pieces.clear()
            return None
        self.pieces.append(entry)
        if number + 1 < count:
            return None
        start = 2 + _NUMBER.size
        whole = b"".join(piece[start:] for piece in self.pieces)
        self.pieces.clear()
        return _unpack(whole)


def _unpack(data: bytes) -> Command:
    op, payload = marshal.loads(data)
    return op, payload
