"""The event loop of a client process, lent to whoever waits.

A background thread that reads every reply and then wakes the thread which asked costs two context
switches a call. So the *turn* to poll the sockets belongs to the thread that waits in :meth:`Reactor.wait`;
the background thread polls only while nobody waits.

Rule 1. Only the holder of the turn polls, and handlers run in its thread, one at a time.
Rule 2. A waiter that cannot have the turn registers itself first and looks again afterwards; a holder gives
        the turn back first and looks for registered waiters afterwards. So no wake-up is lost.
Rule 3. A signal that arrives while the main thread has the turn is handled after the handlers have run, never
        in the middle of one: a KeyboardInterrupt there would leave half-done book-keeping.
Rule 4. A waiter that leaves does not wake the background thread: that one looks every few milliseconds
        whether the turn has been left alone, so a loop of short waits never pays for it.
"""

from __future__ import annotations

import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from rustray.driver.shield import Shield
from rustray.wire.frames import Connection, ConnectionClosed, Message

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_LOOK_AGAIN_S = 0.003
_LOOK_AGAIN_IDLE_S = 0.025
_IDLE_AFTER_LOOKS = 300
_TICK_S = 0.1
NEVER = float("inf")
_SPIN_S = 0.0001
"""Seconds for which a wait looks without sleeping, when"""
_SOON_S = 0.0003
"""the wait before it took less than this."""


class Awaited(Protocol):
    """What can be waited for: `ready` turns true once, and then every waiter's event is set."""

    @property
    def ready(self) -> bool: ...
    def add_waiter(self, wake: Callable[[], object]) -> None: ...
    def remove_waiter(self, wake: Callable[[], object]) -> None: ...


def _raise(error: Exception) -> None:
    raise error


