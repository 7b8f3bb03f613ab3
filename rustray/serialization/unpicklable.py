"""Which member of a value cannot be pickled, and by which way it is reached.

Only looked for after a failure, so it may be slow, but it must end: each step goes into one child that
fails by itself, so a search takes at most `_MOST_STEPS` trial pickles whatever the size of the value, and no
object is entered twice.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from rustray.serialization.nested import collecting

_DEEPEST = 32
_MOST_STEPS = 20_000
_SAFE = (int, float, complex, str, bytes, bytearray, bool, type(None))


def find_unpicklable(value: Any, name: str = "value") -> tuple[str, str]:
    """The way from `value` to the innermost member that cannot be pickled, and what pickle says of it.

    Parameters
    ----------
    name: put before the path.

    Returns
    -------
    path: as "config -> ['db'].conn"; `name` alone when `value` itself is at fault.
    reason: as "cannot pickle 'sqlite3.Connection' object"; "" if everything can be pickled.
    """
    path, reason = _search(value)
    return (f"{name} -> {path}" if path else name), reason


def serialization_error(value: Any, name: str, error: Exception) -> Exception:
    """The SerializationError for `value`, which `error` kept from being pickled."""
    from rustray.errors import SerializationError

    path, reason = _search(value)
    where = f"{name} -> {path}" if path else name
    reason = reason or _told(error)
    if isinstance(error, RecursionError):
        advice = "It is nested too deeply: send it flat, as a list, or raise sys.setrecursionlimit()."
    else:
        advice = (
            "Make it inside the task or in an actor, leave it out with __getstate__, "
            "or tell how to send it with rustray.util.register_serializer()."
        )
    return SerializationError(f"{where}: {reason}. {advice}", path=path, reason=reason)


def telling(error: Exception) -> Exception | None:
    """`error` as a cause to be shown; None where it has no frames of the user's code, as of a `__getstate__`, and so
    says no more than the SerializationError."""
    from rustray.traceback_text import without_ours

    return None if without_ours(error.__traceback__) is None else error


def _search(value: Any) -> tuple[str, str]:
    reason = _failure(value)
    path = ""
    seen = {id(value)}
    steps = 0
    for _ in range(_DEEPEST):
        if not reason:
            break
        for step, child in _children(value):
            if steps == _MOST_STEPS:
                return path, reason
            if isinstance(child, _SAFE) or id(child) in seen:
                continue
            steps += 1
            deeper = _failure(child)
            if deeper:
                seen.add(id(child))
                path, reason, value = path + step, deeper, child
                break
        else:
            break
    return path.lstrip(), reason


def _failure(value: Any) -> str:
    from rustray.serialization.pickler import dumps

    with collecting():
        try:
            # Buffers are taken out and dropped: a trial must not copy a big array.
            dumps(value, lambda buffer: None)
        except Exception as error:  # whatever it is, it is the answer
            return _told(error)
    return ""


def _told(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply to be pickled"
    text = str(error)
    return text if isinstance(error, TypeError) and text else f"{type(error).__name__}: {text}"


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    """What pickle goes into from `value`, each with the text that leads there."""
    if isinstance(value, types.FunctionType):
        yield from _function_children(value)
    elif isinstance(value, types.MethodType):
        yield ".__self__", value.__self__
        yield ".__func__", value.__func__
    elif isinstance(value, functools.partial):
        yield ".func", value.func
        for index, item in enumerate(value.args):
            yield f".args[{index}]", item
        for name, item in value.keywords.items():
            yield f".keywords[{name!r}]", item
    elif isinstance(value, type):
        for name, item in vars(value).items():
            if isinstance(item, (staticmethod, classmethod)):
                item = item.__func__
            yield f".{name}", item
    else:
        if isinstance(value, Mapping):
            for key, item in islice(value.items(), _MOST_STEPS):
                yield f"[{_short(key)}]", item
                yield f" key {_short(key)}", key
        elif isinstance(value, (list, tuple)):
            for index, item in enumerate(islice(value, _MOST_STEPS)):
                yield f"[{index}]", item
        elif isinstance(value, (set, frozenset)):
            for item in islice(value, _MOST_STEPS):
                yield f" member {_short(item)}", item
        if isinstance(value, BaseException):
            for index, item in enumerate(value.args):
                yield f".args[{index}]", item
        yield from _attributes(value)
        if type(value).__module__ == "__main__" or "<locals>" in type(value).__qualname__:
            yield f" of class {type(value).__qualname__}", type(value)


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    for name, item in (getattr(value, "__dict__", None) or {}).items():
        yield f".{name}", item
    for base in type(value).__mro__:
        slots = vars(base).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                yield f".{name}", getattr(value, name)


def _function_children(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    named = f"{function.__name__}()"
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield f" closure variable {name!r} of {named}", cell.cell_contents
        except ValueError:
            continue  # not assigned yet
    for name in sorted(_names_of(function.__code__)):
        if name in function.__globals__:
            yield f" global {name!r} used by {named}", function.__globals__[name]
    for index, item in enumerate(function.__defaults__ or ()):
        names = function.__code__.co_varnames[: function.__code__.co_argcount]
        yield f" default of {names[index - len(function.__defaults__ or ())]!r} of {named}", item
    for name, item in (function.__kwdefaults__ or {}).items():
        yield f" default of {name!r} of {named}", item
    yield from ((f".{name}", item) for name, item in function.__dict__.items())


def _names_of(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names_of(constant)
    return names


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # the user's __repr__: any name is good enough for a message
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 60 else text[:57] + "..."
