"""serialize and deserialize: a value as one pickle, its big buffers beside it, and the references in it.

Three ways, the cheapest that is right is taken:
1. plain values (numbers, text, small containers of such): stock pickle, which cannot meet code here;
2. arrays of NumPy without objects in them, and long bytes: stock pickle, the data out of band, never copied;
3. all else: `pickler.ByValuePickler`.

Buffers always travel out of band, however short they are. So an array that arrives is always read-only,
and a program that works with ten numbers does not fail with a million.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from rustray.errors import DeserializationError, SerializationError
from rustray.serialization.custom import is_bare_array, reducers
from rustray.serialization.nested import collecting


class Packed(NamedTuple):
    """A value ready to travel."""

    pickle: bytes
    buffers: Sequence[memoryview]  # one-dimensional bytes over the value's own memory: not a copy
    refs: Sequence[Any]  # ObjectRefs and actor handles inside, in the order met


_ATOMS = frozenset({int, float, str, bytes, bool, type(None)})
_MOST_ITEMS = 64  # beyond, looking at each item costs more than the other pickler does
_LONG_BYTES = 64 * 1024
# loads() of this calls bytes(the first buffer): PROTO 5, builtins.bytes, NEXT_BUFFER, TUPLE1, REDUCE, STOP
_BYTES_OF_BUFFER = b"\x80\x05cbuiltins\nbytes\n\x97\x85R."

_new = tuple.__new__
_dumps = pickle.dumps
_loads = pickle.loads
_by_value_dumps: Callable[..., bytes] | None = None


def preload() -> None:
    """Import cloudpickle now (about 15 ms), so that the first function or object does not wait for it."""
    global _by_value_dumps
    from rustray.serialization.pickler import dumps

    _by_value_dumps = dumps


def serialize(value: Any, name: str = "value") -> Packed:
    """Pickle `value`.

    Parameters
    ----------
    name: what messages call it, as "argument 'config' of f()".

    Raises
    ------
    SerializationError: some member cannot be pickled; the message says which, and how it is reached.
    """
    kind = type(value)
    if kind in _ATOMS:
        if kind is bytes and len(value) >= _LONG_BYTES:
            return Packed(_BYTES_OF_BUFFER, (memoryview(value),), ())
        return _new(Packed, (_dumps(value, 5), (), ()))
    if _is_plain(value, kind, 3):
        return _new(Packed, (_dumps(value, 5), (), ()))
    buffers: list[pickle.PickleBuffer] = []
    if is_bare_array(value, kind) and kind not in reducers:
        if not value.flags.forc:
            value = value.copy()  # NumPy puts the data of a strided array into the pickle, byte by byte
        data = _dumps(value, 5, buffer_callback=buffers.append)
        return _new(Packed, (data, [buffer.raw() for buffer in buffers], ()))
    if _by_value_dumps is None:
        preload()
        assert _by_value_dumps is not None
    with collecting() as refs:
        try:
            data = _by_value_dumps(value, buffers.append)
        except Exception as error:
            from rustray.serialization.unpicklable import serialization_error, telling

            raise serialization_error(value, name, error) from telling(error)
    return _new(Packed, (data, [buffer.raw() for buffer in buffers] if buffers else (), refs))


MAX_CODE = 95 << 20
"""Bytes of a function or class with all that it captures (Ray's limit): it is sent to every worker inline."""


def serialize_code(value: Any, name: str) -> Packed:
    """Pickle a function or class with what it captures, all of it in the pickle: code has no buffers.

    Parameters
    ----------
    name: what messages call it, as "function f".

    Raises
    ------
    SerializationError: something that it captures cannot be pickled, or it is more than MAX_CODE bytes.
    """
    if _by_value_dumps is None:
        preload()
        assert _by_value_dumps is not None
    with collecting() as refs:
        try:
            data = _by_value_dumps(value, None)
        except Exception as error:
            from rustray.serialization.unpicklable import serialization_error, telling

            raise serialization_error(value, name, error) from telling(error)
    if len(data) > MAX_CODE:
        from rustray.errors import SerializationError

        raise SerializationError(
            f"The {name} captures {len(data) >> 20} MiB, more than the {MAX_CODE >> 20} MiB that code may have. "
            "Store big values once with put(), and pass the refs as arguments."
        )
    return Packed(data, (), refs)


def serialize_call(
    args: tuple[Any, ...], kwargs: dict[str, Any], function: Callable[..., Any], name: str
) -> Packed:
    """`serialize((args, kwargs))`, whose error names the parameter at fault.

    Parameters
    ----------
    function: the function called; its signature is looked at only to name a parameter in an error.
    name: what messages call it, as "f" or "Counter.add".
    """
    try:
        return serialize((args, kwargs))
    except SerializationError:
        for parameter, value in _by_parameter(args, kwargs, function):
            try:
                serialize(value, f"argument {parameter} of {name}()")
            except SerializationError as error:
                raise error from error.__cause__  # and not while the same was told of all of them
        raise  # only all of them together fail, for example nested too deeply by two levels


def deserialize(data: bytes | memoryview, buffers: Iterable[Any] = ()) -> Any:
    """The value of a `Packed`: its pickle and its buffers, which the value may keep as its memory.

    Raises
    ------
    DeserializationError: the value cannot be rebuilt here, as when one of its modules is missing.
    """
    try:
        return _loads(data, buffers=buffers)
    except Exception as error:
        if isinstance(error, MemoryError):
            raise
        raise _deserialization_error(error) from error


def _is_plain(value: Any, kind: type, depth: int) -> bool:
    """Whether `value` is a small tuple, list or dict of plain values, to the given depth."""
    if kind is tuple or kind is list:
        items = value
    elif kind is dict:
        for key in value:
            if type(key) not in _ATOMS:
                return False
        items = value.values()
    else:
        return False
    if len(items) > _MOST_ITEMS:
        return False
    for item in items:
        inner = type(item)
        if inner not in _ATOMS and (depth == 0 or not _is_plain(item, inner, depth - 1)):
            return False
    return True


def _by_parameter(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], function: Callable[..., Any]
) -> Iterable[tuple[str, Any]]:
    import inspect

    try:
        names = [
            parameter.name
            for parameter in inspect.signature(function).parameters.values()
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):  # compiled functions may have none
        names = []
    for index, value in enumerate(args):
        yield (repr(names[index]) if index < len(names) else str(index + 1)), value
    for name, value in kwargs.items():
        yield repr(name), value


def _deserialization_error(error: Exception) -> Exception:
    told = f"{type(error).__name__}: {error}"
    if isinstance(error, ModuleNotFoundError):
        advice = (
            f"Module {error.name!r} cannot be imported in this process: install it in the workers' "
            "environment, send it with runtime_env={'py_modules': [...]}, or have it pickled by value with "
            "cloudpickle.register_pickle_by_value(module)."
        )
    elif isinstance(error, (AttributeError, ImportError)):
        advice = (
            "A module here differs from the one where the value was pickled. If you edited it after "
            "workers had imported it, call shutdown() and init() again; else install one version for both."
        )
    else:
        advice = "Its class failed while it was rebuilt: see its __setstate__, __reduce__ or __init__."
    return DeserializationError(f"A value cannot be rebuilt here: {told}. {advice}", reason=told)
