"""`@rustray.remote` on a function."""

from __future__ import annotations

import functools
import hashlib
import inspect
import math
from collections.abc import Callable
from html import escape
from typing import Any

from rustray import serialization
from rustray.driver import current as this_process
from rustray.driver.code_hash import code_hash
from rustray.driver.environment import class_environment
from rustray.driver.functions import Code
from rustray.driver.placing import placing
from rustray.driver.returns import count_of
from rustray.driver.scheduling_class import SchedulingClass
from rustray.driver.session import Session
from rustray.model.options import TaskOptions

KEY_BYTES = 16


class RemoteFunction:
    """A function whose calls run on the cluster: ``f.remote(...)`` gives a ref at once.

    ``f.options(num_cpus=2).remote(...)`` changes options for one use; ``f._function`` is the function.
    """

    def __init__(self, function: Callable[..., Any], options: TaskOptions) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._options = options
        self._name: str = options.name or str(getattr(function, "__qualname__", repr(function)))
        self._returns = count_of(options.num_returns, function)
        self._session: Session | None = None
        self._around: tuple[bytes, bool] | None = None
        self._target: SchedulingClass | None = None
        self._key = b""
        self._signature, self._least, self._most = _signature(function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            f"Remote function {self._name}() is called with .remote(): {self._name}.remote(...) gives a ref, get(ref) "
            f"its value. To run it here, call {self._name}._function(...)."
        )

    def options(self, **changes: Any) -> RemoteFunction:
        """The same function with other options."""
        return RemoteFunction(self._function, self._options.updated(changes))

    def remote(self, *args: Any, **kwargs: Any) -> Any:
        """Submit a task: gives its `ObjectRef` (a list of them, or a generator, as `num_returns` says).

        Raises
        ------
        TypeError: the function does not take these arguments.
        """
        if kwargs or not self._least <= len(args) <= self._most:
            self._check_arguments(args, kwargs)
        session = this_process._current
        if session is None or session is not self._session or session.around != self._around:
            session = self._prepare()
        options = self._options
        return session.tasks.submit(
            self._target,  # type: ignore[arg-type]
            self._key,
            args,
            kwargs,
            self._returns,
            options.max_retries,
            options,
            self._function,
        )

    def _check_arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._signature is not None:
            try:
                self._signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{self._name}.remote(): {error}. It takes {self._signature}.") from None

    def bind(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            "rustray has no DAG API: call .remote() with the refs of other tasks instead."
        )

    def _prepare(self) -> Session:
        """Send the function's code and class to the session, once a session."""
        session = this_process.auto_init()
        session.check_open()
        code = serialization.serialize_code(self._function, f"function {self._name}")
        self._key, self._target = scheduling_class(
            session, code, self._name, self._options, code_hash(self._function)
        )
        self._session, self._around = session, session.around
        return session

    def __reduce__(self) -> Any:
        return RemoteFunction, (self._function, self._options)

    def __repr__(self) -> str:
        return f"RemoteFunction({', '.join((self._name, *self._options.told()))})"

    def _repr_html_(self) -> str:
        call = f"{self._name}.remote{self._signature or '(...)'}"
        return f"<code>{escape(call)}</code> <small>{escape(', '.join(self._options.told()))}</small>"


def scheduling_class(
    session: Session,
    code: serialization.Packed,
    name: str,
    options: TaskOptions,
    content: bytes | None = None,
) -> tuple[bytes, SchedulingClass]:
    """The key of a function for `Tasks.submit`, and where its tasks go.

    Parameters
    ----------
    code: the pickled function.
    name: what messages call it.
    content: under which its run times are kept; by its code if not given.
    """
    key = hashlib.sha1(code.pickle, usedforsecurity=False).digest()[:KEY_BYTES]
    if code.refs:
        session.sharing.escape(code.refs)
    resources = options.resource_request()
    env, env_key = class_environment(session, options.runtime_env)
    places = placing(session, options)
    named = repr((session.info["job"], sorted(resources.items()), places)).encode()
    class_key = hashlib.sha1(key + env_key + named, usedforsecurity=False).digest()[:KEY_BYTES]
    spec = {"name": name, "function": content or key, "resources": resources, "runtime_env": env}
    spec |= {"env_key": env_key, **places}
    return key, session.leases.scheduling_class(class_key, Code(key, code.pickle, name, tuple(code.refs)), spec)


def _signature(function: Callable[..., Any]) -> tuple[inspect.Signature | None, float, float]:
    """(signature, least, most): a call with that many positional arguments and no others needs no check.

    The signature is that of the function itself: one with `__wrapped__` may take other arguments than what it
    wraps. None if it has none to tell (compiled functions).
    """
    try:
        signature = inspect.signature(function, follow_wrapped=False)
    except (ValueError, TypeError):
        return None, 0, math.inf
    least, most = 0.0, 0.0
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            most = math.inf
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            most += 1
            least += parameter.default is parameter.empty
        elif parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            least = math.inf  # no call without keywords will do
    return signature, least, most
