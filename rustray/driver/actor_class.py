"""`@rustray.remote` on a class: `ActorClass`, the handles of its actors, and their methods."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from rustray import serialization
from rustray.driver import session as session_module
from rustray.driver.entry import ERROR, Entry
from rustray.driver.environment import class_environment
from rustray.driver.session import Session
from rustray.driver.task import Task
from rustray.errors import OptionError
from rustray.model import ids
from rustray.model.options import ActorOptions, MethodOptions

if TYPE_CHECKING:
    from rustray.driver.actors import ActorChannel

ASYNC_CONCURRENCY = 1000
"""Calls at once of an actor with async methods (Ray's default)."""
TERMINATE = "__ray_terminate__"

MethodTable = dict[str, int]
"""Method name -> number of returns, -1 for a stream."""


def method(**options: Any) -> Callable[[Any], Any]:
    """Options for a method of an actor class, as ``@rustray.method(num_returns=2)``."""
    checked = MethodOptions.build(options)

    def mark(function: Any) -> Any:
        function.__rustray_method__ = checked
        return function

    return mark


class ClassFacts(NamedTuple):
    """What callers of actors of a class know of it: its name, its methods, whether they are coroutines."""

    name: str
    methods: MethodTable
    asynchronous: bool


class ActorClass:
    """A class whose instances live in workers: ``Counter.remote(...)`` gives a handle at once."""

    def __init__(self, cls: type, options: ActorOptions) -> None:
        self._cls = cls
        self._options = options
        self.__name__ = cls.__name__
        self.__doc__ = cls.__doc__
        self.__module__ = cls.__module__
        self._asynchronous = any(
            inspect.iscoroutinefunction(m) or inspect.isasyncgenfunction(m)
            for _name, m in inspect.getmembers(cls, inspect.isfunction)
        )
        self._methods: dict[str, MethodOptions] = {
            name: getattr(m, "__rustray_method__", None) or _DEFAULT_METHOD
            for name, m in inspect.getmembers(cls, callable)
            if not name.startswith("__") or name == "__call__"
        }

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            f"Actor class {self.__name__} is instantiated with .remote(): {self.__name__}.remote(...) gives a handle."
        )

    def options(self, **changes: Any) -> ActorClass:
        """The same class with other options."""
        return ActorClass(self._cls, self._options.updated(changes))

    def remote(self, *args: Any, **kwargs: Any) -> ActorHandle:
        """Create an actor. Its calls may be made at once; they wait until it is up.

        Raises ActorAlreadyExistsError when its name is taken (unless ``get_if_exists=True``).
        """
        session = session_module.auto_init()
        session.check_open()
        code = serialization.serialize(self._cls, f"actor class {self.__name__}").pickle
        signature = self._cls.__init__  # type: ignore[misc]
        return create_actor(session, self.facts(), code, self._options, args, kwargs, signature)

    def facts(self) -> ClassFacts:
        """What callers must know of the class."""
        return ClassFacts(self.__name__, _table(self._cls, self._methods), self._asynchronous)

    def __reduce__(self) -> Any:
        return ActorClass, (self._cls, self._options)

    def __repr__(self) -> str:
        return f"ActorClass({self.__name__})"


_DEFAULT_METHOD = MethodOptions()


def _table(cls: type, methods: dict[str, MethodOptions]) -> MethodTable:
    table = {}
    for name, options in methods.items():
        function = inspect.getattr_static(cls, name)
        function = getattr(function, "__func__", function)
        table[name] = _count(options.num_returns, function)
    table[TERMINATE] = 1
    return table


def _count(num_returns: Any, function: Any = None) -> int:
    if num_returns is None:
        return -1 if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function) else 1
    return -1 if isinstance(num_returns, str) else int(num_returns)


