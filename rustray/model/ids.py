"""Object ids: 16 bytes that say whose object it is.

    client (6) | task counter (8) | return index (2), big-endian

A client is a driver or worker; its cluster-unique number is never used twice. So an id is never used twice
either, ids of one client sort by age, and the owner of an object is known without asking.

The upper 20 bits of a client's number are the number of its node, from 1; the lower 28 count the node's clients, from
1. Counter 0 is nobody's: it stands for the node itself, in the books of others.
"""

from __future__ import annotations

from struct import Struct

OBJECT_ID_BYTES = 16
NODE_SHIFT = 28
MAX_INDEX = 2**16 - 1

_NUMBER = Struct(">6xQ2x")
_from_bytes = int.from_bytes


def make_object_id(client: int, number: int, index: int) -> bytes:
    """The id of return value `index` of the task `number` of `client`.

    Raises
    ------
    OverflowError: `client` is negative, or all of it does not fit. Ranges within it are not checked: this
    runs for each task.
    """
    return ((client << 80) | (number << 16) | index).to_bytes(16, "big")


def make_stream_id(client: int, number: int, index: int) -> bytes:
    """The id of value `index` of a stream, which may be longer than a task has return indices.

    Return index 0 is that of the stream as a whole. What is beyond the indices counts in the counter's upper bits,
    which no client reaches by submitting (2**40 tasks).
    """
    place = index + 1
    return make_object_id(client, number | (place >> 16) << 40, place & MAX_INDEX)


def owner_of(oid: bytes) -> int:
    """The client that made the object: the submitter of its task, or the caller of `put`."""
    return _from_bytes(oid[:6], "big")


def node_of(client: int) -> int:
    """The node that a client is connected to."""
    return client >> NODE_SHIFT


def node_client(node: int) -> int:
    """The client number that stands for a whole node."""
    return node << NODE_SHIFT


def home_of(oid: bytes) -> int:
    """The node of the object's owner: it knows who holds the object and where its copies are."""
    return _from_bytes(oid[:6], "big") >> NODE_SHIFT


def number_of(oid: bytes) -> int:
    """The task counter of the object's owner."""
    number: int = _NUMBER.unpack(oid)[0]
    return number


def task_of(oid: bytes) -> bytes:
    """The task that makes the object: the 14 bytes without the index."""
    return oid[:14]
