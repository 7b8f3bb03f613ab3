"""Values to bytes and back: pickle protocol 5, buffers out of band, code of notebooks by value.

Importing this package costs an import of pickle; cloudpickle comes with the first value that needs it.
"""

from __future__ import annotations

from rustray.serialization.custom import deregister_serializer, register_serializer
from rustray.serialization.nested import collecting, current_collector, note_ref, on_ref_pickled_outside
from rustray.serialization.unpicklable import find_unpicklable
from rustray.serialization.values import (
    Packed,
    deserialize,
    preload,
    serialize,
    serialize_call,
    serialize_code,
)

__all__ = [
    "Packed",
    "collecting",
    "current_collector",
    "deregister_serializer",
    "deserialize",
    "find_unpicklable",
    "note_ref",
    "on_ref_pickled_outside",
    "preload",
    "register_serializer",
    "serialize",
    "serialize_call",
    "serialize_code",
]
