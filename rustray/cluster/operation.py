"""What every operation on the facts is made of: its fields are checked, and then it is done whole or refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rustray.cluster.state import ClusterState

Payload = dict[str, Any]
Result = dict[str, Any]
Operation = tuple[Callable[["ClusterState", Payload], Result], Sequence[str]]
"""What carries it out, and the fields of its payload."""

_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("actor", "arguments", "group", "key", "place", "prefix", "spec", "value"), (bytes,)),
    **dict.fromkeys(("client", "incarnation", "job", "max_restarts", "number", "pid", "worker"), (int,)),
    **dict.fromkeys(
        ("address", "cause", "class_name", "head", "name", "namespace", "node", "strategy"), (str,)
    ),
    **dict.fromkeys(("complete", "detached", "no_restart", "overwrite", "restart"), (bool,)),
    **dict.fromkeys(("bundles", "nodes", "selectors"), (list,)),
    **dict.fromkeys(("labels", "options", "total"), (dict,)),
    "time": (float, int),
}
"""The types that a field may have, the same in all operations."""


class Refused(Exception):
    """A command that cannot be carried out; never leaves `ClusterState.apply`."""

    def __init__(self, code: str, message: str, **more: Any) -> None:
        self.result: Result = {"error": code, "message": message, **more}


def check_fields(op: str, payload: Mapping[str, Any], fields: Sequence[str]) -> None:
    """Refuse a payload that lacks a field, has one too many, or has one of a wrong type."""
    for name in fields:
        if name not in payload:
            raise Refused("bad_payload", f"{op}: {name} is missing")
        if not isinstance(payload[name], _TYPES[name]):
            text = f"{op}: {name} is {type(payload[name]).__name__}, not {_TYPES[name][0].__name__}"
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
