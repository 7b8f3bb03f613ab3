"""`@rustray.remote` on a class: `ActorClass`, and how an actor is made of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from html import escape
from typing import Any, NamedTuple

from rustray import serialization
from rustray.driver import failures
from rustray.driver.actor_handle import ActorHandle
from rustray.driver.current import auto_init
from rustray.driver.entry import ERROR, Entry
from rustray.driver.environment import class_environment
from rustray.driver.methods import Method
from rustray.driver.placing import placing
from rustray.driver.session import Session
from rustray.driver.task import Task
from rustray.errors import OptionError
from rustray.model import ids
from rustray.model.options import ActorOptions, MethodOptions

ASYNC_CONCURRENCY = 1000
"""Calls at once of an actor with async methods (Ray's default)."""


def method(**options: Any) -> Callable[[Any], Any]:
    """Options for a method of an actor class, as ``@rustray.method(num_returns=2)``."""
    checked = MethodOptions.build(options)

    def mark(function: Any) -> Any:
        function.__rustray_method__ = checked
        return function

    return mark


class ClassFacts(NamedTuple):
    """What callers of actors of a class know of it: its name, its methods, whether some are coroutines."""

    name: str
    methods: Mapping[str, Method]
    asynchronous: bool


class ActorClass:
    """A class whose instances live in workers: ``Counter.remote(...)`` gives a handle at once."""

    def __init__(self, cls: type, options: ActorOptions) -> None:
        self._cls = cls
        self._options = options
        self.__name__ = cls.__name__
        self.__qualname__ = cls.__qualname__
        self.__doc__ = cls.__doc__
        self.__module__ = cls.__module__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            f"Actor class {self.__name__} is instantiated with .remote(): {self.__name__}.remote(...) gives a handle."
        )

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        raise TypeError(
            f"A class cannot inherit from the actor class {self.__name__}: inherit from the plain class, and "
            "decorate what you make of it with @rustray.remote."
        )

    def options(self, **changes: Any) -> ActorClass:
        """The same class with other options."""
        return ActorClass(self._cls, self._options.updated(changes))

    def remote(self, *args: Any, **kwargs: Any) -> ActorHandle:
        """Create an actor. Its calls may be made at once; they wait until it is up.

        Raises ActorAlreadyExistsError when its name is taken (unless ``get_if_exists=True``).
        """
        session = auto_init()
        session.check_open()
        self._check_arguments(args, kwargs)
        code = serialization.serialize_code(self._cls, f"actor class {self.__name__}")
        signature = self._cls.__init__  # type: ignore[misc]
        return create_actor(session, self.facts(), code, self._options, args, kwargs, signature)

    def _check_arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            signature = inspect.signature(self._cls)
        except ValueError:
            return  # a compiled class need not tell
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.__name__}.remote(): {error}") from None

    def facts(self) -> ClassFacts:
        """What callers must know of the class."""
        functions = inspect.getmembers(self._cls, inspect.isroutine)
        methods = {
            name: Method.of(inspect.getattr_static(self._cls, name))
            for name, _function in functions
            if not name.startswith("__") or _is_users(self._cls, name)
        }
        asynchronous = any(
            inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
            for _name, function in functions
        )
        return ClassFacts(self.__name__, methods, asynchronous)

    def bind(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            "rustray has no DAG API: create actors with .remote() and pass their handles."
        )

    def __reduce__(self) -> Any:
        return ActorClass, (self._cls, self._options)

    def __repr__(self) -> str:
        return f"ActorClass({', '.join((self.__name__, *self._options.told()))})"

    def _repr_html_(self) -> str:
        methods = ", ".join(name for name in self.facts().methods if not name.startswith("_"))
        told = " · ".join(filter(None, (methods or "no methods", ", ".join(self._options.told()))))
        return f"<code>{escape(self.__name__)}.remote(...)</code> <small>{escape(told)}</small>"


def _is_users(cls: type, name: str) -> bool:
    """Whether a method with two underscores, as `__call__`, is one that the user wrote to be called."""
    return getattr(cls, name) is not getattr(object, name, None) and name not in (
        "__init__",
        "__new__",
        "__del__",
        "__getattr__",
        "__getattribute__",
        "__init_subclass__",
        "__class_getitem__",
        "__subclasshook__",
    )


