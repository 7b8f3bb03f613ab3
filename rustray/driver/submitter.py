"""Leases of a client: taking them, giving them back, and what becomes of their tasks when a worker dies.

Between a worker and its client there is nobody: see `scheduling_class` for how tasks are pushed.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from rustray.driver import failures, losses
from rustray.driver.answers import Answers
from rustray.driver.functions import Code, Functions
from rustray.driver.known_classes import KnownClasses
from rustray.driver.scheduling_class import Lease, SchedulingClass
from rustray.driver.task import Task
from rustray.driver.tasks import cancelled
from rustray.driver.unused_leases import UnusedLeases
from rustray.errors import (
    InfeasibleError,
)
from rustray.model.ids import node_of
from rustray.wire.frames import Connection, ConnectionClosed, Message
from rustray.wire.page import LeasePage

if TYPE_CHECKING:
    from rustray.driver.session import Session

MAX_FALSE_STARTS = 5
"""Workers that may end, one after the other, before they begin a task."""
SETUP_TRIES = 2
"""Workers that may fail to set up their environment: the first may have begun before its cause was put right. Those
that had begun before there was a task for them tell nothing of now."""


class Submitter:
    """All scheduling classes and leases of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.lock = session.objects.lock
        self.tasks = session.tasks
        self.tell = session.tell
        self.shield = session.reactor.shield
        self._classes: WeakValueDictionary[bytes, SchedulingClass] = WeakValueDictionary()
        self._leases: dict[int, Lease] = {}
        self._take_done = Answers(session).take
        self.unused = UnusedLeases(self._leases, self.lock, session.tell, session.reactor)
        self.waiting: set[SchedulingClass] = set()
        """Those that had tasks and no lease when they were last looked at."""
        self.functions = Functions()
        self.known = KnownClasses(self.functions, session.tell)

    # -- classes ---------------------------------------------------------------------------------------

    def scheduling_class(self, key: bytes, code: Code, spec: dict[str, Any]) -> SchedulingClass:
        """The class named `key`; `spec` tells the node what it needs (see ARCHITECTURE.md).

        It is there as long as somebody has it.
        """
        with self.lock:
            target = self._classes.get(key)
            if target is None:
                target = self._classes[key] = SchedulingClass(self, key, code, spec)
                if self._session.ended is not None:
                    target.over = failures.typed(self._session.ended)
                self.known.add(target)
            return target

    def classes(self) -> list[SchedulingClass]:
        """All classes of this session that somebody may submit to."""
        return list(self._classes.values())

    def some_classes(self, count: int) -> list[SchedulingClass]:
        """Those that have leases or wait for some, and `count` of all in turn. Caller has the lock."""
        busy = (*(lease.target for lease in self._leases.values()), *self.waiting)
        return list(dict.fromkeys((*busy, *self.known.some(count))))

    # -- what the node says ----------------------------------------------------------------------------

    def on_lease(self, key: bytes, lease_id: int, worker: int, socket_fd: int, page_fd: int) -> None:
        """A worker is ours: push."""
        target = self.known.get(key)
        if target is None:  # granted before the node has heard that nothing is wanted any more
            os.close(socket_fd)
            os.close(page_fd)
            self.tell(("return", lease_id))
            return
        connection = Connection(socket.socket(fileno=socket_fd))
        page = LeasePage.received(page_fd)
        lease = Lease(lease_id, target, worker, connection, page, self.tasks.next_number())
        with self.lock:
            self._leases[lease_id] = lease
            target.leases.append(lease)
            target.spread = target.spread or lease.node != node_of(self._session.client)
            target.idle += 1
            self.waiting.discard(target)
            self._session.reactor.add(
                connection,
                lambda messages: self._on_messages(lease, messages),
                lambda: self._on_closed(lease),
            )
            target.pump()

    def on_revoke(self, lease_id: int) -> None:
        """Somebody else's turn: what has not started comes back, what runs is let finish."""
        with self.lock:
            lease = self._leases.get(lease_id)
            if lease is None or lease.revoked:
                return
            lease.revoked = True
            if lease.in_flight:
                lease.connection.send([("giveback",)])
            else:
                self._return(lease)

    def on_suspended(self, lease_id: int, suspended: bool) -> None:
        """The worker was stopped for a while, to let more urgent work pass, or goes on."""
        with self.lock:
            lease = self._leases.get(lease_id)
            if lease is not None:
                lease.suspended = suspended
                if suspended and any(task.cancelled for task in lease.in_flight.values()):
                    # It was asked to end the task, and may have been stopped before it had heard that.
                    lease.target.kill_suspended(lease)

    def on_estimate(self, key: bytes, run_s: float, spread_s: float) -> None:
        """How long the tasks of a class took when they ran before: the first push need not feel its way."""
        target = self._classes.get(key)
        if target is not None and target.estimate is None:
            target.estimate = max(1e-6, run_s + 2 * spread_s)

    def on_infeasible(self, key: bytes, text: str) -> None:
        """No node could ever run this class: its tasks fail now. A node that can may come, so later ones ask again."""
        target = self.known.get(key)
        if target is None:
            return
        error = failures.typed(InfeasibleError(f"Task {target.name}() can never be scheduled: {text}"))
        with self.lock:
            target.asked = 0
            self.tell(("demand", key, 0))
            self.waiting.discard(target)
            for task in target.take_queue():
                self.tasks.fail(task, error)

    def on_lease_lost(self, lease_id: int, kind: str, text: str) -> None:
        """The worker is dead, and this is how it died."""
        with self.lock:
            lease = self._leases.get(lease_id)
            if lease is None:
                return
            lease.loss = (kind, text)
            # What it wrote before it died still counts. The end of the stream may never come: a process that
            # a task has started may have the socket too.
            with contextlib.suppress(ConnectionClosed):
                while messages := lease.connection.receive():
                    self._on_messages(lease, messages)
            self._session.reactor.remove(lease.connection)
            if lease_id in self._leases:
                self._lose(lease)

    # -- what a worker says ----------------------------------------------------------------------------

    def _on_messages(self, lease: Lease, messages: list[Message]) -> None:
        take_done = self._take_done
        with self.lock:
            for message in messages:
                op = message[0]
                if op == "done":
                    take_done(lease, message[1], message[2])
                elif op == "yield":
                    task = lease.in_flight.get(message[1])
                    if task is not None:
                        self.tasks.take_yield(task, *message[2:])
                elif op == "log":
                    self._session.output.take(lease.in_flight.get(message[3]), *message[1:])
                elif op == "returned":
                    self._on_returned(lease, message[1])
                elif op == "blocked":
                    lease.blocked = True
                elif op == "unblocked":
                    lease.blocked = False
                elif op == "forgot":
                    self.functions.at(lease.worker).discard(message[1])
            target = lease.target
            if not lease.in_flight and lease.revoked:
                self._return(lease)
            if target.queue:
                target.pump()
                target.ask()
            elif self.waiting and not lease.in_flight and (offer := target.spare()):
                self.tell(*offer)

    def _on_returned(self, lease: Lease, numbers: list[int]) -> None:
        back = [lease.in_flight.pop(number) for number in numbers if number in lease.in_flight]
        if back and not lease.in_flight:
            lease.stuck = False
            lease.target.idle += 1
            lease.idle_since = time.monotonic()
        self._requeue(lease.target, back)

    def _requeue(self, target: SchedulingClass, tasks: list[Task]) -> None:
        for task in reversed(tasks):
            task.where = None
            if task.cancelled:
                self.tasks.fail(task, cancelled(task))
            else:
                target.queue.appendleft(task)

    # -- the end of a lease ----------------------------------------------------------------------------

    def _forget(self, lease: Lease) -> None:
        del self._leases[lease.id]
        lease.target.leases.remove(lease)
        if not lease.in_flight:
            lease.target.idle -= 1
        lease.target.unused_since = time.monotonic()
        lease.page.close()

    def _return(self, lease: Lease) -> None:
        if not lease.closed and lease.id in self._leases:
            lease.closed = True
            self._session.reactor.remove(lease.connection)
            self._forget(lease)
            self.tell(("return", lease.id))

    def _on_closed(self, lease: Lease) -> None:
        with self.lock:
            lease.closed = True  # the node will tell how the worker ended

    def _lose(self, lease: Lease) -> None:
        """Its worker is dead, and all that it wrote has been read."""
        assert lease.loss is not None
        kind, text = lease.loss
        target, begun = lease.target, lease.page.started
        loss = losses.of_lease(lease.in_flight, begun, kind, text)
        self._forget(lease)
        self.functions.forget_worker(lease.worker)
        target.figures.retried += any(task.number == begun for task in loss.again)
        self.tasks.retract(lease.in_flight.values())
        for task, error in loss.failed:
            self.tasks.fail(task, error)
        self._requeue(target, loss.again)
        if kind == losses.SETUP:
            false_start = any(number < lease.before for number in lease.in_flight)
        else:
            false_start = bool(lease.in_flight) and not begun and kind in losses.BY_ITSELF
        if false_start:
            target.false_starts += 1
            if target.false_starts >= (SETUP_TRIES if kind == losses.SETUP else MAX_FALSE_STARTS):
                self._give_up(target, kind, text)
        target.pump()
        target.ask()

    def _give_up(self, target: SchedulingClass, kind: str, text: str) -> None:
        """Worker after worker ends before it has begun a task: the cause is not in the tasks."""
        target.false_starts = 0
        for task in target.take_queue():
            self.tasks.fail(task, losses.crash(task, kind, text))

    # -- housekeeping ----------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Give leases back that nobody has used for a while, and have classes forgotten; tell what was measured."""
        with self.lock:
            self.known.tick(now)
            if not self._leases:
                return
            news: list[tuple[Any, ...]] = []
            for lease in list(self._leases.values()):
                target = lease.target
                if target.measured.count and (told := target.measured.take(now)) is not None:
                    news.append((target.key, *told))
                if lease.in_flight:
                    self._look_at(lease, now)
                elif self.unused.is_due(lease, now):
                    self._return(lease)
            if news:
                self.tell(("predicted", news))

    def _look_at(self, lease: Lease, now: float) -> None:
        """Ask for what waits behind a task that takes longer than was predicted: others may run it meanwhile.

        Nothing has been answered since the last tick, which is many times the work that a pipe should hold.
        """
        first = next(iter(lease.in_flight))
        if first != lease.first:
            lease.first, lease.since = first, now
        elif len(lease.in_flight) > 1 and not (lease.stuck or lease.revoked or lease.suspended):
            lease.stuck = True
            lease.connection.send([("giveback",)])

    def tell_measured(self) -> None:
        """The session is about to end: what was measured and not told would be lost."""
        with self.lock:
            news = [
                (target.key, *told)
                for target in self.classes()
                if (told := target.measured.take_all()) is not None
            ]
            if news:
                self.tell(("predicted", news))

    def fail_all(self, error: bytes) -> None:
        """The session has ended."""
        with self.lock:
            for lease in list(self._leases.values()):
                lease.closed = True
                self._session.reactor.remove(lease.connection)
                for task in list(lease.in_flight.values()):
                    self.tasks.fail(task, error)
            self._leases.clear()
            for target in self.classes():
                target.leases.clear()
                target.over = error
                for task in target.take_queue():
                    self.tasks.fail(task, error)
