"""Errors as bytes, for the answer of a task, and back.

Whatever the exception holds, packing succeeds, and its text and traceback arrive. As much of the exception
itself arrives as can:
1. the whole of it, if pickling and unpickling it here gives the same back;
2. else its class with those arguments and attributes that can be pickled (others as their repr), set
   without calling the class: many exceptions cannot be rebuilt from their `args`;
3. else, if even the class cannot be pickled, nothing but text.

The frame around it is marshal's plain values, as on every socket of ours.
"""

from __future__ import annotations

import marshal
import pickle
from typing import Any, NamedTuple

from rustray.errors import TaskCancelledError
from rustray.exception_state import ExceptionState, revive, state_of
from rustray.task_error import Caller, RustRayError, TaskError, plain
from rustray.traceback_text import frames_text, is_raised_by_us, traceback_text

_CANCELLED = f"{TaskCancelledError.__module__}.{TaskCancelledError.__qualname__}"


class ErrorSummary(NamedTuple):
    """A packed error as text: type and message of the exception, "" if it could not travel; the function that
    raised it, "" for errors of RustRay's own; the traceback of that, or of what caused it, else ""."""

    function_name: str
    type_name: str
    message: str
    traceback: str

    @property
    def cancelled(self) -> bool:
        """Whether the task itself was cancelled, and not one whose value it waited for."""
        return not self.function_name and self.type_name == _CANCELLED


def pack_error(
    error: BaseException,
    function_name: str,
    *,
    pid: int | None = None,
    node: str = "",
    task_id: bytes | None = None,
) -> bytes:
    """Pack what the user's `function_name` raised; `unpack_error` makes a TaskError of it.

    Parameters
    ----------
    error: as caught, with its traceback. A TaskError means that the task waited for another one that
        failed: what failed there is told, with this task among its callers.
    pid, node, task_id: of this task.
    """
    if isinstance(error, TaskError):
        failed = plain(error)
        callers = (*failed.callers, Caller(function_name, pid, node, frames_text(error.__traceback__)))
        return pack_task_error(failed, callers)
    # RustRay refuses something, or the arguments do not fit the user's function.
    says_all = isinstance(error, RustRayError | TypeError) and is_raised_by_us(error.__traceback__)
    cause = error.__cause__
    tells_cause = (
        isinstance(error, RustRayError) and isinstance(cause, TaskError) and str(cause) in str(error)
    )
    text = traceback_text(error, says_all, tells_cause)
    return pack_task_error(TaskError(function_name, text, error, pid=pid, node=node, task_id=task_id))


def pack_task_error(error: TaskError, callers: tuple[Caller, ...] | None = None) -> bytes:
    """Pack a plain TaskError, with other callers than its own if they are given."""
    cause = b"" if error.cause is None else _pack_cause(error.cause)
    fields = (error.function_name, error.traceback_str, error.pid, error.node, error.task_id)
    callers = error.callers if callers is None else callers
    return marshal.dumps((fields, tuple(map(tuple, callers)), cause, _summary(error.cause)))


def pack_system_error(error: RustRayError, cause: bytes = b"") -> bytes:
    """Pack an error of RustRay's own, as WorkerCrashedError, to be raised by `get` as it is.

    Parameters
    ----------
    cause: a packed error, which becomes its `__cause__`.
    """
    return marshal.dumps((None, cause, pickle.dumps(error, 5), _summary(error)))


def unpack_error(data: bytes) -> RustRayError:
    """The exception to raise for a packed error.

    A system error as it was packed, or a TaskError that is an instance of the cause's class too.
    """
    fields, callers, packed_cause, _text = marshal.loads(data)
    if fields is None:
        system_error: RustRayError = pickle.loads(packed_cause)
        if callers:
            system_error.__cause__ = unpack_error(callers)
        return system_error
    return _task_error(fields, callers, packed_cause).as_instanceof_cause()


def unpack_task_error(data: bytes) -> TaskError:
    """The plain TaskError that `pack_task_error` packed."""
    fields, callers, packed_cause, _text = marshal.loads(data)
    return _task_error(fields, callers, packed_cause)


def read_summary(data: bytes) -> ErrorSummary:
    """What a packed error tells without being rebuilt: nothing is unpickled, nobody's code runs."""
    fields, callers, _cause, (type_name, message) = marshal.loads(data)
    if fields is None:
        return ErrorSummary("", type_name, message, read_summary(callers).traceback if callers else "")
    return ErrorSummary(fields[0], type_name, message, fields[1])


def error_text(data: bytes) -> str:
    """What `str` gives of the exception that `unpack_error` would make, without making it."""
    fields, callers, _cause, (_type_name, message) = marshal.loads(data)
    return message if fields is None else str(_task_error(fields, callers, b""))


def _summary(error: BaseException | None) -> tuple[str, str]:
    if error is None:
        return "", ""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    try:
        return name, str(error)
    except Exception:  # the user's __str__
        return name, ""


def _task_error(fields: tuple[Any, ...], callers: tuple[Any, ...], packed_cause: bytes) -> TaskError:
    function_name, traceback_str, pid, node, task_id = fields
    try:
        cause = pickle.loads(packed_cause) if packed_cause else None
    except Exception as error:
        # It could be rebuilt where it was packed, so something is missing here; the text still tells it.
        cause = None
        traceback_str += f"\n(The exception itself cannot be rebuilt here: {type(error).__name__}: {error})"
    return TaskError(
        function_name,
        traceback_str,
        cause,
        pid=pid,
        node=node,
        task_id=task_id,
        callers=tuple(Caller(*caller) for caller in callers),
    )


def _pack_cause(error: BaseException) -> bytes:
    from rustray.serialization.pickler import dumps

    try:
        data = dumps(error)
        if _same(pickle.loads(data), error):
            return data
    except Exception:
        pass  # the next way takes what can be pickled of it
    try:
        data = dumps(_Bare(error))
        pickle.loads(data)
        return data
    except Exception:
        return b""  # the text tells it


def _same(copy: Any, error: BaseException) -> bool:
    """Whether `copy` is what `error` is. An `__init__` that formats its message often does it twice."""
    return type(copy) is type(error) and len(copy.args) == len(error.args) and str(copy) == str(error)


class _Bare:
    """Pickles as an exception of the same class that holds what can be pickled of `error`."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        args, members, attributes = state_of(self.error)
        state = ExceptionState(
            tuple(_picklable(item) for item in args),
            {name: _picklable(item) for name, item in members.items()},
            {name: _picklable(item) for name, item in attributes.items()},
        )
        return revive, (type(self.error), state)


def _picklable(value: Any) -> Any:
    """`value`, or what can be told of it."""
    from rustray.serialization.pickler import dumps

    try:
        pickle.loads(dumps(value))
        return value
    except Exception:  # whatever stops it, there is another way to tell it
        if isinstance(value, BaseException):
            return _Bare(value)
        if type(value) in (list, tuple):  # the exceptions of an ExceptionGroup
            return type(value)(_picklable(item) for item in value)
        try:
            return repr(value)
        except Exception:  # the user's __repr__
            return f"<{type(value).__name__}>"
