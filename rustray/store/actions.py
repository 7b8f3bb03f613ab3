"""What the ledger asks its shell to do. Plain facts: the ledger decides, the node's agent acts.

An object id (`oid`) is 16 bytes. A location is `(segment, offset, size)`, in bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Statuses of a Deliver. What an owner publishes has its own statuses, 0 and up; below 0 the ledger speaks.
IN_BLOCK = -1  # payload: the location (segment, offset, size)
OWNER_DIED = -2  # payload: None. The owner went before the value was known
LOST = -3  # payload: why, a text. No copy is left and nobody can make a new one
STORE_FULL = (
    -4
)  # payload: why, a text. No room to bring it here, and no hope of any; a later want tries again


@dataclass(frozen=True, slots=True)
class Granted:
    """Tell `client` that its request has this block; it is the client's until it seals or abandons it."""

    client: int
    request: int
    segment: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Delayed:
    """A request of `client` waits until others make room. The shell says how long: it calls `refuse`."""

    client: int
    request: int


@dataclass(frozen=True, slots=True)
class Full:
    """Tell `client` that its request cannot be met."""

    client: int
    request: int
    text: str


@dataclass(frozen=True, slots=True)
class CreateSegment:
    """Create a segment, then call `segment_ready` or `segment_failed`."""

    segment: int
    size: int


@dataclass(frozen=True, slots=True)
class DropSegment:
    """Close a segment and tell the clients that mapped it. No block of it is in use."""

    segment: int


@dataclass(frozen=True, slots=True)
class SpillOut:
    """Write a block to a file, then call `spilled` or `spill_failed`. The block stays as it is until then."""

    oid: bytes
    segment: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class RestoreIn:
    """Read a spill file into a block, then call `restored` or `restore_failed`."""

    oid: bytes
    path: str
    segment: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class DropSpill:
    """Delete a spill file."""

    path: str


@dataclass(frozen=True, slots=True)
class Deliver:
    """Answer a want. With status IN_BLOCK it begins a *reading*, which the client ends with one `unread`."""

    client: int
    oid: bytes
    status: int
    payload: Any


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell the ledger of another node (`federation.py`), in the order of these actions; dropped if it is down."""

    node: int
    message: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class PullIn:
    """Copy the object, `size` bytes, from `node`, which keeps it in place, into a block of ours, then call `pulled` or
    `pull_failed`."""

    oid: bytes
    node: int
    segment: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Short:
    """An object that is wanted waits for room. After a while, ask for its `outlook`."""

    oid: bytes


@dataclass(frozen=True, slots=True)
class Freed:
    """Tell the owner that nobody holds these objects any more, and that the node has forgotten them."""

    owner: int
    oids: list[bytes]


@dataclass(frozen=True, slots=True)
class Recover:
    """Ask the owner to make a lost object again."""

    owner: int
    oid: bytes


Action = (
    Granted
    | Delayed
    | Full
    | CreateSegment
    | DropSegment
    | SpillOut
    | RestoreIn
    | DropSpill
    | Deliver
    | Tell
    | PullIn
    | Short
    | Freed
    | Recover
)
