"""Actors as their callers see them: one channel a caller, calls in order, no one in between."""

from __future__ import annotations

import mmap
import os
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Any

from rustray.driver import failures
from rustray.driver.entry import VALUE, Entry
from rustray.driver.submitter import BATCH, MAX_FRAME_BYTES
from rustray.driver.task import Task
from rustray.driver.tasks import KeepsOrder, cancelled
from rustray.errors import ActorDiedError, ActorUnavailableError, RustRayError
from rustray.wire.frames import Connection, Message

if TYPE_CHECKING:
    from rustray.driver.session import Session

MAX_IN_FLIGHT = 4096
_STARTED = struct.Struct("<Q")


class ActorChannel(KeepsOrder):
    """Calls of this process to one actor.

    A call takes its place in `queue` when it is made, waits there for its arguments and for the actor, and
    stays in `in_flight` until it is answered. When the actor's process dies, the calls that had not begun
    wait for the restarted actor; those that had are repeated if `max_task_retries` allows, else they fail.
    """

    def __init__(self, actors: Actors, actor: bytes, name: str, concurrent: bool) -> None:
        self._actors = actors
        self._lock = actors.lock
        self.id = actor
        self.name = name
        self.concurrent = concurrent
        self.queue: deque[Task] = deque()
        self.in_flight: dict[int, Task] = {}
        self._interrupted: list[Task] = []
        self._connection: Connection | None = None
        self._page: mmap.mmap | None = None
        self.worker = 0
        self._asked = False
        self.dead: bytes | None = None
        self.being_created = False

    def created(self) -> None:
        """The node has been told of the actor: from now on it can be asked for a channel."""
        with self._lock:
            self.being_created = False
            if self.queue:
                self.pump()

    def enqueue(self, task: Task) -> None:
        """Queue a call; it leaves at once when the actor would otherwise have nothing to do."""
        queue = self.queue
        queue.append(task)
        if not self.in_flight or self.concurrent or len(queue) >= BATCH or task.cancelled:
            self.pump()

    def pump(self) -> None:
        """Send what may be sent."""
        with self._lock:
            connection, queue, in_flight = self._connection, self.queue, self.in_flight
            if self.dead is not None:
                while queue:
                    task = queue.popleft()
                    if not task.cancelled:
                        self._actors.tasks.fail(task, self.dead)
                return
            if connection is None:
                self.connect()
                return
            batch: list[Any] = []
            size = 0
            while queue and len(in_flight) < MAX_IN_FLIGHT:
                task = queue[0]
                if task.cancelled:
                    queue.popleft()
                    continue
                if task.missing:
                    break
                queue.popleft()
                task.where = self
                in_flight[task.number] = task
                batch.append(task.message())
                size += task.weight
                if size >= MAX_FRAME_BYTES:
                    connection.send([("run", batch)])
                    batch, size = [], 0
            if batch:
                connection.send([("run", batch)])

    def connect(self) -> None:
        """Ask the node for a channel. Caller has the lock."""
        if not self._asked and self.dead is None and not self.being_created:
            self._asked = True
            self._actors.tell(("connect_actor", self.id))

    def interrupt(self, task: Task, force: bool, recursive: bool) -> None:
        """Cancel a call that has been sent. Caller has the lock."""
        if self._connection is not None:
            self._connection.send([("cancel", task.number, recursive)])

    # -- what happens ----------------------------------------------------------------------------------

    def on_channel(self, worker: int, socket_fd: int, page_fd: int) -> None:
        """The actor is up."""
        connection = Connection(socket.socket(fileno=socket_fd))
        page = mmap.mmap(page_fd, mmap.PAGESIZE, prot=mmap.PROT_READ)
        os.close(page_fd)
        with self._lock:
            self._asked = False
            self._fail_interrupted()
            self._connection, self._page, self.worker = connection, page, worker
            self._actors.reactor.add(connection, self._on_messages, self._on_closed)
            self.pump()

    def on_restarting(self, text: str) -> None:
        """The actor's process died and another is being started; its channel comes when it is up."""
        with self._lock:
            self._fail_interrupted(text)

    def on_dead(self, cause: bytes) -> None:
        """The actor is gone for good."""
        with self._lock:
            self._asked = False
            self.dead = cause
            interrupted, self._interrupted = self._interrupted, []
            for task in interrupted:
                self._actors.tasks.fail(task, cause)
            self.pump()

    def _fail_interrupted(self, text: str = "") -> None:
        interrupted, self._interrupted = self._interrupted, []
        for task in interrupted:
            error = ActorUnavailableError(
                f"Actor {self.name} died while it ran {task.function}(){': ' + text if text else ''}. It is being "
                "restarted, its state is new. The call was not repeated: give the actor max_task_retries for that."
            )
            self._actors.tasks.fail(task, failures.typed(error))

    def _on_messages(self, messages: list[Message]) -> None:
        tasks, in_flight = self._actors.tasks, self.in_flight
        with self._lock:
            for message in messages:
                op = message[0]
                if op == "done":
                    for result in message[1]:
                        task = in_flight.pop(result[0])
                        if result[1] == VALUE and len(result) == 3:
                            tasks.take_value(task, result[2])
                            continue
                        if len(result) > 4 and result[4]:
                            self._actors.tell(("hold_for", self.worker, result[4]))
                        task.where = None
                        tasks.take_result(task, result)
                elif op == "yield":
                    task = in_flight.get(message[1])
                    if task is not None:
                        tasks.take_yield(task, *message[2:])
                elif op == "log":
                    self._actors.session.on_log(in_flight.get(message[3]), *message[1:], self.name)
            if self.queue:
                self.pump()

    def _on_closed(self) -> None:
        with self._lock:
            if self._connection is None:
                return
            self._connection = None
            assert self._page is not None
            (started,) = _STARTED.unpack_from(self._page, 0)
            self._page.close()
            again: list[Task] = []
            for number, task in self.in_flight.items():
                begun = self.concurrent or number <= started
                task.where = None
                if task.cancelled:
                    self._actors.tasks.fail(task, cancelled(task))
                elif not begun or task.retries != 0:
                    if begun and task.retries > 0:
                        task.retries -= 1
                    again.append(task)
                else:
                    self._interrupted.append(task)
            self.in_flight.clear()
            self.queue.extendleft(reversed(again))
            self.connect()

    def close(self, error: bytes) -> None:
        """The session has ended."""
        with self._lock:
            if self._connection is not None:
                connection, self._connection = self._connection, None
                self._actors.reactor.remove(connection)
            self.dead = error
            for task in [*self.in_flight.values(), *self._interrupted]:
                self._actors.tasks.fail(task, error)
            self.in_flight.clear()
            self._interrupted.clear()
            self.pump()


