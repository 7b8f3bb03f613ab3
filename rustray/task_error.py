"""The error of a task: what the user's function raised, told in the process that asked for its value.

`get` raises an exception that is a `TaskError` and an instance of the user's own exception type, so that
`except KeyError` works as if the function had been called here. Its class is made on demand, one for each
type of cause.

Rule 1. The user's class is never called to make such an instance: neither its `__init__` nor its `__new__`.
        State is copied. An exception with an odd signature therefore works like any other.
Rule 2. What the cause has wins over what TaskError has, wherever both use a name: code that knows the
        user's type must find that type's own attributes. Only `__str__` is ours: it tells the remote story.
Rule 3. The dual of something that means "stop" (KeyboardInterrupt, SystemExit, StopIteration) is never made:
        raised in the driver it would stop the driver.
"""

from __future__ import annotations

import types
from typing import Any, NamedTuple

from rustray.exception_state import revive, state_of


class RustRayError(Exception):
    """The base of every error that RustRay raises."""


class Caller(NamedTuple):
    """A task that failed because it waited for another one that did."""

    function_name: str
    pid: int | None
    node: str
    frames: str  # its user's frames as text, without a header and without a message


class TaskError(RustRayError):
    """The user's function raised an exception.

    Parameters
    ----------
    function_name: the function or method that raised.
    traceback_str: the remote traceback as text, the user's frames only, ending with the message.
    cause: the exception; None when it could not travel (its text still does).
    pid, node, task_id: where it happened.
    callers: the tasks that waited for this one and failed with it, nearest first.
    """

    function_name: str
    traceback_str: str
    cause: BaseException | None

    def __init__(
        self,
        function_name: str,
        traceback_str: str,
        cause: BaseException | None = None,
        *,
        pid: int | None = None,
        node: str = "",
        task_id: bytes | None = None,
        callers: tuple[Caller, ...] = (),
    ) -> None:
        super().__init__(function_name, traceback_str, cause)
        self.function_name = function_name
        self.traceback_str = traceback_str
        self.cause = cause
        self.pid = pid
        self.node = node
        self.task_id = task_id
        self.callers = tuple(callers)

    def __reduce__(self) -> tuple[Any, ...]:
        # Not by the stock way: the cause may be one that cannot be pickled, or not rebuilt.
        from rustray.error_packing import pack_task_error, unpack_task_error

        return unpack_task_error, (pack_task_error(self),)

    def __str__(self) -> str:
        failed = f"{self.function_name}() failed in {place(self.pid, self.node)}"
        inner = self.traceback_str.removeprefix("Traceback (most recent call last):\n").rstrip()
        if not self.callers:
            return f"{failed}\n{inner}"
        chain = ", ".join(f"called by {caller.function_name}()" for caller in self.callers)
        stories = [
            f" in {caller.function_name}(), {place(caller.pid, caller.node)}:\n{caller.frames.rstrip()}"
            for caller in reversed(self.callers)
        ]
        return "\n".join([f"{failed}, {chain}", *stories, f" in {self.function_name}():", inner])

    def as_instanceof_cause(self) -> TaskError:
        """This error as an exception that is also an instance of the cause's class.

        Gives `self` where that cannot be or must not be (Rule 3).
        """
        cause = self.cause
        if not isinstance(cause, Exception) or isinstance(cause, (StopIteration, StopAsyncIteration)):
            return self
        if issubclass(TaskError, type(cause)):
            return self
        try:
            return _dual(self, cause)
        except Exception:
            # Whatever the user's class, its metaclass or __init_subclass__ objects to: the plain error
            # tells all there is, and failing here would hide the failure that matters.
            return self


def plain(error: TaskError) -> TaskError:
    """The TaskError behind `error`, which may be a dual."""
    found: TaskError = error.__dict__.get("_task_error", error)
    return found


def place(pid: int | None, node: str) -> str:
    """Where a task ran, in words."""
    worker = f"worker process {pid}" if pid else "a worker"
    return f"{worker} on node {node}" if node else worker


_dual_classes: dict[type[BaseException], type[TaskError]] = {}


def _dual(error: TaskError, cause: Exception) -> TaskError:
    kind = type(cause)
    dual_class = _dual_classes.get(kind)
    if dual_class is None:
        dual_class = _dual_classes[kind] = _make_dual_class(kind)
    held = state_of(cause)
    own = {**error.__dict__, "_task_error": error}
    return revive(dual_class, held._replace(attributes=own | held.attributes))


def _make_dual_class(kind: type[BaseException]) -> type[TaskError]:
    def fill(namespace: dict[str, Any]) -> None:
        namespace.update(
            __module__=TaskError.__module__,
            __qualname__=f"TaskError({kind.__name__})",
            __init__=lambda self, *args, **kwargs: None,
            __str__=lambda self: str(self.__dict__["_task_error"]),
            __reduce__=lambda self: (TaskError.as_instanceof_cause, (self.__dict__["_task_error"],)),
            __reduce_ex__=lambda self, protocol: self.__reduce__(),
            __getattr__=_attribute_of_cause,
            as_instanceof_cause=lambda self: self,
        )

    made: type[TaskError] = types.new_class(f"TaskError({kind.__name__})", (kind, TaskError), {}, fill)
    return made


def _attribute_of_cause(dual: TaskError, name: str) -> Any:
    error = dual.__dict__.get("_task_error")
    if error is None or name.startswith("__"):
        raise AttributeError(name)
    return getattr(error.cause, name)


TaskError.__module__ = RustRayError.__module__ = "rustray.errors"  # where users know them from
