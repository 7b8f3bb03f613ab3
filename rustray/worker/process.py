"""A worker process: takes tasks from the leases it serves and runs them in its main thread.

The main thread polls the sockets itself while it has nothing to run (`driver.reactor`); while it runs a task the
background thread takes over, to receive cancellations and to send what has been gathered.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

from rustray.driver import failures
from rustray.driver.current import set_current
from rustray.driver.entry import ERROR
from rustray.driver.session import Session
from rustray.errors import TaskCancelledError
from rustray.wire.frames import Connection, Message
from rustray.wire.page import LeasePage
from rustray.worker.actor import ActorHost
from rustray.worker.channel import FLUSH_S, Channel
from rustray.worker.context import Running, running
from rustray.worker.executor import CONGESTED_PAUSE_S, Executor, Exit
from rustray.worker.output import TaskStream

SHORT_QUEUE = 16
"""Calls of an actor that must wait for its answers to be gathered."""


class Worker:
    """The tasks of one worker process.

    `queue` has the tasks that were received and not started, with the channels they came by. It changes
    under `lock`: they may be handed back at any time.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.session = Session(sock, None, self._pass_on_log)
        self.executor = Executor(self.session)
        self.lock = threading.RLock()
        self.queue: deque[tuple[Channel, tuple[Any, ...]]] = deque()
        self.channels: dict[int, Channel] = {}
        self.actor: ActorHost | None = None
        self._waiters: list[Callable[[], object]] = []
        self._blocked = 0
        self._exit_when_idle = False
        self._current: Running | None = None
        self._interruptible = False
        self._cancelled: int | None = None
        self._durations: dict[Any, float] = {}
        self.info: dict[str, Any] = {}
        session = self.session
        session.running = running.get
        session.lend = self._lend
        session.reactor.on_takeover = self.flush
        session.on_tick.append(self._tick)
        session.on_end.append(self._server_is_gone)
        session.handlers["serve"] = self._on_serve
        session.handlers["host"] = self._on_host
        session.handlers["exit"] = self._on_exit
        session.handlers["retire"] = self._on_retire
        session.handlers["exit_when_idle"] = self._on_exit_when_idle

    # -- the main loop ---------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether there is something for the main thread to do (the loop waits for that)."""
        return bool(self.queue) or self._exit_when_idle

    def add_waiter(self, wake: Callable[[], object]) -> None:
        self._waiters.append(wake)

    def remove_waiter(self, wake: Callable[[], object]) -> None:
        if wake in self._waiters:
            self._waiters.remove(wake)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for wake in waiters:
            wake()

    def run(self) -> None:
        """Serve until the node says to exit or is gone."""
        signal.signal(signal.SIGINT, self._on_interrupt)
        set_current(self.session)
        self.session.start(timeout=60.0)
        self.info = self.session.info
        os.register_at_fork(after_in_child=self._abandon)
        sys.stdout = TaskStream("stdout", sys.stdout, self._prints_for)  # type: ignore[arg-type]
        sys.stderr = TaskStream("stderr", sys.stderr, self._prints_for)  # type: ignore[arg-type]
        while True:
            try:
                self._serve()
            except KeyboardInterrupt:
                continue  # meant for a task that has just ended

    def _abandon(self) -> None:
        # A task has forked. What its child wrote to submitters would be taken for ours.
        self.executor.forked = True
        for channel in self.channels.values():
            if not channel.connection.closed:
                channel.abandon()

    def _serve(self) -> None:
        queue = self.queue
        while True:
            if not queue:
                self.flush()
                self.session.leases.unused.offer_now()
                if self._exit_when_idle:
                    self.leave(0)
                self.session.reactor.wait(self)
            with self.lock:
                if not queue:
                    continue
                channel, message = queue.popleft()
                function = message[1]
                self._current = Running(channel, message[0], self.executor.name_of(function))
            if self._durations.get(function, 1.0) > FLUSH_S:
                # A task that may take long must not keep the answers before it waiting.
                self.flush()
            if self.actor is not None:
                self.actor.run(channel, message)
            else:
                channel.page.started = message[0]
                self.session.around = channel.group
                self.run_task(channel, message, self._current, self._load)

    def _prints_for(self) -> Running | None:
        """Whom text belongs to that no task of its own thread has printed."""
        return self._current or (self.actor.background if self.actor is not None else None)

    def constructed(self) -> None:
        """The constructor of the actor has returned."""
        self._current = None

    def _load(self, function: bytes) -> Callable[..., Any]:
        return self.executor.function(function)

    def run_task(
        self,
        channel: Channel,
        message: tuple[Any, ...],
        task: Running,
        find: Callable[[Any], Callable[..., Any]],
    ) -> None:
        """Run one task in the main thread and queue its answer."""
        token = running.set(task)
        function = message[1]

        def call(*args: Any, **kwargs: Any) -> Any:
            target = find(function)
            try:
                self._interruptible = True
                value = target(*args, **kwargs)
            finally:
                self._interruptible = False
            self.session.check_not_cancelled(channel.client, message[0], task.name)
            return self._each(value, channel) if message[4] < 0 and hasattr(value, "__iter__") else value

        try:
            answer, spent = self.executor.run(channel, message, call, task.name)
        except Exit as end:
            self.end_output(task)
            if self.actor is not None:
                self.actor.leave(end)
            self.give_back(None)
            assert end.answer is not None
            channel.answer(end.answer, 0.0)
            self.leave(end.code)
        finally:
            self._interruptible = False
            running.reset(token)
        self._current = None
        self._cancelled = None
        self.end_output(task)
        self._durations[function] = spent
        channel.answer(answer, spent)
        if len(self.queue) < SHORT_QUEUE if self.actor is not None else message[5]:
            # Were the answer lost with this process, the task would have to fail.
            channel.flush()

    def _each(self, values: Iterable[Any], channel: Channel) -> Iterator[Any]:
        """The objects of a stream; it can be interrupted while the user's code makes the next one, or it waits
        for a submitter that is behind."""
        iterator = iter(values)
        while True:
            try:
                self._interruptible = True
                while channel.connection.congested:
                    time.sleep(CONGESTED_PAUSE_S)
                value = next(iterator)
            except StopIteration:
                return
            finally:
                self._interruptible = False
            yield value
            del value

    def end_output(self, task: Running) -> None:
        """The task has ended: what is left of its last line goes out."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TaskStream):
                stream.end_of(task)

    def flush(self) -> None:
        """Send what every channel has gathered."""
        for channel in list(self.channels.values()):
            channel.flush()

    # -- what submitters say ---------------------------------------------------------------------------

    def _on_serve(
        self, lease: int, client: int, resources: dict[str, float], group: tuple[bytes, bool] | None
    ) -> None:
        connection = Connection(socket.socket(fileno=self.session.take_fd()))
        page = LeasePage.received(self.session.take_fd(), writable=True)
        channel = Channel(lease, client, connection, page, resources, group)
        self.channels[lease] = channel
        self.session.reactor.add(
            connection,
            lambda messages: self._on_messages(channel, messages),
            lambda: self._on_closed(channel),
        )

    def _on_messages(self, channel: Channel, messages: list[Message]) -> None:
        for message in messages:
            op = message[0]
            if op == "run":
                self._take(channel, message[1])
            elif op == "fn":
                self.executor.add_function(*message[1:])
            elif op == "cancel":
                self._cancel(channel, message[1], message[2])
            elif op == "giveback":
                self.give_back(channel)

    def _take(self, channel: Channel, tasks: list[tuple[Any, ...]]) -> None:
        if self.actor is not None and self.actor.take(channel, tasks):
            return
        with self.lock:
            if self._blocked and self.actor is None:
                # Its lease may be younger than the wait.
                channel.send(("blocked",), ("returned", [task[0] for task in tasks]))
                return
            self.queue.extend([(channel, task) for task in tasks])
        self._wake()

    def give_back(self, channel: Channel | None) -> None:
        """Return the tasks of `channel` (None: of all) that have not been started."""
        with self.lock:
            back: dict[Channel, list[int]] = {}
            kept = []
            for at in self.queue:
                if channel is None or at[0] is channel:
                    back.setdefault(at[0], []).append(at[1][0])
                else:
                    kept.append(at)
            self.queue.clear()
            self.queue.extend(kept)
        for to, numbers in back.items():
            to.send(("returned", numbers))

    def _on_closed(self, channel: Channel) -> None:
        self.channels.pop(channel.lease, None)
        self.session.cancelled_calls = {at for at in self.session.cancelled_calls if at[0] != channel.client}
        with self.lock:
            kept = [at for at in self.queue if at[0] is not channel]
            self.queue.clear()
            self.queue.extend(kept)

    # -- cancelling ------------------------------------------------------------------------------------

    def _cancel(self, channel: Channel, number: int, recursive: bool) -> None:
        if recursive:
            self.session.tasks.cancel_children((channel.lease, number))
        if self.actor is not None and self.actor.cancel(channel, number):
            return
        if self._cancel_queued(channel, number):
            return
        if self.actor is not None:
            # As in Ray, an actor's code is not interrupted: its state would be left half-changed.
            self.session.cancelled_calls.add((channel.client, number))
            return
        with self.lock:
            current = self._current
            if current is None or current.channel is not channel or current.number != number:
                return
            self._cancelled = number
        self._interrupt_main()

    def _cancel_queued(self, channel: Channel, number: int) -> bool:
        with self.lock:
            for at in self.queue:
                if at[0] is channel and at[1][0] == number:
                    self.queue.remove(at)
                    error = failures.typed(TaskCancelledError.of(self.executor.name_of(at[1][1])))
                    channel.answer((number, ERROR, error), 0.0)
                    channel.flush()
                    return True
        return False

    def _interrupt_main(self) -> None:
        if hasattr(signal, "pthread_kill"):
            # Also ends a sleep or a read that the task waits in.
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def _on_interrupt(self, _number: int, _frame: Any) -> None:
        # Runs in the main thread, between two of its instructions.
        current, cancelled = self._current, self._cancelled
        if current is None or cancelled != current.number or not self._interruptible:
            return
        if self.session.objects.lock._is_owned():  # type: ignore[attr-defined]
            return  # in the middle of our own book-keeping: `_tick` tries again
        self._cancelled = None
        error = KeyboardInterrupt("the task was cancelled")
        error.of_task = current.number  # type: ignore[attr-defined]
        try:
            raise error
        finally:
            del error  # else its traceback would keep it, and with it the arguments of the task

    def _tick(self) -> None:
        if self._cancelled is not None and self._interruptible:
            self._interrupt_main()
        if self._current is not None:
            self.flush()

    # -- waiting lends the slot ------------------------------------------------------------------------

    @contextlib.contextmanager
    def _lend(self) -> Iterator[None]:
        if running.get() is None and threading.current_thread() is not threading.main_thread():
            # A thread that a task has started, and may leave behind: as in Ray, its wait is not the task's.
            yield
            return
        with self.lock:
            self._blocked += 1
            first = self._blocked == 1
        if first:
            if self.actor is None:
                self.give_back(None)
                for channel in list(self.channels.values()):
                    channel.send(("blocked",))
            self.flush()
            self.session.tell(("blocked",))
        try:
            yield
        finally:
            with self.lock:
                self._blocked -= 1
                last = self._blocked == 0
            if last:
                self.session.tell(("unblocked",))
                if self.actor is None:
                    for channel in list(self.channels.values()):
                        channel.send(("unblocked",))

    # -- printed by tasks of ours ----------------------------------------------------------------------

    def _pass_on_log(self, stream: str, text: str, name: str, pid: int, task: Any) -> None:
        # A nested task's text goes up to whoever submitted the task that submitted it.
        parent = task.parent if task is not None else None
        if parent is not None and parent[0] in self.channels:
            self.channels[parent[0]].log(stream, text, parent[1])
            return
        current = self._prints_for()
        if current is not None:
            current.channel.log(stream, text, current.number)

    # -- actors ----------------------------------------------------------------------------------------

    def _on_host(self, actor: bytes, spec: dict[str, Any]) -> None:
        host = ActorHost(self, actor, spec)
        self.session.hosted_actor = (actor, spec)
        self.session.around = spec.get("group")
        self.actor = host
        with self.lock:
            self.queue.appendleft((host.creation_channel, host.creation_message))
        self._wake()

    # -- the end ---------------------------------------------------------------------------------------

    def _on_exit(self) -> None:
        os._exit(0)

    def _on_retire(self) -> None:
        # Asked while it serves nobody. What it owns or still refers to would be lost with it.
        self.session.objects.settle_drops()
        if len(self.session.objects) or self.session.tasks.children or self.channels or self.queue:
            self.session.tell(("staying",))
        else:
            self._on_exit_when_idle()

    def _on_exit_when_idle(self) -> None:
        if self.actor is not None and self.actor.exit_when_idle():
            return
        self._exit_when_idle = True
        self._wake()

    def _server_is_gone(self) -> None:
        # Nobody could take a result any more; the zygote that would reap us is gone too.
        os._exit(1)

    def leave(self, code: int) -> NoReturn:
        """End this process after sending what is gathered."""
        self.flush()
        deadline = time.monotonic() + 5.0
        connections = [channel.connection for channel in list(self.channels.values())]
        while not all([*map(Connection.flush, connections), self.session.flush()]):
            if time.monotonic() > deadline:
                break
            time.sleep(0.001)
        with contextlib.suppress(Exception):  # a user's exit handler must not keep the process
            import atexit

            atexit._run_exitfuncs()
        os._exit(code)


def main(fd: int) -> None:
    """Run a worker on the descriptor of its node socket. Does not return."""
    Worker(socket.socket(fileno=fd)).run()