class Actors:
    """The channels of one session, by actor id."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.lock = session.objects.lock
        self.tasks = session.tasks
        self.tell = session.tell
        self.reactor = session.reactor
        self._channels: dict[bytes, ActorChannel] = {}
        self._owned: set[bytes] = set()

    def channel(self, actor: bytes, name: str, concurrent: bool) -> ActorChannel:
        """The channel to `actor`, one for all its handles in this process."""
        with self.lock:
            channel = self._channels.get(actor)
            if channel is None:
                channel = self._channels[actor] = ActorChannel(self, actor, name, concurrent)
            return channel

    def new_entry(self, actor: bytes, arguments: tuple[Entry, ...]) -> Entry:
        """The entry that counts the handles of an actor made here: like an object's, known to the node at once.

        It contains the constructor's arguments: a restart needs them again.
        """
        entry = Entry(actor, owned=True)
        entry.state = VALUE
        with self.lock:
            self._owned.add(actor)
            self.session.objects.publish_new(entry, arguments)
        return entry

    def on_freed(self, oid: bytes) -> bool:
        """Nobody has a handle any more: a non-detached actor ends after the calls it has. True if it is one."""
        if oid not in self._owned:
            return False
        self._owned.discard(oid)
        self.tell(("actor_unreferenced", oid))
        return True

    def on_channel(self, actor: bytes, *fields: Any) -> None:
        self._channels[actor].on_channel(*fields)

    def on_restarting(self, actor: bytes, text: str) -> None:
        self._channels[actor].on_restarting(text)

    def on_dead(self, actor: bytes, kind: str, cause: Any) -> None:
        """The node's last word: `cause` is a text, or the packed error that the constructor raised."""
        channel = self._channels.get(actor)
        if channel is None:
            return
        if kind == "error":
            channel.on_dead(cause)
            return
        error: RustRayError = ActorDiedError(f"Actor {channel.name} is dead: {cause}")
        channel.on_dead(failures.typed(error))

    def fail_all(self, error: bytes) -> None:
        """The session has ended."""
        for channel in list(self._channels.values()):
            channel.close(error)