def create_actor(
    session: Session,
    cls: ClassFacts,
    code: serialization.Packed,
    options: ActorOptions,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    signature: Callable[..., Any],
) -> ActorHandle:
    """Create an actor: see `ActorClass.remote`.

    Parameters
    ----------
    code: the pickled class.
    signature: has the parameters of its constructor; looked at only to name one in an error.
    """
    _check_groups(cls, options)
    actor = ids.make_object_id(session.client, session.tasks.next_number(), 0)
    threads = options.max_concurrency or (ASYNC_CONCURRENCY if cls.asynchronous else 1)
    env, env_key = class_environment(session, options.runtime_env)
    handle: dict[str, Any] = {
        "name": cls.name,
        "methods": {name: tuple(about) for name, about in cls.methods.items()},
        "retries": options.max_task_retries,
        "concurrent": threads > 1 or cls.asynchronous or bool(options.concurrency_groups),
        "groups": list(options.concurrency_groups),
        "max_pending": options.max_pending_calls,
    }
    spec = {
        "name": cls.name,
        "registered": options.name or "",
        "namespace": options.namespace or session.info["namespace"],
        "detached": options.lifetime == "detached",
        "get_if_exists": options.get_if_exists,
        "max_restarts": options.max_restarts,
        "concurrency": threads,
        "groups": dict(options.concurrency_groups),
        "asynchronous": cls.asynchronous,
        "resources": options.resource_request(),
        "runtime_env": env,
        "env_key": env_key,
        "code": code.pickle,
        "handle": handle,
        "args": None,
        "deps": None,
        **placing(session, options),
    }
    task = Task(0, _Constructor(cls.name), "__init__", b"", 1, 0, None)
    if args or kwargs:
        session.arguments.pack(task, args, kwargs, signature)
    if code.refs:
        captured = session.sharing.escape(code.refs)
        session.objects.pin(captured)
        task.pins = (*task.pins, *captured)
    missing = [entry for _at, entry in task.deps if not entry.ready]
    failed = _failed_argument(task)
    if not missing and failed is None:
        spec["args"], spec["deps"] = task.message()[2:4]
    spec["complete"] = not missing and failed is None
    if spec["registered"]:
        ok, value = session.requests.ask_head(
            f"The actor {spec['registered']!r}", "create_actor", actor, spec, changes=True
        ).fields
        if not ok or value[0] != actor:
            session.objects.unpin(task.pins)
            if not ok:
                raise failures.unpack(value)
            return ActorHandle.of(session, *value)
    made = _own(session, actor, handle, task)
    if not spec["registered"]:
        session.tell(("create_actor", 0, actor, spec))
    if failed is not None:
        session.tell(("actor_failed", actor, failed))
    elif missing:
        _complete_later(session, actor, task, missing)
    return made


class _Constructor(NamedTuple):
    """What the messages of errors call the target of a constructor's arguments."""

    name: str


def _check_groups(cls: ClassFacts, options: ActorOptions) -> None:
    for name, about in cls.methods.items():
        group = Method(*about).group
        if group and group not in options.concurrency_groups:
            known = ", ".join(options.concurrency_groups) or "none"
            raise OptionError(
                f"Method {cls.name}.{name}() is of concurrency group {group!r}, which the actor does not have "
                f"({known}): name it in @rustray.remote(concurrency_groups={{{group!r}: 2}})."
            )


def _failed_argument(task: Task) -> bytes | None:
    return next((entry.payload for _at, entry in task.deps if entry.state == ERROR), None)


def _complete_later(session: Session, actor: bytes, task: Task, missing: list[Entry]) -> None:
    """Send the constructor's arguments when the last of them is known."""
    session.objects.want(missing)

    def one_more() -> None:
        # Called under the lock by whoever settles an argument.
        task.missing -= 1
        if task.missing:
            return
        failed = _failed_argument(task)
        if failed is not None:
            session.tell(("actor_failed", actor, failed))
        else:
            session.tell(("actor_arguments", actor, *task.message()[2:4]))

    with session.objects.lock:
        task.missing = 1
        for entry in missing:
            if not entry.ready:
                task.missing += 1
                entry.add_waiter(one_more)
        one_more()


def _own(session: Session, actor: bytes, handle: dict[str, Any], task: Task) -> ActorHandle:
    entry = session.actors.new_entry(actor, task.pins)
    session.objects.unpin(task.pins)  # the actor's entry counts them from here on
    return ActorHandle(session, entry, handle)


def check_actor_class(cls: type) -> None:
    """OptionError when `cls` cannot be an actor class."""
    if issubclass(cls, ActorClass):
        raise OptionError("An actor class cannot be made of an actor class: decorate the plain class once.")
