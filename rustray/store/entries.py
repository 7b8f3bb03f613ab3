"""What the ledger remembers: an `Entry` an object, a `Client` a connection, a `Request` a wish for room."""

from __future__ import annotations

from typing import Any

from .allocator import Block

# States of an entry. The first three have no value; a wish for their value waits.
UNKNOWN = 0  # somebody holds or wants it, its owner has told nothing yet
PENDING = 1  # declared: the owner will publish it, or somebody will seal it
LOST = 2  # its last copy is gone
INLINE = 3  # the value travels in messages
BLOCK = 4  # sealed in shared memory
SPILLING = 5  # still in its block, being written to a file
SPILLED = 6  # in a file
RESTORING = 7  # in a file, and a block asked for, or being read back into one
FREED = 8  # forgotten; only a request in the queue may still point here
STATES = ("unknown", "pending", "lost", "inline", "block", "spilling", "spilled", "restoring", "freed")


def owner_of(oid: bytes) -> int:
    """The client that owns an object: the first 6 bytes of its id."""
    return int.from_bytes(oid[:6], "big")


class Entry:
    """An object. It exists while it is held, contained, declared, wanted without a value, or in flight."""

    __slots__ = (
        "oid", "owner", "state", "holds", "inside", "wants", "readings", "contains",
        "status", "payload", "block", "copies", "size", "path", "seal_held", "seal_reading", "recovering",
        "spill_round",
    )  # fmt: skip

    def __init__(self, oid: bytes) -> None:
        self.oid = oid
        self.owner = owner_of(oid)
        self.state = UNKNOWN
        self.holds: dict[int, int] = {}  # client: signed count, never 0
        self.inside = 0  # how often values that exist contain it
        self.wants: dict[int, None] = {}  # clients that wait for the value, in order
        self.readings: dict[int, int] = {}  # client: how many deliveries of the block it has not ended
        self.contains: tuple[bytes, ...] = ()
        self.status = 0
        self.payload: Any = None  # of a lost one: why
        self.block: Block | None = None
        self.copies: list[Block] = []  # sealed while the first was being read, so not in its place
        self.size = 0  # of the value in block or file, in bytes
        self.path: str | None = None
        self.seal_held: int | None = None  # for whom the sealer made a hold
        self.seal_reading = False  # and a reading, which nothing says that it knows of
        self.recovering = False  # the owner has been asked to make it again
        self.spill_round = -1  # the round in which spilling it failed


class Client:
    """A connection and all that ends with it. Dicts as sets, for an order that can be relied on."""

    __slots__ = ("held", "wanted", "reading", "unvalued")

    def __init__(self) -> None:
        self.held: dict[Entry, None] = {}
        self.wanted: dict[Entry, None] = {}
        self.reading: dict[Entry, None] = {}
        self.unvalued: dict[Entry, None] = {}  # entries it owns that have no value


class Request:
    """A wish for a block: a client's, to write into, or the ledger's own, to restore `entry`."""

    __slots__ = ("client", "number", "size", "entry")

    def __init__(self, client: int | None, number: int, size: int, entry: Entry | None) -> None:
        self.client = client
        self.number = number
        self.size = size
        self.entry = entry
