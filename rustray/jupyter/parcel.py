"""Values on their way to a task: who passes them on need not unpack them, and so runs nobody's code."""

from __future__ import annotations

from typing import Any, NamedTuple

from rustray import serialization
from rustray.driver.entry import VALUE
from rustray.driver.packing import INLINE_LIMIT, Packed, inline, packed_size
from rustray.driver.refs import ObjectRef
from rustray.driver.session import Session

SHARED_LIMIT = 4096
"""Bytes; from this size on what many tasks are given lies in the store once."""


class Parcel(NamedTuple):
    """A small packed value without references in it."""

    packed: Packed

    def open(self) -> Any:
        """The value."""
        if isinstance(self.packed, bytes):
            return serialization.deserialize(self.packed)
        return serialization.deserialize(*self.packed)


def parcel(session: Session, value: Any, shared: bool = False) -> tuple[Parcel | ObjectRef, int]:
    """Pack `value`, and store it if it is big or has references in it; with its size in bytes.

    Parameters
    ----------
    shared: whether many tasks will get it.

    Raises
    ------
    SerializationError: it cannot travel.
    """
    packed = serialization.serialize(value)
    size = packed_size(packed)
    if not packed.refs and size < (SHARED_LIMIT if shared else INLINE_LIMIT):
        return Parcel(inline(packed)), size
    contained = session.sharing.escape(packed.refs) if packed.refs else ()
    entry = session.writer.put_packed(packed, contained)
    entry.count = 1
    return ObjectRef(session.objects, entry), size


def as_it_is(ref: ObjectRef) -> Parcel | ObjectRef:
    """A small value that this process has, without references in it; else the ref that it is asked by."""
    entry = ref._entry
    if entry.state == VALUE and not entry.contains:
        return Parcel(entry.payload)
    return ref
