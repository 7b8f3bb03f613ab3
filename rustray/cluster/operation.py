"""What every operation on the facts is made of: its fields are checked, and then it is done whole or refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rustray.cluster.state import ClusterState

Payload = dict[str, Any]
Result = dict[str, Any]
Fields = Mapping[str, tuple[type, ...]]
Operation = tuple[Callable[["ClusterState", Payload], Result], Fields]
"""What carries it out, and the fields of its payload with the types that each may have."""

INT, STR, BYTES, BOOL, DICT, LIST = (int,), (str,), (bytes,), (bool,), (dict,), (list,)
TIME = (float, int)


class Refused(Exception):
    """A command that cannot be carried out; never leaves `ClusterState.apply`."""

    def __init__(self, code: str, message: str, **more: Any) -> None:
        self.result: Result = {"error": code, "message": message, **more}


def check_fields(op: str, payload: Mapping[str, Any], fields: Fields) -> None:
    """Refuse a payload that lacks a field, has one too many, or has one of a wrong type."""
    for name, types in fields.items():
        if name not in payload:
            raise Refused("bad_payload", f"{op}: {name} is missing")
        if not isinstance(payload[name], types):
            text = f"{op}: {name} is {type(payload[name]).__name__}, not {types[0].__name__}"
            raise Refused("bad_payload", text)
    for name in payload:
        if name not in fields and name != "operation":
            raise Refused("bad_payload", f"{op} has no field {name!r}")


def forget_oldest(remembered: dict[Any, Any], keep: int) -> list[Any]:
    """Forget the oldest entries beyond `keep`; return their keys."""
    forgotten = []
    while len(remembered) > keep:
        oldest = next(iter(remembered))
        del remembered[oldest]
        forgotten.append(oldest)
    return forgotten
