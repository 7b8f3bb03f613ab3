"""A worker that hosts an actor: one instance, its methods called in order, in threads, or as coroutines."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from rustray import serialization
from rustray.actor import ActorExit
from rustray.driver import failures
from rustray.driver.entry import ERROR, Entry
from rustray.driver.methods import CALL, READY, TERMINATE
from rustray.error_packing import pack_error
from rustray.errors import TaskCancelledError
from rustray.model import ids
from rustray.worker.context import Running
from rustray.worker.executor import Answer, Exit

if TYPE_CHECKING:
    from rustray.worker.channel import Channel
    from rustray.worker.process import Worker

Call = tuple[Any, ...]
"""A call as it arrives: number, method, args, deps, returns, whether it may run only once."""


class ConcurrentCalls(Protocol):
    """Runs calls beside each other: `worker.threads`, `worker.coroutines`."""

    at_work: dict[tuple[int, int], Running]
    """The calls that run, by lease and number."""

    def start(self) -> None:
        """The constructor begins."""

    def serve(self) -> None:
        """The constructor has returned. May keep the main thread for good."""

    def take(self, channel: Channel, calls: list[Call]) -> None:
        """Calls have arrived."""

    def cancel(self, channel: Channel, number: int) -> bool:
        """Cancel a call where it can be; False where it runs on."""

    def drop_waiting(self) -> int:
        """Forget the calls that have not begun; how many."""


class OwnerChannel:
    """Stands for the submitter of the constructor: what it prints goes to the actor's owner, by way of the node.

    So does what the actor's own threads print while no call runs.
    """

    client = 0
    lease = 0

    def __init__(self, worker: Worker, actor: bytes, name: str) -> None:
        self._worker = worker
        self._owner = ids.owner_of(actor)
        self._name = name

    def log(self, kind: str, text: str, number: int, pid: int = 0) -> None:
        """Pass text on."""
        self._worker.session.tell(("actor_log", self._owner, kind, text, pid or os.getpid(), self._name))

    def flush(self) -> None:
        """Nothing is gathered."""


class ActorHost:
    """The actor of this process.

    Parameters
    ----------
    spec: "code" (the pickled class), "name", "args", "deps", "concurrency", "groups", "asynchronous".
    """

    def __init__(self, worker: Worker, actor: bytes, spec: dict[str, Any]) -> None:
        self.worker = worker
        self.id = actor
        self.spec = spec
        self.name: str = spec["name"]
        self.instance: Any = None
        self.creation_channel: Any = OwnerChannel(worker, actor, self.name)
        self.creation_message = (0, "__init__", spec["args"], spec["deps"], 1, True)
        self.background = Running(self.creation_channel, 0, self.name)
        """Whom a print belongs to when no call runs."""
        self._calls = self._concurrent_calls(spec)
        self._constructed = False
        self._early: list[tuple[Channel, list[Call]]] = []
        self._unfinished = 0
        self._leaving = False
        self.ended = False
        """Whether it has been asked for the end: calls that have not begun are dropped."""
        self._lock = threading.Lock()

    def _concurrent_calls(self, spec: dict[str, Any]) -> ConcurrentCalls | None:
        at_once = {"": spec["concurrency"], **spec["groups"]}
        if spec["asynchronous"]:
            from rustray.worker.coroutines import Coroutines

            return Coroutines(self, at_once)
        if spec["concurrency"] > 1 or spec["groups"]:
            from rustray.worker.threads import Threads

            return Threads(self, at_once)
        return None

    # -- the main thread -------------------------------------------------------------------------------

    def run(self, channel: Channel, message: Call) -> None:
        """Run a message of the worker's queue in the main thread: the constructor, or a call in turn."""
        if not self._constructed:
            self._construct(message)
            return
        number, method = message[0], message[1]
        channel.page.begin(number)
        task = Running(channel, number, f"{self.name}.{method}")
        self.worker.run_task(channel, message, task, self.method)

    def _construct(self, message: Call) -> None:
        worker = self.worker
        lent: list[Entry] = []
        try:
            if self._calls is not None:
                self._calls.start()
            self._make_instance(message, lent)
        except ActorExit:
            self.leave(Exit(f"its constructor called exit_actor() (pid {os.getpid()})", 0))
        except BaseException as error:
            packed = pack_error(error, f"{self.name}.__init__", pid=worker.session.pid)
            worker.session.tell(("actor_failed", self.id, packed))
            worker.leave(1)
        finally:
            worker.printing.end_of(self.background)
        answer = worker.executor.with_borrowed((0, 0, None), lent)
        worker.session.tell(("actor_ready", self.id, answer[4] if len(answer) > 4 else []))
        worker.interruption.current = None
        if self._calls is None:
            self._constructed = True
            return
        with self._lock:
            self._constructed = True
            early, self._early = self._early, []
        for channel, calls in early:
            self.take(channel, calls)
        self._leave_if_idle()
        self._calls.serve()

    def _make_instance(self, message: Call, lent: list[Entry]) -> None:
        # A frame of its own: its arguments are gone before it is looked what is still borrowed.
        cls = serialization.deserialize(self.spec["code"])
        positional, kwargs = self.worker.executor.arguments(message[2], message[3], lent)
        self.instance = cls(*positional, **kwargs)

    def method(self, name: str) -> Callable[..., Any]:
        """The bound method that a call names."""
        name = name.partition("@")[0]
        if name == TERMINATE:
            return self._terminate
        if name == READY:
            return lambda: True
        if name == CALL:
            return lambda function, *args, **kwargs: function(self.instance, *args, **kwargs)
        try:
            found: Callable[..., Any] = getattr(self.instance, name)
        except AttributeError:
            raise AttributeError(f"Actor {self.name} has no method {name!r}.") from None
        return found

    def _terminate(self) -> None:
        raise ActorExit

    # -- concurrent calls ------------------------------------------------------------------------------

    def take(self, channel: Channel, calls: list[Call]) -> bool:
        """Take calls that arrived; False when the main thread is to run them one after another."""
        if self._calls is None:
            return False
        with self._lock:
            if self.ended:
                return True  # they fail with the actor
            if not self._constructed:
                self._early.append((channel, calls))
                return True
            self._unfinished += len(calls)
        self._calls.take(channel, calls)
        return True

    def cancel(self, channel: Channel, number: int) -> bool:
        """Cancel a concurrent call that waits or is a coroutine; False when it is not one."""
        if self._calls is None:
            return False
        with self._lock:
            for of, calls in self._early:
                for call in calls:
                    if of is channel and call[0] == number:
                        calls.remove(call)
                        channel.answer(self.cancelled(call), 0.0)
                        channel.flush()
                        return True
        return self._calls.cancel(channel, number)

    def cancelled(self, call: Call) -> Answer:
        """The answer of a cancelled call."""
        name = f"{self.name}.{call[1].partition('@')[0]}"
        return call[0], ERROR, failures.typed(TaskCancelledError.of(name))

    def concurrent(self) -> list[Running]:
        """The calls that run beside the main thread's, as of now."""
        return [] if self._calls is None else list(self._calls.at_work.values())

    def answered(self, count: int = 1) -> None:
        """That many concurrent calls have ended."""
        with self._lock:
            self._unfinished -= count
        if self._leaving:
            self._leave_if_idle()

    # -- the end ---------------------------------------------------------------------------------------

    def exit_when_idle(self) -> bool:
        """No handle is left: end after the calls that have arrived. False when the main thread sees to it."""
        if self._calls is None:
            return False
        self._leaving = True
        self._leave_if_idle()
        return True

    def end_by(self, end: Exit) -> None:
        """A concurrent call has asked for the end: those that run are finished, those that wait are dropped."""
        if end.code:
            self.leave(end)
        assert self._calls is not None
        with self._lock:
            first, self.ended, self._leaving = not self.ended, True, True
        if first:
            self.worker.session.tell(("actor_ended", self.id, end.text))
            self.answered(1 + self._calls.drop_waiting())
        else:
            self.answered()

    def _leave_if_idle(self) -> None:
        with self._lock:
            idle = self._leaving and self._constructed and self._unfinished == 0
        if idle:
            self.worker.leave(0)

    def leave(self, end: Exit) -> NoReturn:
        """End now. With status 0 it has ended itself and is not started again, as in Ray."""
        if end.code == 0:
            self.worker.session.tell(("actor_ended", self.id, end.text))
        self.worker.leave(end.code)
