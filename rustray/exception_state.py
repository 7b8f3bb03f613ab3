"""The state of an exception, taken and set without calling its class.

An exception keeps what it knows in three places: `args`, its `__dict__`, and members, which are the fields of
the C structure (OSError.errno) and the user's `__slots__`. Copying these works for every class, whatever its
`__init__` and `__new__` ask for, and past a `__setattr__` that forbids it (a frozen dataclass).
"""

from __future__ import annotations

import types
from typing import Any, NamedTuple, TypeVar

E = TypeVar("E", bound=BaseException)

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement


class ExceptionState(NamedTuple):
    args: tuple[Any, ...]
    members: dict[str, Any]
    attributes: dict[str, Any]


def state_of(error: BaseException) -> ExceptionState:
    """What `error` holds, without its traceback, cause and context."""
    members: dict[str, Any] = {}
    for name, member in _members(type(error)).items():
        try:
            members[name] = member.__get__(error)
        except AttributeError:
            continue  # a slot that was never set
    args: tuple[Any, ...] = BaseException.args.__get__(error)  # type: ignore[attr-defined]
    return ExceptionState(args, members, dict(getattr(error, "__dict__", ())))


def revive(kind: type[E], state: ExceptionState) -> E:
    """An instance of `kind` that holds `state`.

    Raises
    ------
    TypeError: the class in C under `kind` makes no instance of these args.
    """
    # The nearest class written in C decides the layout in memory, and only its __new__ may make an instance.
    layout = next(base for base in kind.__mro__ if not base.__flags__ & _HEAP_TYPE)
    error: E = layout.__new__(kind, *state.args)
    BaseException.args.__set__(error, state.args)  # type: ignore[attr-defined]
    members = _members(kind)
    for name, value in state.members.items():
        try:
            members[name].__set__(error, value)
        except (AttributeError, TypeError):
            continue  # read-only, as ExceptionGroup.exceptions: then __new__ has set it from the args
    error.__dict__.update(state.attributes)
    return error


def _members(kind: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for base in kind.__mro__:
        for name, member in vars(base).items():
            described = isinstance(member, (types.MemberDescriptorType, types.GetSetDescriptorType))
            if described and name != "args" and not name.startswith("__"):
                found.setdefault(name, member)
    return found
