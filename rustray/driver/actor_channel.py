"""The channel of a caller to one actor: calls in order, no one in between."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from rustray.driver import failures, losses
from rustray.driver.entry import VALUE, Entry
from rustray.driver.figures import Figures
from rustray.driver.methods import Method
from rustray.driver.scheduling_class import BATCH, MAX_FRAME_BYTES
from rustray.driver.target import KeepsOrder
from rustray.driver.task import Task
from rustray.driver.tasks import cancelled
from rustray.errors import ActorUnavailableError
from rustray.model.ids import node_of
from rustray.model.own_work import is_own_code
from rustray.wire.frames import Connection, ConnectionClosed, Message
from rustray.wire.page import LeasePage

if TYPE_CHECKING:
    from rustray.driver.actors import Actors

MAX_IN_FLIGHT = 4096


class ActorChannel(KeepsOrder):
    """Calls of this process to one actor.

    A call takes its place in `queue` when it is made, waits there for its arguments and for the actor, and
    stays in `in_flight` until it is answered. When the actor's process dies, the calls that had not begun
    wait for the restarted actor; those that had are repeated if `max_task_retries` allows, else they fail.

    Rule 1. While a call is unanswered the channel counts as a handle (`_pinned`): an actor whose last handle
            is dropped ends after the calls it has.
    Rule 2. What has begun on a dead actor fails only when it is known whether the actor restarts
            (ActorUnavailableError) or not (ActorDiedError); until then it is in `_interrupted`.
    """

    def __init__(self, actors: Actors, entry: Entry, handle: dict[str, Any]) -> None:
        self._actors = actors
        self._lock = actors.lock
        self._entry = entry
        self.id = entry.id
        self.name: str = handle["name"]
        self.is_own = is_own_code(self.name)
        self.concurrent: bool = handle["concurrent"]
        self.methods = {name: Method(*about) for name, about in handle["methods"].items()}
        self.queue: deque[Task] = deque()
        self.in_flight: dict[int, Task] = {}
        self._interrupted: list[Task] = []
        self._connection: Connection | None = None
        self._page: LeasePage | None = None
        self.worker = 0
        """The actor's process, as a client of its node; after its end the one that was."""
        self._asked = False
        self._pinned = False
        self._killed = False
        self._left = False
        """No handle is left in this process."""
        self.dead: bytes | None = None
        self.figures: dict[str, Figures] = {}
        """By method."""

    @property
    def connected(self) -> bool:
        """Whether there is a way to the actor's process."""
        return self._connection is not None

    @property
    def node(self) -> int:
        """The number of the actor's node, 0 before it is known."""
        return node_of(self.worker)

    @property
    def unanswered(self) -> int:
        """How many calls have no answer yet."""
        return len(self.queue) + len(self.in_flight) + len(self._interrupted)

    def enqueue(self, task: Task) -> None:
        """Queue a call; it leaves at once when the actor would otherwise have nothing to do."""
        queue = self.queue
        queue.append(task)
        if not self.in_flight or self.concurrent or len(queue) >= BATCH or task.cancelled:
            self.pump()

    def pump(self) -> None:
        """Send what may be sent."""
        with self._actors.reactor.shield, self._lock:
            if self.dead is not None:
                self._fail_queue(self.dead)
            elif self._connection is None:
                self._drop_cancelled()
                if self.queue:
                    self._connect()
            elif not self._killed:
                self._send_queue(self._connection)
            if self._pinned is not bool(self.in_flight or self.queue or self._interrupted):
                self._pin_or_unpin()

    def _send_queue(self, connection: Connection) -> None:
        queue, in_flight = self.queue, self.in_flight
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

    def _fail_queue(self, error: bytes) -> None:
        while self.queue:
            task = self.queue.popleft()
            if not task.cancelled:
                self._actors.tasks.fail(task, error)

    def _drop_cancelled(self) -> None:
        while self.queue and self.queue[0].cancelled:
            self.queue.popleft()

    def _pin_or_unpin(self) -> None:
        self._pinned = not self._pinned
        if self._pinned:
            self._entry.count += 1
        else:
            self._actors.session.objects.unpin((self._entry,))

    def _connect(self) -> None:
        """Ask the node for a channel, to another process than the one we had. Caller has the lock."""
        if not self._asked:
            self._asked = True
            self._actors.tell(("connect_actor", self.id, self.worker))

    def kill(self, no_restart: bool) -> None:
        """Have the actor killed. Calls made from now on are for its successor, if it has one."""
        with self._lock:
            self._killed = True
            self._actors.tell(("kill_actor", self.id, no_restart))

    def interrupt(self, task: Task, force: bool, recursive: bool) -> None:
        """Cancel a call that has been sent. Caller has the lock."""
        if self._connection is not None:
            self._connection.send([("cancel", task.number, recursive)])

    def method_name(self, function: str) -> str:
        """What people call a method."""
        return f"{self.name}.{function.partition('@')[0]}"

    def figures_of(self, task: Task) -> Figures:
        """Where it is counted what becomes of a call."""
        figures = self.figures.get(task.function)
        if figures is None:
            figures = self.figures[task.function] = Figures()
        return figures

    def find(self, number: int) -> Task | None:
        """The call with this number, if it has no answer yet. Caller has the lock."""
        waiting = (*self._interrupted, *self.queue)
        return self.in_flight.get(number) or next((task for task in waiting if task.number == number), None)

    def describe(self, task: Task) -> dict[str, Any]:
        """Where a call of ours is: see `explaining`. Caller has the lock."""
        about: dict[str, Any] = {
            "actor": self.id,
            "function": self.method_name(task.function),
        }
        if task in self._interrupted:
            return about | {"state": "interrupted"}
        if task.where is None or self._page is None:
            position = next((at for at, other in enumerate(tuple(self.queue), 1) if other is task), 0)
            first = self.queue[0] if self.queue else task
            about |= {"state": "actor", "position": position, "queued": len(self.queue)}
            if self._connection is not None and first.missing:
                about["blocked_by"] = [entry.id.hex() for _at, entry in first.deps if not entry.ready]
            return about | {"connected": self._connection is not None}
        started, pid = self._page.started, self._page.pid
        numbers = list(self.in_flight)
        behind = numbers.index(task.number) - (numbers.index(started) if started in self.in_flight else 0)
        begun = self.concurrent or started in self.in_flight and behind <= 0
        about |= {"worker": self.worker, "pid": pid, "behind": 0 if begun else behind}
        return about | {"state": "running" if begun else "sent"}

    # -- what happens ----------------------------------------------------------------------------------

    def on_channel(self, worker: int, connection: Connection, page: LeasePage) -> None:
        """The actor is up."""
        with self._lock:
            if self._connection is not None:
                if self.worker == worker:
                    # We have one: the node had asked twice.
                    connection.close()
                    page.close()
                    return
                # The actor is up again before we have read how the connection to its old process ends.
                self._end(self._connection)
                if self._left:
                    connection.close()
                    page.close()
                    return
            self._asked = self._killed = False
            self._fail_interrupted("")
            self._connection, self._page, self.worker = connection, page, worker
            self._actors.reactor.add(connection, self._on_messages, lambda: self._on_closed(connection))
            self.pump()

    def on_restarting(self, text: str) -> None:
        """The actor's process died and another is being started; its channel comes when it is up."""
        with self._lock:
            self._fail_interrupted(text)
            self.pump()

    def on_dead(self, error: bytes) -> None:
        """The actor is gone for good. What its process has answered before is still read."""
        with self._lock:
            self._asked = False
            self.dead = error
            interrupted, self._interrupted = self._interrupted, []
            for task in interrupted:
                self._actors.tasks.fail(task, error)
            self.pump()

    def _fail_interrupted(self, text: str) -> None:
        interrupted, self._interrupted = self._interrupted, []
        for task in interrupted:
            error = ActorUnavailableError(
                f"Actor {self.name} died while it ran {task.function}(){': ' + text if text else ''}. It is being "
                "restarted, its state is new. The call was not repeated: give the actor max_task_retries for that.",
                actor_id=self.id,
            )
            self._actors.tasks.fail(task, failures.typed(error))

    def _on_messages(self, messages: list[Message]) -> None:
        tasks, in_flight = self._actors.tasks, self.in_flight
        with self._lock:
            for message in messages:
                op = message[0]
                if op == "done":
                    self._count_waits(message[1], message[2])
                    for result in message[1]:
                        task = in_flight.pop(result[0], None)
                        if task is None:
                            continue  # it came before, or nobody waits for it
                        if result[1] == VALUE and len(result) == 3 and not self.is_own:
                            tasks.take_value(task, result[2])
                            continue
                        if len(result) > 4 and result[4]:
                            self._actors.session.sharing.hold_for(self.worker, result[4])
                        task.where = None
                        tasks.take_result(task, result, self.worker)
                elif op == "yield":
                    streaming = in_flight.get(message[1])
                    if streaming is not None:
                        tasks.take_yield(streaming, *message[2:])
                elif op == "log":
                    stream, text, number, pid = message[1:]
                    self._actors.session.output.take(
                        in_flight.get(number), stream, text, number, pid, self.name
                    )
            if self.queue or not in_flight:
                self.pump()

    def _count_waits(self, results: list[Any], elapsed: float) -> None:
        first = self.in_flight.get(results[0][0])
        if first is not None and not self.concurrent:  # of concurrent calls it is not known when they began
            self.figures_of(first).answered(first, len(results), elapsed, time.monotonic())

    def _end(self, connection: Connection) -> None:
        """Read what has come from a process that is gone, and take back what it has not answered."""
        try:
            while messages := connection.receive():
                self._on_messages(messages)
        except ConnectionClosed:
            pass  # that was all
        if self._connection is connection:  # else its last answer has ended the last handle
            self._actors.reactor.remove(connection)
            self._take_back()

    def _on_closed(self, connection: Connection) -> None:
        with self._lock:
            if self._connection is not connection:
                return
            self._take_back()
            if self.dead is not None:
                self.on_dead(self.dead)
            elif self._interrupted or self.queue:
                self._connect()
            self.pump()

    def _take_back(self) -> None:
        """The connection has ended: its calls wait for the next process, or for word of what becomes of the actor."""
        self._connection = None
        assert self._page is not None
        begun = self._page.started
        loss = losses.of_actor(self.in_flight, self._page, self.concurrent)
        for task in loss.again:
            if task.number == begun:
                self.figures_of(task).retried += 1
        self._page.close()
        if failing := (*loss.cancelled, *loss.begun):
            self._actors.tasks.retract_soon(failing)
        for task in loss.cancelled:
            self._actors.tasks.fail(task, cancelled(task))
        self._interrupted += loss.begun
        self.in_flight.clear()
        self.queue.extendleft(reversed(loss.again))

    def leave(self) -> None:
        """No handle is left in this process. Caller has the lock."""
        self._left = True
        connection, self._connection = self._connection, None
        if connection is not None:
            assert self._page is not None
            self._actors.reactor.remove(connection)
            self._page.close()

    def close(self, error: bytes) -> None:
        """The session has ended."""
        with self._lock:
            self.leave()
            for task in list(self.in_flight.values()):
                self._actors.tasks.fail(task, error)
            self.in_flight.clear()
            self.on_dead(error)
