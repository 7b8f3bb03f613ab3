"""Virtual time: one heap of events for the whole cluster, and an event loop a process that stands on it."""

from __future__ import annotations

import asyncio
import heapq
import random
from asyncio import events as asyncio_events
from collections.abc import Callable, Coroutine
from typing import Any

START = 1_000.0
MOST_AT_ONCE = 20_000
"""Events without any time between them: more are an endless loop."""
EPOCH = 1_700_000_000.0
"""Wall-clock seconds at virtual time 0."""


class Handle:
    """What is to be called, as asyncio gives it to those who may cancel it."""

    __slots__ = ("_when", "args", "callback", "gone", "loop")

    def __init__(self, loop: VirtualLoop, when: float, callback: Callable[..., Any], args: Any) -> None:
        self.loop = loop
        self._when = when
        self.callback = callback
        self.args = args
        self.gone = False

    def cancel(self) -> None:
        self.gone = True

    def cancelled(self) -> bool:
        return self.gone

    def when(self) -> float:
        return self._when


class Clock:
    """Events in the order of their times, those of one time in the order in which they were made."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = START
        self.steps = 0
        self.readers: dict[int, Any] = {}
        """Ends of streams, by their descriptors."""
        self._heap: list[tuple[float, int, Handle]] = []
        self._made = 0

    def wall(self) -> float:
        return EPOCH + self.now

    def add(self, handle: Handle) -> None:
        self._made += 1
        heapq.heappush(self._heap, (handle._when, self._made, handle))

    def run_until(self, end: float, done: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass; True as soon as `done` is."""
        heap, stands = self._heap, 0
        while heap and heap[0][0] <= end:
            when, _made, handle = heapq.heappop(heap)
            if handle.gone:
                continue
            if when > self.now:
                self.now, stands = when, 0
            stands += 1
            assert stands < MOST_AT_ONCE, f"time stands still at {self.now}: {handle.callback}{handle.args}"
            if handle.loop.run(handle):
                self.steps += 1
                if done():
                    return True
        self.now = max(self.now, end)
        return done()


class VirtualLoop:
    """The event loop of one process: as much of asyncio's as is used here.

    A process that is paused finds everything that happened meanwhile when it goes on; one that is dead does nothing.
    """

    def __init__(self, clock: Clock, name: str) -> None:
        self.clock = clock
        self.name = name
        self.dead = False
        self.paused = False
        self._missed: list[Handle] = []
        self.on_error: Callable[[dict[str, Any]], None] = lambda _context: None
        self.host: Any = None
        """The head or node that this is the process of, or that it belongs to."""

    # -- asyncio's ---------------------------------------------------------------------------------------

    def time(self) -> float:
        return self.clock.now

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any, context: Any = None) -> Handle:
        handle = Handle(self, when, callback, args)
        self.clock.add(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> Handle:
        return self.call_at(self.clock.now + delay, callback, *args)

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> Handle:
        return self.call_at(self.clock.now, callback, *args)

    call_soon_threadsafe = call_soon

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)  # type: ignore[arg-type]

    def create_task(self, coroutine: Coroutine[Any, Any, Any], name: str | None = None) -> asyncio.Task[Any]:
        return asyncio.Task(coroutine, loop=self, name=name or "")  # type: ignore[arg-type]

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return self.dead

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.on_error(context)

    def add_reader(self, fd: int, callback: Callable[..., Any], *args: Any) -> None:
        self.clock.readers[fd].watch(self, callback, args)

    def remove_reader(self, fd: int) -> None:
        reader = self.clock.readers.get(fd)
        if reader is not None:
            reader.unwatch()

    def add_writer(self, fd: int, callback: Callable[..., Any], *args: Any) -> None:
        raise AssertionError("virtual sockets always have room")

    def remove_writer(self, fd: int) -> None:
        pass

    # -- the process -------------------------------------------------------------------------------------

    def run(self, handle: Handle) -> bool:
        """Call it, unless this process is dead or stands still."""
        if self.dead:
            return False
        if self.paused:
            self._missed.append(handle)
            return False
        before = asyncio_events._get_running_loop()
        asyncio_events._set_running_loop(self)  # type: ignore[arg-type]
        try:
            handle.callback(*handle.args)
        finally:
            asyncio_events._set_running_loop(before)
        return True

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        """Go on, with all that was missed, in its order or with the timers behind what others have sent."""
        if not self.paused:
            return
        self.paused = False
        missed, self._missed = self._missed, []
        for handle in missed:
            if not handle.gone:
                handle._when = self.clock.now
                self.clock.add(handle)

    def kill(self) -> None:
        self.dead = True
        self._missed.clear()
