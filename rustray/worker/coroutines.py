"""The calls of an actor with async methods: coroutines in the main thread's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from typing import TYPE_CHECKING, Any, TypeVar

from rustray.driver.entry import BLOCK, ERROR, Entry
from rustray.driver.tasks import FINISHED
from rustray.worker.context import Running, running
from rustray.worker.executor import CONGESTED_PAUSE_S, Answer, Exit

if TYPE_CHECKING:
    from rustray.worker.actor import ActorHost, Call
    from rustray.worker.channel import Channel

T = TypeVar("T")

Key = tuple[int, int]
"""Lease and number of a call."""


class Coroutines:
    """See `worker.actor.ConcurrentCalls`.

    Parameters
    ----------
    at_once: {group: calls of it that run at once}, "" for calls of no group.
    """

    def __init__(self, host: ActorHost, at_once: dict[str, int]) -> None:
        self._host = host
        self._slots = {group: asyncio.Semaphore(count) for group, count in at_once.items()}
        self._waiting: dict[Key, Call] = {}
        self._running: dict[Key, asyncio.Task[None]] = {}
        self.at_work: dict[Key, Running] = {}
        self._kept: set[asyncio.Task[None]] = set()
        """The loop itself keeps no task alive."""
        self._loop = asyncio.new_event_loop()

    def start(self) -> None:
        """Let the constructor make futures and locks of the loop."""
        asyncio.set_event_loop(self._loop)

    def serve(self) -> None:
        """Run the loop."""
        self._loop.run_forever()

    def take(self, channel: Channel, calls: list[Call]) -> None:
        self._loop.call_soon_threadsafe(self._begin, channel, calls)

    def _begin(self, channel: Channel, calls: list[Call]) -> None:
        for call in calls:
            self._waiting[channel.lease, call[0]] = call
            task = self._loop.create_task(self._run(channel, call))
            self._kept.add(task)
            task.add_done_callback(self._kept.discard)

    def cancel(self, channel: Channel, number: int) -> bool:
        # In the loop, behind the arrival of the call itself.
        self._loop.call_soon_threadsafe(self._cancel, channel, number)
        return True

    def _cancel(self, channel: Channel, number: int) -> None:
        key = (channel.lease, number)
        waiting = self._waiting.pop(key, None)
        if waiting is not None:
            channel.answer(self._host.cancelled(waiting), 0.0)
            channel.flush()
            self._host.answered()
        elif key in self._running:
            self._running[key].cancel()

    def drop_waiting(self) -> int:
        count = len(self._waiting)
        self._waiting.clear()
        return count

    async def _run(self, channel: Channel, call: Call) -> None:
        key = (channel.lease, call[0])
        async with self._slots[call[1].partition("@")[2]]:
            if self._waiting.pop(key, None) is None:
                return  # cancelled, or dropped, while it waited
            if self._host.ended:
                self._host.answered()
                return
            current = asyncio.current_task()
            assert current is not None
            self._running[key] = current
            try:
                await self._answer(channel, call)
            finally:
                del self._running[key]
                self.at_work.pop(key, None)

    async def _answer(self, channel: Channel, call: Call) -> None:
        host, worker = self._host, self._host.worker
        task = Running(channel, call[0], f"{host.name}.{call[1].partition('@')[0]}")
        running.set(task)
        self.at_work[channel.lease, call[0]] = task
        lent: list[Entry] = []
        figures, cancelled = worker.executor.figures, False
        if task.name != figures.name:
            figures.begin(task.name)
        start = time.perf_counter()
        try:
            answer = await self._attempt(channel, call, task.name, lent)
        except asyncio.CancelledError:
            cancelled = True
            answer = host.cancelled(call)
        except BaseException as error:
            try:
                answer = worker.executor.failure(error, channel, call[0], task.name)
            except Exit as end:
                worker.printing.end_of(task)
                channel.flush()
                host.end_by(end)
                return
        spent = time.perf_counter() - start
        figures.end(task.name, spent, answer[1] == ERROR, cancelled, channel.client, call[0])
        if lent:
            answer = worker.executor.with_borrowed(answer, lent)
        worker.printing.end_of(task)
        if len(self._running) > 1:
            channel.answer(answer, 0.0)
            self._loop.call_soon(channel.flush)
        else:
            channel.answer(answer, spent)
            channel.flush()
        host.answered()

    async def _attempt(self, channel: Channel, call: Call, name: str, lent: list[Entry]) -> Answer:
        # A frame of its own: its arguments and its value are gone before it is looked what is still borrowed.
        executor = self._host.worker.executor
        number, method, args, deps, returns, _once = call
        if deps or type(args) is tuple and args and args[0] == BLOCK:
            # Arguments in the store may have to be waited for; the loop must go on meanwhile.
            reading = self._loop.run_in_executor(None, executor.arguments, args, deps, lent)
            positional, kwargs = await _to_the_end(reading)
        else:
            positional, kwargs = executor.arguments(args, deps, lent)
        value: Any = self._host.method(method)(*positional, **kwargs)
        if inspect.isawaitable(value):
            value = await value
        del positional, kwargs
        if not inspect.isasyncgen(value):
            return executor.results(value, channel, number, returns, name)
        count = 0
        sent_before = -1 - returns
        async for item in value:
            count += 1
            while channel.connection.congested:
                await asyncio.sleep(CONGESTED_PAUSE_S)
            if count > sent_before:
                executor.send_item(channel, number, count - 1, item, name)
        return number, FINISHED, count


async def _to_the_end(reading: asyncio.Future[T]) -> T:
    """What a thread gives. Also who is cancelled awaits its end: what it reads is pinned until the call is answered."""
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        while not reading.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait((reading,))
        raise