def create_actor(
    session: Session,
    cls: ClassFacts,
    code: bytes,
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
    actor = ids.make_object_id(session.client, session.tasks.next_number(), 0)
    concurrency = options.max_concurrency or (ASYNC_CONCURRENCY if cls.asynchronous else 1)
    env, env_key = class_environment(session, options.runtime_env)
    handle: dict[str, Any] = {
        "name": cls.name,
        "methods": cls.methods,
        "retries": options.max_task_retries,
        "concurrent": concurrency > 1 or cls.asynchronous,
    }
    spec = {
        "name": cls.name,
        "registered": options.name or "",
        "namespace": options.namespace or session.info["namespace"],
        "detached": options.lifetime == "detached",
        "get_if_exists": options.get_if_exists,
        "max_restarts": options.max_restarts,
        "concurrency": concurrency,
        "asynchronous": cls.asynchronous,
        "resources": options.resource_request(),
        "runtime_env": env,
        "env_key": env_key,
        "code": code,
        "handle": handle,
    }
    channel = session.actors.channel(actor, cls.name, handle["concurrent"])
    task = Task(0, channel, "__init__", b"", 1, 0, None)
    if args or kwargs:
        session.tasks.pack(task, args, kwargs, signature)
    if spec["registered"]:
        # Whether the name is free is known at once, so its arguments must be known before.
        session.objects.wait_for([entry for _at, entry in task.deps], None)
        _settle_arguments(task, spec)
        found, handle = _named(session, actor, spec)
        if found != actor:
            session.objects.unpin(task.pins)
            return ActorHandle.of(session, found, handle)
        return _own(session, actor, handle, task.pins)
    made = _own(session, actor, handle, task.pins)
    missing = [entry for _at, entry in task.deps if not entry.ready]

    def send() -> None:
        if any(not entry.ready for entry in missing):
            return
        failed = next((entry for _at, entry in task.deps if entry.state == ERROR), None)
        if failed is not None:
            channel.on_dead(failed.payload)
            return
        _settle_arguments(task, spec)
        session.tell(("create_actor", 0, actor, spec))
        channel.created()

    channel.being_created = True
    if missing:
        session.objects.want(missing)
        with session.objects.lock:
            for entry in missing:
                if not entry.ready:
                    entry.add_waiter(send)
            still = any(not entry.ready for entry in missing)
        if still:
            return made
    send()
    return made


def _settle_arguments(task: Task, spec: dict[str, Any]) -> None:
    message = task.message()
    spec["args"], spec["deps"] = message[2], message[3]


def _named(session: Session, actor: bytes, spec: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    ok, value = session.request("create_actor", actor, spec).fields
    if not ok:
        from rustray.driver import failures

        raise failures.unpack(value)
    return value


def _own(session: Session, actor: bytes, handle: dict[str, Any], pins: tuple[Entry, ...]) -> ActorHandle:
    entry = session.actors.new_entry(actor, pins)
    session.objects.unpin(pins)  # the actor's entry counts them from here on
    return ActorHandle(session, entry, handle)


class ActorMethod:
    """A method of a handle; ``handle.add.remote(1)`` calls it."""

    __slots__ = ("_handle", "_name", "_retries", "_returns")

    def __init__(self, handle: ActorHandle, name: str, returns: int, retries: int) -> None:
        self._handle = handle
        self._name = name
        self._returns = returns
        self._retries = retries

    def remote(self, *args: Any, **kwargs: Any) -> Any:
        """Call the method: gives a ref (several, or a generator, as `num_returns` says) at once."""
        handle = self._handle
        return handle._session.tasks.submit(
            handle._channel, self._name, args, kwargs, self._returns, self._retries, None, handle._nothing
        )

    def options(self, **changes: Any) -> ActorMethod:
        """The method with other options (`num_returns`, `max_task_retries`)."""
        options = MethodOptions.build(changes)
        returns = self._returns if options.num_returns is None else _count(options.num_returns)
        retries = self._retries if options.max_task_retries is None else options.max_task_retries
        return ActorMethod(self._handle, self._name, returns, retries)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"An actor's method is called with .remote(): handle.{self._name}.remote(...).")


class ActorHandle:
    """Calls an actor. Picklable; the actor lives as long as a handle to it does, anywhere."""

    def __init__(self, session: Session, entry: Entry, handle: dict[str, Any]) -> None:
        with session.objects.lock:
            entry.count += 1
        self._session = session
        self._entry = entry
        self._handle = handle
        self._channel: ActorChannel = session.actors.channel(entry.id, handle["name"], handle["concurrent"])

    @classmethod
    def of(cls, session: Session, actor: bytes, handle: dict[str, Any]) -> ActorHandle:
        """A handle to an actor that is known by its id."""
        with session.objects.lock:
            return cls(session, session.objects.entry_of(actor), handle)

    def __del__(self) -> None:
        try:
            self._session.objects.dropped.append(self._entry)
        except AttributeError:
            pass  # __init__ did not finish

    @property
    def _actor_id(self) -> str:
        return self._entry.id.hex()

    @staticmethod
    def _nothing(*args: Any, **kwargs: Any) -> None:
        """Stands for a method's signature in messages: its parameters' names are not known here."""

    def __getattr__(self, name: str) -> ActorMethod:
        handle = self.__dict__.get("_handle")
        if handle is None:
            raise AttributeError(name)
        returns = handle["methods"].get(name)
        if returns is None:
            if name.startswith("__"):
                raise AttributeError(name)
            known = ", ".join(sorted(m for m in handle["methods"] if not m.startswith("_")))
            raise AttributeError(f"Actor {handle['name']} has no method {name!r}; it has {known or 'none'}.")
        found = ActorMethod(self, name, returns, handle["retries"])
        return found

    def __reduce__(self) -> Any:
        serialization.note_ref(self)
        return _load_handle, (self._entry.id, self._handle)

    def __hash__(self) -> int:
        return hash(self._entry.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActorHandle) and self._entry.id == other._entry.id

    def __repr__(self) -> str:
        return f"Actor({self._handle['name']}, {self._actor_id})"


def _load_handle(actor: bytes, handle: dict[str, Any]) -> ActorHandle:
    return ActorHandle.of(session_module.current(), actor, handle)


def check_actor_class(cls: type) -> None:
    """OptionError when `cls` cannot be an actor class."""
    if issubclass(cls, ActorClass):
        raise OptionError("An actor class cannot be made of an actor class: decorate the plain class once.")
