"""Serializers that a user registers for his own classes, as with `ray.util.register_serializer`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# Exact class -> how its instances are reduced. Read by the pickler for every object that is not built in.
reducers: dict[type, Callable[[Any], tuple[Any, ...]]] = {}

# pickle treats these itself and never asks for a reducer.
_FIXED = frozenset(
    {int, float, complex, str, bytes, bytearray, bool, type(None), tuple, list, dict, set, frozenset, type}
)


def is_bare_array(value: Any, kind: type) -> bool:
    """Whether `value`, of the exact class `kind`, is an ndarray of numbers. NumPy is not imported for it."""
    return kind.__name__ == "ndarray" and kind.__module__ == "numpy" and not value.dtype.hasobject


def register_serializer(
    cls: type, *, serializer: Callable[[Any], Any], deserializer: Callable[[Any], Any]
) -> None:
    """Pickle instances of `cls` in this process as `serializer(instance)`.

    Parameters
    ----------
    cls: the exact class; subclasses are not meant.
    serializer: gives something that can be pickled.
    deserializer: rebuilds the instance from that; it travels with the value, so only this process registers.

    Raises
    ------
    TypeError: `cls` is not a class, or one that pickle treats itself (int, list, ...).
    """
    if not isinstance(cls, type) or cls in _FIXED:
        raise TypeError(f"register_serializer() needs a class that is not built in, not {cls!r}")
    reducers[cls] = lambda value: (deserializer, (serializer(value),))


def deregister_serializer(cls: type) -> None:
    """Undo `register_serializer(cls)`; nothing happens if there is none."""
    reducers.pop(cls, None)
