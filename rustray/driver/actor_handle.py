"""Handles of actors and their methods: ``handle.add.remote(1)``."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from rustray import serialization
from rustray.driver.current import current
from rustray.driver.entry import Entry
from rustray.driver.methods import OF_EVERY_ACTOR, Method
from rustray.driver.session import Session
from rustray.errors import OptionError, PendingCallsLimitExceeded
from rustray.model.options import MethodOptions
from rustray.model.quantities import counted

if TYPE_CHECKING:
    from rustray.driver.actor_channel import ActorChannel


class ActorMethod:
    """A method of a handle; ``handle.add.remote(1)`` calls it."""

    __slots__ = ("_about", "_function", "_handle", "_name", "_options", "_retries")

    def __init__(self, handle: ActorHandle, name: str, about: Method) -> None:
        self._handle = handle
        self._name = name
        self._about = about
        self._function = f"{name}@{about.group}" if about.group else name
        self._retries: int = handle._handle["retries"] if about.retries is None else about.retries
        self._options = about.task_options() if about.retry_exceptions else None

    def remote(self, *args: Any, **kwargs: Any) -> Any:
        """Call the method: gives a ref (several, or a generator, as `num_returns` says) at once.

        Raises PendingCallsLimitExceeded when the actor's `max_pending_calls` of this process are unanswered.
        """
        handle = self._handle
        session = handle._session
        if session.ended is not None:
            session.check_open()
        if handle._max_pending > 0:
            handle._check_pending(self._name)
        return session.tasks.submit(
            handle._channel,
            self._function,
            args,
            kwargs,
            self._about.returns,
            self._retries,
            self._options,
            _signature,
        )

    def options(self, **changes: Any) -> ActorMethod:
        """The method with other options: `num_returns`, `max_task_retries`, `retry_exceptions`, `concurrency_group`."""
        about = self._about.changed(MethodOptions.build(changes))
        groups = self._handle._handle["groups"]
        if about.group and about.group not in groups:
            raise OptionError(
                f"Actor {self._handle._handle['name']} has no concurrency group {about.group!r}; it has "
                f"{', '.join(groups) or 'none'}. Name it in @rustray.remote(concurrency_groups=...)."
            )
        return ActorMethod(self._handle, self._name, about)

    def bind(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            "rustray has no DAG API: call .remote() with the refs of other calls instead."
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"An actor's method is called with .remote(): handle.{self._name}.remote(...).")

    def __repr__(self) -> str:
        return f"ActorMethod({self._handle._handle['name']}.{self._name})"


def _signature(*args: Any, **kwargs: Any) -> None:
    """Stands for a method's signature in messages: its parameters' names are not known here."""


class ActorHandle:
    """Calls an actor. Picklable; the actor lives as long as a handle to it does, anywhere."""

    def __init__(self, session: Session, entry: Entry, handle: dict[str, Any]) -> None:
        self._session = session
        self._handle = handle
        self._max_pending: int = handle["max_pending"]
        with session.objects.lock:
            entry.count += 1
            self._entry = entry
            self._channel: ActorChannel = session.actors.channel(entry, handle)

    @classmethod
    def of(cls, session: Session, actor: bytes, handle: dict[str, Any]) -> ActorHandle:
        """A handle to an actor that is known by its id."""
        with session.objects.lock:
            return cls(session, session.actors.entry_of(actor), handle)

    def __del__(self) -> None:
        # Any thread, any moment: append is atomic and takes no lock.
        try:
            self._session.objects.dropped.append(self._entry)
        except AttributeError:
            pass  # __init__ did not finish

    @property
    def _actor_id(self) -> str:
        return self._entry.id.hex()

    def _check_pending(self, name: str) -> None:
        unanswered = self._channel.unanswered
        if unanswered >= self._max_pending:
            raise PendingCallsLimitExceeded(
                f"{self._handle['name']}.{name}() was not called: {unanswered} calls of this actor have no answer yet, "
                f"and max_pending_calls is {self._max_pending}. Wait for some of them, or raise the limit."
            )

    def __getattr__(self, name: str) -> ActorMethod:
        handle = self.__dict__.get("_handle")
        if handle is None:
            raise AttributeError(name)
        about = self._channel.methods.get(name) or OF_EVERY_ACTOR.get(name)
        if about is None:
            if name.startswith("__"):
                raise AttributeError(name)
            known = ", ".join(sorted(m for m in handle["methods"] if not m.startswith("_")))
            raise AttributeError(
                f"Actor {handle['name']} has no method {name!r}; it has {known or 'none'}. Attributes and properties "
                "are read by a method."
            )
        return ActorMethod(self, name, about)

    def __dir__(self) -> list[str]:
        return [name for name in self._handle["methods"] if not name.startswith("_")]

    def __reduce__(self) -> Any:
        serialization.note_ref(self)
        return _load_handle, (self._entry.id, self._handle)

    def __hash__(self) -> int:
        return hash(self._entry.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActorHandle) and self._entry.id == other._entry.id

    def __repr__(self) -> str:
        return f"Actor({self._handle['name']}, {self._actor_id})"

    def _repr_html_(self) -> str:
        channel = self._channel
        state = "dead" if channel.dead is not None else "connected" if channel.connected else "not called yet"
        if channel.unanswered:
            state += f", {counted(channel.unanswered, 'call')} unanswered"
        methods = ", ".join(self.__dir__()) or "no methods"
        return f"<code>{escape(repr(self))}</code> <small>{escape(state)} · {escape(methods)}</small>"


def _load_handle(actor: bytes, handle: dict[str, Any]) -> ActorHandle:
    return ActorHandle.of(current(), actor, handle)