class Reactor:
    """Polls the connections of one client process.

    Parameters
    ----------
    on_tick: called about ten times a second by the background thread while it has the turn, and by
        waiters as often; housekeeping that nobody waits for.
    """

    def __init__(self, on_tick: Callable[[], None]) -> None:
        self._selector = selectors.DefaultSelector()
        self._turn = threading.Lock()
        self._mutex = threading.Lock()
        self._claims = 0
        self._visits = 0
        self._spins = False
        self._visitor = False
        self._sleepers: list[threading.Event] = []
        self._short: deque[Connection] = deque()
        """They wait for a tick, not for room in their sockets: see `Connection.short`."""
        self._on_tick = on_tick
        self.on_takeover: Callable[[], None] | None = None
        """Called by the background thread each time it takes the turn over."""
        self.on_defect: Callable[[Exception], None] = _raise
        """Called when a handler raises."""
        self.shield = Shield(self.wake)
        self._next_tick = 0.0
        self.alarm = NEVER
        """When `on_alarm` is called, on the monotonic clock: set by whoever has the turn."""
        self.on_alarm: Callable[[float], None] = lambda _now: None
        self._closed = False
        self._over = False
        self._parked = threading.Lock()
        self._parked.acquire()
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)
        self._selector.register(self._wake_reader, _READ, self._drain_wake)
        self._thread = threading.Thread(target=self._run, name="rustray-io", daemon=True)
        self._has_thread_turn = False

    @property
    def is_waited_for(self) -> bool:
        """Whether a thread is in `wait`."""
        return self._claims > 0

    def start(self) -> None:
        """Start the background thread."""
        self._thread.start()

    def add(
        self,
        connection: Connection,
        on_messages: Callable[[list[Message]], None],
        on_closed: Callable[[], None],
    ) -> None:
        """Poll `connection`; handlers run in the thread that has the turn."""

        def on_ready(events: int) -> None:
            if events & _WRITE and (connection.flush() or connection.short):
                self._watch(connection)
            if events & _READ:
                try:
                    messages = connection.receive()
                except ConnectionClosed:
                    self.remove(connection)
                    self._guarded(on_closed)
                    return
                if messages:
                    self._guarded(on_messages, messages)

        connection.on_backlog = self._watch
        self._selector.register(connection.fd, _READ, on_ready)
        if connection.backlog:
            self._watch(connection)

    def _guarded(self, call: Callable[..., None], *args: object) -> None:
        try:
            call(*args)
        except Exception as error:
            # A defect of ours, or a peer that speaks another version. Going on would hang somebody, and the background
            # thread must not end by it.
            self.on_defect(error)

    def _watch(self, connection: Connection) -> None:
        """Wait for room if something is kept: looked at here, for another thread may have sent since the caller did."""
        with self._mutex:
            if connection.closed:
                return
            events = _READ
            if connection.short:
                self._short.append(connection)
            elif connection.backlog:
                events |= _WRITE
            try:
                key = self._selector.get_key(connection.fd)
            except (KeyError, RuntimeError):
                return  # removed meanwhile: there is nobody left to write to
            self._selector.modify(connection.fd, events, key.data)

    def remove(self, connection: Connection) -> None:
        """Stop polling `connection` and close it."""
        with self._mutex:
            if not connection.closed:
                try:
                    self._selector.unregister(connection.fd)
                except (KeyError, ValueError):
                    pass  # never added, or the reactor is closed
        connection.close()

    def wake(self) -> None:
        """Make whoever polls look around now."""
        try:
            os.write(self._wake_writer, b"w")
        except (BlockingIOError, OSError):
            pass  # already awake, or closed

    def _drain_wake(self, _events: int) -> None:
        try:
            while os.read(self._wake_reader, 512):
                pass
        except BlockingIOError:
            pass

    def wait(self, awaited: Awaited, timeout: float | None = None) -> bool:
        """Block until `awaited.ready`, polling meanwhile; False when `timeout` (seconds) ran out first, or the session
        has ended."""
        if awaited.ready:
            return True
        if timeout is not None and timeout <= 0:
            self.poll_now()
            return awaited.ready
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            with self.shield:
                outcome = self._wait(awaited, deadline)
            if outcome is not None:
                return outcome
            # A signal came, and its handler did not raise: go on.

    def _wait(self, awaited: Awaited, deadline: float | None) -> bool | None:
        """As `wait`; None when a signal has to be handled first."""
        with self._mutex:
            self._claims += 1
        try:
            while not awaited.ready:
                if deadline is not None and time.monotonic() >= deadline:
                    return False
                if self._over:
                    return awaited.ready
                if self.shield.pending and threading.current_thread() is threading.main_thread():
                    return None
                if self._turn.acquire(False):
                    try:
                        self._poll_for(awaited, deadline)
                    finally:
                        self._turn.release()
                else:
                    self._sleep_for(awaited, deadline)
            return True
        finally:
            with self._mutex:
                self._claims -= 1
                self._visits += 1
            self._pass_on()

    def _pass_on(self) -> None:
        """Have one of those who wait for the turn look again. Whoever leaves does so, holder or not: the event that
        a holder has set may be that of a thread which leaves because its own value is there.
        """
        if self._sleepers and not self._turn.locked():
            try:
                self._sleepers[0].set()
            except IndexError:
                pass  # it left between the two looks

    def _poll_for(self, awaited: Awaited, deadline: float | None) -> None:
        poll = self.poll
        is_main = threading.current_thread() is threading.main_thread()
        pending: Sequence[object] = self.shield.pending if is_main else ()
        if self._spins:
            # The answer to the last wait came at once. A processor that sleeps takes longer to wake than this.
            spins, self._spins = self._spins, False
            until = time.monotonic() + _SPIN_S
            while not awaited.ready and not pending and time.monotonic() < until:
                poll(0.0)
            if awaited.ready:
                self._spins = spins
                return
        started = time.monotonic()
        while not awaited.ready and not self._over and not pending:
            if deadline is None:
                poll(_TICK_S)
            else:
                left = deadline - time.monotonic()
                if left <= 0:
                    return
                poll(min(left, _TICK_S))
        self._spins = time.monotonic() - started < _SOON_S

    def _sleep_for(self, awaited: Awaited, deadline: float | None) -> None:
        event = threading.Event()
        awaited.add_waiter(event.set)
        self._sleepers.append(event)
        try:
            if self._has_thread_turn:
                self.wake()
            if not awaited.ready and self._turn.locked():
                # Not for ever: a signal that has to wait cannot wake its own thread here.
                left = _TICK_S if deadline is None else deadline - time.monotonic()
                event.wait(max(0.0, min(left, _TICK_S)))
        finally:
            self._sleepers.remove(event)
            awaited.remove_waiter(event.set)

    def poll(self, timeout: float) -> None:
        """Handle what is ready, waiting up to `timeout` seconds for it. The caller has the turn."""
        if timeout and self.alarm < NEVER:
            timeout = min(timeout, max(0.0, self.alarm - time.monotonic()))
        for key, events in self._selector.select(timeout):
            key.data(events)
        now = time.monotonic()
        if now >= self.alarm:
            self.alarm = NEVER
            self._guarded(self.on_alarm, now)
        if now >= self._next_tick:
            self._next_tick = now + _TICK_S
            for _ in range(len(self._short)):
                connection = self._short.popleft()
                connection.flush()
                self._watch(connection)
            self._guarded(self._on_tick)

    def poll_now(self) -> None:
        """Handle what is ready without waiting; does nothing when another thread has the turn."""
        with self.shield:
            if self._turn.acquire(False):
                try:
                    self.poll(0.0)
                finally:
                    self._turn.release()
                    self._pass_on()

    def visit(self) -> None:
        """Handle what is ready, from a thread that submits much: quicker than to fight over the interpreter with
        the background thread, which would get it for one system call at a time. The turn stays with the visitors
        as long as they come every few milliseconds.
        """
        with self.shield:
            if self._turn.acquire(False):
                try:
                    self.poll(0.0)
                finally:
                    self._turn.release()
                    self._visits += 1
                    self._pass_on()
            elif self._has_thread_turn and not self._visitor:
                self._visitor = True
                self.wake()

    def _run(self) -> None:
        while not self._closed:
            if self._claims == 0 and self._turn.acquire(False):
                self._has_thread_turn = True
                try:
                    if self.on_takeover is not None:
                        self.on_takeover()
                    while self._claims == 0 and not self._closed and not self._visitor:
                        self.poll(_TICK_S)
                finally:
                    self._has_thread_turn = False
                    self._turn.release()
                    for event in list(self._sleepers):
                        event.set()
            looks = 0
            visits = -1
            self._visitor = False
            while not self._closed and (self._claims > 0 or self._visits != visits):
                looks = looks + 1 if self._visits == visits else 0
                visits = self._visits
                pause = _LOOK_AGAIN_S if looks < _IDLE_AFTER_LOOKS else _LOOK_AGAIN_IDLE_S
                self._parked.acquire(timeout=pause)

    def end_waits(self) -> None:
        """Nothing that anybody waits for will come any more, if it is not there yet: `wait` gives False at once."""
        self._over = True
        self.wake()
        for event in list(self._sleepers):
            event.set()

    def close(self) -> None:
        """Stop the background thread and wake every waiter; the connections are closed by their owners."""
        if self._closed:
            return
        self._closed = True
        self.shield.close()
        self.end_waits()
        if self._parked.locked():
            self._parked.release()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout=2.0)
        if self._turn.acquire(timeout=2.0):
            self._selector.close()
            os.close(self._wake_reader)
            os.close(self._wake_writer)
