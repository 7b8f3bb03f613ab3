"""What the ledger remembers: an `Entry` an object, a `Client` a connection, a `Request` a wish for room."""

from __future__ import annotations

from typing import Any

from rustray.model.ids import node_client

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
FREED = 8  # forgotten
REMOTE = 9  # in the stores of other nodes; only an object's home has entries in this state
PULLING = 10  # as REMOTE, and another node has been asked for it, or a block, or is being copied into one
STATES = (
    "unknown", "pending", "lost", "inline", "block", "spilling", "spilled", "restoring", "freed", "remote",
    "pulling",
)  # fmt: skip


class Entry:
    """An object. It exists while it is held, contained, declared, wanted without a value, or in flight.

    One of another node's objects exists while somebody here holds or wants it, or while there is a copy here.
    """

    __slots__ = (
        "oid", "owner", "state", "holds", "inside", "wants", "readings", "contains",
        "status", "payload", "block", "copies", "size", "path", "seal_held", "seal_reading", "recovering",
        "spill_round", "request", "away",
    )  # fmt: skip

    def __init__(self, oid: bytes, owner: int) -> None:
        self.oid = oid
        self.owner = owner
        self.state = UNKNOWN
        self.holds: dict[int, int] = {}  # client: signed count, never 0
        self.inside = 0  # how often values that exist contain it
        self.wants: dict[int, None] = {}  # clients that wait for the value, in order
        self.readings: dict[int, int] = {}  # client: how many deliveries of the block it has not ended
        self.contains: tuple[bytes, ...] = ()
        self.status = 0
        self.payload: Any = None  # of a lost one: why
        self.block: Block | None = None
        self.copies: list[tuple[Block, int]] = []  # and sizes: sealed while the first could not be replaced
        self.size = 0  # of the value in block or file, in bytes
        self.path: str | None = None
        self.seal_held: int | None = None  # for whom the sealer made a hold
        self.seal_reading = False  # and a reading, which nothing says that it knows of
        self.recovering = False  # the owner has been asked to make it again
        self.spill_round = -1  # the round in which spilling it failed
        self.request: Request | None = None  # for room to bring it into
        self.away: Away | None = None  # always there for an object of another node


class Away:
    """What an entry has to do with other nodes."""

    __slots__ = ("home", "registered", "asked", "kept", "secondary", "places", "sources", "source", "offered")

    def __init__(self, home: int) -> None:
        self.home = home  # the node of the object's owner; 0 if that is here
        self.secondary = False  # the value here is a copy of another node's, so it need not go to disk
        # At home:
        self.places: dict[int, bool] = {}  # nodes that have a copy: was it made there, or are they to keep it
        # Elsewhere:
        self.registered = 0  # how many holds home counts for this node
        self.asked = False  # home has been asked for the value
        self.kept = False  # home counts on the copy that is here
        self.sources: list[int] = []  # nodes that have it and have not been tried
        # While it is pulled:
        self.source = 0  # from this node
        self.offered = False  # which keeps it in place for us until it is told


class Client:
    """A connection and all that ends with it. Dicts as sets, for an order that can be relied on."""

    __slots__ = ("held", "wanted", "reading", "unvalued")

    def __init__(self) -> None:
        self.held: dict[Entry, None] = {}
        self.wanted: dict[Entry, None] = {}
        self.reading: dict[Entry, None] = {}
        self.unvalued: dict[Entry, None] = {}  # entries it owns that have no value


class Node(Client):
    """Another node: a client that stands for all clients there, and what is shared with it."""

    __slots__ = ("number", "client", "down", "leaving", "homed", "copies", "pulls")

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.client = node_client(number)
        self.down = False
        self.leaving = False  # in an orderly way: its copies will be gone
        self.homed: dict[Entry, None] = {}  # objects of its clients that are known here
        self.copies: dict[Entry, None] = {}  # objects of ours of which it has a copy
        self.pulls: dict[Entry, None] = {}  # what is being pulled from it


class Request:
    """A wish for a block: a client's, to write into, or the ledger's own, to restore `entry`."""

    __slots__ = ("client", "number", "size", "entry")

    def __init__(self, client: int | None, number: int, size: int, entry: Entry | None) -> None:
        self.client = client
        self.number = number
        self.size = size
        self.entry = entry
