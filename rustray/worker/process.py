"""A worker process: takes tasks from the leases it serves and runs them in its main thread.

The main thread polls the sockets itself while it has nothing to run (`driver.reactor`); while it runs a task the
background thread takes over, to receive cancellations and to send what has been gathered.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

from rustray.driver import failures, patience
from rustray.driver.current import set_current
from rustray.driver.entry import ERROR
from rustray.driver.session import Session
from rustray.errors import TaskCancelledError
from rustray.wire.frames import Connection, Message
from rustray.wire.page import LeasePage
from rustray.worker.actor import ActorHost
from rustray.worker.channel import FLUSH_S, Channel
from rustray.worker.code import KnownCode
from rustray.worker.context import Running, running
from rustray.worker.executor import CONGESTED_PAUSE_S, Executor, Exit
from rustray.worker.inbox import Inbox
from rustray.worker.interruption import Interruption
from rustray.worker.lending import Lending
from rustray.worker.output import Printing

SHORT_QUEUE = 16
"""Calls of an actor that must wait for its answers to be gathered."""


class Worker:
    """One worker process."""

    def __init__(self, sock: socket.socket) -> None:
        self.session = Session(sock, None, None)
        self.executor = Executor(self.session)
        self._code = KnownCode()
        self._function: Any = b""
        self.inbox = Inbox()
        self.interruption = Interruption(self.inbox.lock, self.session.objects.lock)
        self._lending = Lending(self)
        self.printing = Printing(self)
        self.channels: dict[int, Channel] = {}
        self.actor: ActorHost | None = None
        self._durations: dict[Any, float] = {}
        session = self.session
        session.output.sink = self.printing.pass_on
        session.running = running.get
        session.lend = self._lending.lend
        session.reactor.on_takeover = self.flush
        session.on_tick.append(self._tick)
        # What says that a task waits in vain goes to its output, once. A worker without a task waits for one.
        patience.attach(session, lambda: bool(self._lending.waits), self.interruption.place)
        session.on_end.append(self._server_is_gone)
        session.handlers["serve"] = self._on_serve
        session.handlers["host"] = self._on_host
        session.handlers["exit"] = self._on_exit
        session.handlers["part"] = self._on_part
        session.handlers["retire"] = self._on_retire
        session.handlers["exit_when_idle"] = self._on_exit_when_idle

    # -- the main loop ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until the node says to exit or is gone."""
        self.interruption.install()
        set_current(self.session)
        self.session.start(timeout=60.0)
        os.register_at_fork(after_in_child=self._abandon)
        self.printing.install()
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
        inbox, interruption = self.inbox, self.interruption
        queue = inbox.queue
        while True:
            if not queue:
                self.flush()
                self.session.leases.unused.offer_now()
                if inbox.exit_when_idle:
                    self.leave(0)
                self.session.reactor.wait(inbox)
            with inbox.lock:
                if not queue:
                    continue
                channel, message = queue.popleft()
                self._function = function = message[1]
                interruption.current = task = Running(channel, message[0], self._code.name_of(function))
            if self._durations.get(function, 1.0) > FLUSH_S:
                # A task that may take long must not keep the answers before it waiting.
                self.flush()
            if self.actor is not None:
                self.actor.run(channel, message)
            else:
                channel.page.begin(message[0])
                self.session.around = channel.group
                self.run_task(channel, message, task, self._code.function)

    def run_task(
        self,
        channel: Channel,
        message: tuple[Any, ...],
        task: Running,
        find: Callable[[Any], Callable[..., Any]],
    ) -> None:
        """Run one task in the main thread and queue its answer."""
        token = running.set(task)
        interruption = self.interruption
        function = message[1]

        def call(*args: Any, **kwargs: Any) -> Any:
            target = find(function)
            try:
                interruption.allowed = True
                value = target(*args, **kwargs)
            finally:
                interruption.allowed = False
                self.printing.show_figures(task)  # before a result is packed that may hold one
            self.session.check_not_cancelled(channel.client, message[0], task.name)
            return self._each(value, channel) if message[4] < 0 and hasattr(value, "__iter__") else value

        try:
            answer, spent = self.executor.run(channel, message, call, task.name)
        except Exit as end:
            self.printing.end_of(task)
            if self.actor is not None:
                self.actor.leave(end)
            self.inbox.give_back(None)
            assert end.answer is not None
            channel.answer(end.answer, 0.0)
            self.leave(end.code)
        finally:
            interruption.allowed = False
            running.reset(token)
        interruption.current = None
        interruption.cancelled = None
        if self._lending.waits and self.actor is None:
            self._lending.settle()
        self.printing.end_of(task)
        self._durations[function] = spent
        channel.answer(answer, spent)
        if len(self.inbox.queue) < SHORT_QUEUE if self.actor is not None else message[5]:
            # Were the answer lost with this process, the task would have to fail.
            channel.flush()

    def _each(self, values: Iterable[Any], channel: Channel) -> Iterator[Any]:
        """The objects of a stream; it can be interrupted while the user's code makes the next one, or it waits
        for a submitter that is behind."""
        iterator = iter(values)
        interruption = self.interruption
        while True:
            try:
                interruption.allowed = True
                while channel.connection.congested:
                    time.sleep(CONGESTED_PAUSE_S)
                value = next(iterator)
            except StopIteration:
                return
            finally:
                interruption.allowed = False
            yield value
            del value

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
                self._add_code(*message[1:])
            elif op == "cancel":
                self._cancel(channel, message[1], message[2])
            elif op == "giveback":
                self.inbox.give_back(channel)

    def _add_code(self, key: bytes, code: bytes, name: str) -> None:
        with self.inbox.lock:
            self._code.add(key, code, name)
            gone = self._code.drop(lambda: (self._function, *(task[1] for _, task in self.inbox.queue)))
        for old in gone:
            self._durations.pop(old, None)

    def _take(self, channel: Channel, tasks: list[tuple[Any, ...]]) -> None:
        if self.actor is not None and self.actor.take(channel, tasks):
            return
        with self.inbox.lock:
            if self._lending.waits and self.actor is None:
                # Its lease may be younger than the wait.
                channel.send(("blocked",), ("returned", [task[0] for task in tasks]))
                return
            if self.actor is None and not self._code.use(tasks[0][1]):  # all of one lease are of one function
                channel.send(("forgot", tasks[0][1]), ("returned", [task[0] for task in tasks]))
                return
            self.inbox.queue.extend([(channel, task) for task in tasks])
        self.inbox.wake()

    def _on_closed(self, channel: Channel) -> None:
        self.channels.pop(channel.lease, None)
        self.session.cancelled_calls = {at for at in self.session.cancelled_calls if at[0] != channel.client}
        self.inbox.drop(channel)

    # -- cancelling ------------------------------------------------------------------------------------

    def _cancel(self, channel: Channel, number: int, recursive: bool) -> None:
        if recursive:
            self.session.tasks.cancel_children((channel.lease, number))
        if self.actor is not None and self.actor.cancel(channel, number):
            return
        waiting = self.inbox.take_out(channel, number)
        if waiting is not None:
            error = failures.typed(TaskCancelledError.of(self._code.name_of(waiting[1])))
            channel.answer((number, ERROR, error), 0.0)
            channel.flush()
            return
        if self.actor is not None:
            # As in Ray, an actor's code is not interrupted: its state would be left half-changed.
            self.session.cancelled_calls.add((channel.client, number))
            return
        self.interruption.cancel(channel, number)

    def _tick(self) -> None:
        self.interruption.tick()
        self.executor.figures.tick(time.monotonic(), self._at_work)
        if self.interruption.current is not None or self.actor is not None:
            self.printing.tick(time.monotonic())
            self.flush()

    def _at_work(self) -> list[Running]:
        current = self.interruption.current
        beside = [] if self.actor is None else self.actor.concurrent()
        return beside if current is None else [current, *beside]

    # -- actors ----------------------------------------------------------------------------------------

    def _on_host(self, actor: bytes, spec: dict[str, Any]) -> None:
        host = ActorHost(self, actor, spec)
        self.session.hosted_actor = (actor, spec)
        self.session.around = spec.get("group")
        self.actor = host
        with self.inbox.lock:
            self.inbox.queue.appendleft((host.creation_channel, host.creation_message))
        self.inbox.wake()

    # -- the end ---------------------------------------------------------------------------------------

    def _on_exit(self) -> None:
        os._exit(0)

    def _on_part(self) -> None:
        # The job has ended. What runs still is ended with this process, as soon as the node has heard the rest.
        self._hand_over()
        self.session.tell(("parted",))

    def _hand_over(self) -> None:
        self.executor.figures.tell(True)
        self.session.hand_over()

    def _on_retire(self) -> None:
        # Asked while it serves nobody. What it owns or still refers to would be lost with it.
        self.session.objects.settle_drops()
        if len(self.session.objects) or self.session.tasks.children or self.channels or self.inbox.queue:
            self.session.tell(("staying",))
        else:
            self._on_exit_when_idle()

    def _on_exit_when_idle(self) -> None:
        if self.actor is not None and self.actor.exit_when_idle():
            return
        self.inbox.exit_when_idle = True
        self.inbox.wake()

    def _server_is_gone(self) -> None:
        # Nobody could take a result any more; the zygote that would reap us is gone too.
        os._exit(1)

    def leave(self, code: int) -> NoReturn:
        """End this process after sending what is gathered."""
        self._hand_over()
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
