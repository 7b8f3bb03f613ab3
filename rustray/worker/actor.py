"""A worker that hosts an actor: one instance, its methods called in order, in threads, or as coroutines."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from rustray import serialization
from rustray.driver import failures
from rustray.driver.entry import ERROR, Entry
from rustray.errors import TaskCancelledError
from rustray.worker.context import Running, running
from rustray.worker.executor import ActorExit, Answer, Exit

if TYPE_CHECKING:
    import asyncio

    from rustray.worker.channel import Channel
    from rustray.worker.process import Worker

TERMINATE = "__ray_terminate__"
"""The method every actor has: ends it after the calls before it."""


class _NoChannel:
    """Stands for the submitter of the constructor: the node hears of its outcome instead."""

    client = 0

    def start(self, number: int) -> None:
        """Nothing is shared with anybody yet."""

    def log(self, stream: str, text: str, number: int) -> None:
        """What a constructor prints goes to the log file of the worker."""

    def flush(self) -> None:
        """Nothing is gathered."""


class ActorHost:
    """The actor of this process.

    Parameters
    ----------
    spec: "code" (the pickled class), "name", "args", "deps", "concurrency", "asynchronous".
    """

    def __init__(self, worker: Worker, actor: bytes, spec: dict[str, Any]) -> None:
        self._worker = worker
        self.id = actor
        self.spec = spec
        self.name: str = spec["name"]
        self.instance: Any = None
        self.creation_channel: Any = _NoChannel()
        self.creation_message = (0, "__init__", spec["args"], spec["deps"], 1)
        self._concurrency: int = spec["concurrency"]
        self._threads: ThreadPoolExecutor | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._coroutines: dict[tuple[int, int], asyncio.Task[None]] = {}
        self._started = threading.Event()
        self._early: list[tuple[Channel, list[tuple[Any, ...]]]] = []
        self._unfinished = 0
        self._leaving = False
        self._lock = threading.Lock()

    # -- the constructor -------------------------------------------------------------------------------

    def run(self, channel: Channel, message: tuple[Any, ...]) -> None:
        """Run a message of the worker's queue in the main thread: the constructor, or a method."""
        if self.instance is None:
            self._construct(message)
            return
        number, method = message[0], message[1]
        task = Running(channel, number, f"{self.name}.{method}")
        self._worker.run_task(channel, message, task, self._method)

    def _construct(self, message: tuple[Any, ...]) -> None:
        worker = self._worker
        lent: list[Entry] = []
        try:
            cls = serialization.deserialize(self.spec["code"])
            positional, kwargs = worker.executor.arguments(message[2], message[3], lent)
            if self.spec["asynchronous"]:
                self._start_loop()
            self.instance = cls(*positional, **kwargs)
            del positional, kwargs
        except BaseException as error:
            from rustray.error_packing import pack_error

            packed = pack_error(error, f"{self.name}.__init__", pid=worker.session.pid)
            worker.session.tell(("actor_failed", self.id, packed))
            worker.leave(1)
        borrowed = worker.executor.with_borrowed((0, 0, None), lent)
        worker.session.tell(("actor_ready", self.id, borrowed[4] if len(borrowed) > 4 else []))
        if self._loop is None and self._concurrency > 1:
            self._threads = ThreadPoolExecutor(self._concurrency, "rustray-actor")
        self._worker._current = None
        with self._lock:
            self._started.set()
            early, self._early = self._early, []
        for channel, tasks in early:
            self.take(channel, tasks)
        if self._loop is not None:
            self._run_loop()

    def _method(self, name: str) -> Callable[..., Any]:
        if name == TERMINATE:
            return self._terminate
        try:
            found: Callable[..., Any] = getattr(self.instance, name)
        except AttributeError:
            raise AttributeError(f"Actor {self.name} has no method {name!r}.") from None
        return found

    def _terminate(self) -> None:
        raise ActorExit

    # -- concurrent calls ------------------------------------------------------------------------------

    def take(self, channel: Channel, tasks: list[tuple[Any, ...]]) -> bool:
        """Take calls that arrived; False when the main thread is to run them one after another."""
        if self._concurrency == 1 and not self.spec["asynchronous"]:
            return False
        with self._lock:
            if not self._started.is_set():
                self._early.append((channel, tasks))
                return True
            self._unfinished += len(tasks)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._start_coroutines, channel, tasks)
        else:
            assert self._threads is not None
            for message in tasks:
                self._threads.submit(self._run_in_thread, channel, message)
        return True

    def _run_in_thread(self, channel: Channel, message: tuple[Any, ...]) -> None:
        number, method = message[0], message[1]
        task = Running(channel, number, f"{self.name}.{method}")
        channel.start(number)
        token = running.set(task)

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._method(method)(*args, **kwargs)

        try:
            answer, spent = self._worker.executor.run(channel, message, call, task.name)
        except Exit as end:
            channel.answer(end.answer, 0.0)
            channel.flush()
            self._worker.leave(end.code)
            return
        finally:
            running.reset(token)
        self._worker._end_output(task)
        channel.answer(answer, spent)
        channel.flush()
        self._one_done()

    def _one_done(self) -> None:
        with self._lock:
            self._unfinished -= 1
            if self._unfinished == 0 and self._leaving:
                self._worker.leave(0)

    # -- coroutines ------------------------------------------------------------------------------------

    def _start_loop(self) -> None:
        import asyncio

        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)

    def _run_loop(self) -> None:
        import asyncio

        assert self._loop is not None
        self._slots = asyncio.Semaphore(self._concurrency)
        self._loop.run_forever()

    def _start_coroutines(self, channel: Channel, tasks: list[tuple[Any, ...]]) -> None:
        assert self._loop is not None
        for message in tasks:
            key = (channel.lease, message[0])
            task = self._loop.create_task(self._run_coroutine(channel, message))
            self._coroutines[key] = task
            task.add_done_callback(lambda _task, key=key: self._coroutines.pop(key, None))  # type: ignore[misc]

    async def _run_coroutine(self, channel: Channel, message: tuple[Any, ...]) -> None:
        import asyncio
        import time

        executor = self._worker.executor
        number, method, args, deps, returns = message
        task = Running(channel, number, f"{self.name}.{method}")
        lent: list[Entry] = []
        start = time.perf_counter()
        try:
            async with self._slots:
                running.set(task)
                channel.start(number)
                if deps or type(args) is tuple and args and args[0] == 2:
                    # Arguments in the store may have to be waited for; the loop must go on meanwhile.
                    assert self._loop is not None
                    positional, kwargs = await self._loop.run_in_executor(
                        None, executor.arguments, args, deps, lent
                    )
                else:
                    positional, kwargs = executor.arguments(args, deps, lent)
                value = self._method(method)(*positional, **kwargs)
                if inspect.isawaitable(value):
                    value = await value
                if inspect.isasyncgen(value):
                    count = 0
                    async for item in value:
                        executor.send_item(channel, number, count, item, task.name)
                        count += 1
                    answer: Answer = (number, 5, count)
                else:
                    answer = executor.results(value, channel, number, returns, task.name)
            del positional, kwargs, value
        except asyncio.CancelledError:
            answer = (number, ERROR, failures.typed(TaskCancelledError.of(task.name)))
        except BaseException as error:
            positional = kwargs = value = None
            try:
                answer = executor.failure(error, channel, number, task.name)
            except Exit as end:
                channel.answer(end.answer, 0.0)
                self._worker.flush()
                self._worker.leave(end.code)
        if lent:
            answer = executor.with_borrowed(answer, lent)
        self._worker._end_output(task)
        channel.answer(answer, 0.0 if self._unfinished > 1 else time.perf_counter() - start)
        if self._unfinished > 1:
            assert self._loop is not None
            self._loop.call_soon(channel.flush)
        else:
            channel.flush()
        self._one_done()

    def cancel(self, channel: Channel, number: int) -> bool:
        """Cancel a call that runs as a coroutine; False when it is not one."""
        task = self._coroutines.get((channel.lease, number))
        if task is None or self._loop is None:
            return False
        self._loop.call_soon_threadsafe(task.cancel)
        return True

    def exit_when_idle(self) -> None:
        """No handle is left: end after the calls that have arrived."""
        with self._lock:
            self._leaving = True
            idle = self._unfinished == 0
        if idle and (self._loop is not None or self._threads is not None):
            self._worker.leave(0)
