"""What clusters answer, as JSON can say it."""

from __future__ import annotations

import math
from typing import Any


def json_value(value: Any) -> Any:
    """A plain value without what JSON does not have: bytes become hexadecimal text, sets and tuples lists, and numbers
    that are not finite null, for browsers refuse `NaN`."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {_key(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_value(item) for item in value]
    return value


def _key(key: Any) -> str:
    return key.hex() if isinstance(key, bytes) else str(key)
