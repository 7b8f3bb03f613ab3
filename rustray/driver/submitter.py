"""Leases of a client: taking them, giving them back, and taking the answers that come by them.

Between a worker and its client there is nobody: see `scheduling_class` for how tasks are pushed.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from rustray.driver import failures
from rustray.driver.entry import VALUE
from rustray.driver.reactor import NEVER
from rustray.driver.scheduling_class import Lease, SchedulingClass
from rustray.driver.task import Task
from rustray.driver.tasks import cancelled
from rustray.errors import (
    InfeasibleError,
    OutOfMemoryError,
    RuntimeEnvSetupError,
    RustRayError,
    WorkerCrashedError,
    WorkerExitedError,
)
from rustray.model.ids import node_of
from rustray.wire.frames import Connection, ConnectionClosed, Message
from rustray.wire.page import LeasePage

if TYPE_CHECKING:
    from rustray.driver.session import Session

IDLE_S = 0.5
"""Seconds after which an unused lease goes back."""
SPARE_S = 0.003
"""Seconds after which an unused lease is offered to whoever waits."""
WORKERS_KNOWN = 256
"""Workers of which it is remembered what functions they have."""
MAX_FALSE_STARTS = 5
"""Workers that may end, one after the other, before they begin a task."""
SETUP_TRIES = 2
"""Workers that may fail to set up their environment: the first may have begun before its cause was put right."""
BY_ITSELF = ("exit", "signal")
"""How a worker ended that the node has not killed."""
LOST_ANSWER = "had finished it, but not sent the answer, when it "
CANCELLED = "cancelled"
"""How a worker ended that was killed for `cancel(force=True)`."""
REQUEUE = "requeue"
"""How a worker ended that was killed to make room: its task has done nothing wrong."""
NODE = "node"
"""How a worker ended whose whole node is gone, and with it all word of what it had begun."""


class Submitter:
    """All scheduling classes and leases of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.lock = session.objects.lock
        self.tasks = session.tasks
        self.tell = session.tell
        self.shield = session.reactor.shield
        self._reactor = session.reactor
        self._reactor.on_alarm = self.offer_unused
        self._classes: dict[bytes, SchedulingClass] = {}
        self._leases: dict[int, Lease] = {}
        self.waiting: set[SchedulingClass] = set()
        """Those that had tasks and no lease when they were last looked at."""
        self._functions: dict[bytes, tuple[bytes, str]] = {}
        self._functions_at: dict[int, set[bytes]] = {}

    # -- functions -------------------------------------------------------------------------------------

    def add_function(self, key: bytes, code: bytes, name: str) -> None:
        """Keep the code of a function, to be sent once to each worker that runs it."""
        self._functions[key] = (code, name)

    def function(self, key: bytes) -> tuple[bytes, str]:
        """Code and name of a function."""
        return self._functions[key]

    def functions_at(self, worker: int) -> set[bytes]:
        """The keys that `worker` has been sent by us."""
        known = self._functions_at.get(worker)
        if known is None:
            # Nobody tells of the end of a worker whose lease was given back. One forgotten gets the code once more.
            if len(self._functions_at) == WORKERS_KNOWN:
                del self._functions_at[next(iter(self._functions_at))]
            known = self._functions_at[worker] = set()
        return known

    # -- classes ---------------------------------------------------------------------------------------

    def scheduling_class(self, key: bytes, name: str, spec: dict[str, Any]) -> SchedulingClass:
        """The class named `key`; `spec` tells the node what it needs (see ARCHITECTURE.md)."""
        with self.lock:
            target = self._classes.get(key)
            if target is None:
                target = self._classes[key] = SchedulingClass(self, key, name)
                self.tell(("class", key, spec))
            return target

    def classes(self) -> list[SchedulingClass]:
        """All classes of this session."""
        return list(self._classes.values())

    # -- what the node says ----------------------------------------------------------------------------

    def on_lease(self, key: bytes, lease_id: int, worker: int, socket_fd: int, page_fd: int) -> None:
        """A worker is ours: push."""
        target = self._classes[key]
        connection = Connection(socket.socket(fileno=socket_fd))
        lease = Lease(lease_id, target, worker, connection, LeasePage.received(page_fd))
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

    def spare(self) -> list[Message]:
        """What tells the node of all leases that are idle. Caller has the lock."""
        idle = {lease.target for lease in self._leases.values() if not lease.in_flight}
        return [message for target in idle for message in target.spare()]

    def offer_idle(self) -> None:
        """Nothing will be submitted for a while: tell the node at once which leases others may have."""
        if self._leases:
            with self.lock:
                if offers := self.spare():
                    self.tell(*offers)

    def on_infeasible(self, key: bytes, text: str) -> None:
        """No node could ever run this class: its tasks fail now. A node that can may come, so later ones ask again."""
        target = self._classes[key]
        error = failures.typed(InfeasibleError(f"Task {target.name}() can never be scheduled: {text}"))
        with self.lock:
            target.asked = 0
            self.tell(("demand", key, 0))
            self.waiting.discard(target)
            queued, target.queue = list(target.queue), deque()
            for task in queued:
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
        with self.lock:
            for message in messages:
                op = message[0]
                if op == "done":
                    self._on_done(lease, message[1], message[2])
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
            target = lease.target
            if not lease.in_flight and lease.revoked:
                self._return(lease)
            if target.queue:
                target.pump()
                target.ask()
            elif self.waiting and not lease.in_flight and (offer := target.spare()):
                self.tell(*offer)

    def _on_done(self, lease: Lease, results: list[Any], elapsed: float) -> None:
        target, in_flight, tasks = lease.target, lease.in_flight, self.tasks
        # An answer that came before, or that nobody waits for, counts for nothing.
        answered = [
            (task, result) for result in results if (task := in_flight.pop(result[0], None)) is not None
        ]
        if not answered:
            return
        lease.stuck = False
        count = len(results)
        each = elapsed / count
        measured = target.measured
        measured.count += count
        measured.seconds += elapsed
        measured.squares += each * elapsed
        estimate = target.estimate
        # Slower news counts at once: a pipe that is too deep hurts more than one that is too shallow.
        if estimate is None or each > estimate * 4:
            target.estimate = max(each, 1e-6)
        else:
            target.estimate = max(1e-6, estimate + 0.25 * (each - estimate))
        target.false_starts = 0
        if not in_flight:
            # Known before the results are: those who waited for them may submit to this very lease.
            target.idle += 1
            lease.idle_since = now = time.monotonic()
            if self._reactor.alarm == NEVER:
                self._reactor.alarm = now + SPARE_S
        for task, result in answered:
            if result[1] == VALUE and len(result) == 3:
                tasks.take_value(task, result[2])
                continue
            if len(result) > 4 and result[4]:
                # Rule 3: the worker still refers to these; our hold for it goes before our release.
                self._session.objects.hold_for(lease.worker, result[4])
            task.where = None
            tasks.take_result(task, result, lease.worker)

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
        """Charge the task that ran; those behind it have not started and just go elsewhere.

        Those before it have run too, and their answers died with the worker: they are run again without a charge,
        but fail when they may run only once.
        """
        assert lease.loss is not None
        kind, text = lease.loss
        target, started = lease.target, lease.page.started
        self._forget(lease)
        self._functions_at.pop(lease.worker, None)
        again: list[Task] = []
        if kind == NODE and started not in lease.in_flight:
            started = next(iter(lease.in_flight), 0)  # the page was behind
        has_run = started in lease.in_flight
        for number, task in lease.in_flight.items():
            has_run = has_run and number != started
            # Of a node that is gone nobody knows how far it came.
            if (has_run or kind == NODE and number != started) and task.retries == 0:
                self.tasks.retract(task)
                self.tasks.fail(
                    task, cancelled(task) if task.cancelled else _crash(task, kind, LOST_ANSWER + text)
                )
                continue
            # One that was killed for the sake of another has done nothing wrong.
            if number == started and (task.cancelled or kind not in (CANCELLED, REQUEUE)):
                if task.cancelled or task.retries == 0:
                    self.tasks.retract(task)
                    self.tasks.fail(task, cancelled(task) if task.cancelled else _crash(task, kind, text))
                    continue
                if task.retries > 0:
                    task.retries -= 1
            again.append(task)
        self._requeue(target, again)
        if not started and (kind == "setup" or lease.in_flight and kind in BY_ITSELF):
            target.false_starts += 1
            if target.false_starts >= (SETUP_TRIES if kind == "setup" else MAX_FALSE_STARTS):
                self._give_up(target, kind, text)
        target.pump()
        target.ask()

    def _give_up(self, target: SchedulingClass, kind: str, text: str) -> None:
        """Worker after worker ends before it has begun a task: the cause is not in the tasks."""
        target.false_starts = 0
        queued, target.queue = list(target.queue), deque()
        for task in queued:
            if not task.cancelled:
                self.tasks.fail(task, _crash(task, kind, text))

    # -- housekeeping ----------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Give leases back that nobody has used for a while; tell what was measured."""
        if not self._leases:
            return
        with self.lock:
            news: list[tuple[Any, ...]] = []
            for lease in list(self._leases.values()):
                target = lease.target
                if target.measured.count and (told := target.measured.take(now)) is not None:
                    news.append((target.key, *told))
                if lease.in_flight:
                    self._look_at(lease, now)
                if lease.in_flight or target.queue or lease.closed:
                    continue
                if now - lease.idle_since >= SPARE_S and (offer := target.spare()):
                    self.tell(*offer)  # it was left unused by something else than an answer
                if now - lease.idle_since > IDLE_S:
                    self._return(lease)
            if news:
                self.tell(("predicted", news))

    def offer_unused(self, now: float) -> None:
        """Leases that have not been used for a moment may go to others: what was suspended for them goes on."""
        with self.lock:
            for lease in self._leases.values():
                target = lease.target
                if lease.in_flight or target.queue or lease.closed:
                    continue
                due = lease.idle_since + SPARE_S
                if due > now:
                    self._reactor.alarm = min(self._reactor.alarm, due)
                elif offer := target.spare():
                    self.tell(*offer)

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
                for target in self._classes.values()
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
            for target in self._classes.values():
                queued, target.queue = list(target.queue), deque()
                target.leases.clear()
                target.over = error
                for task in queued:
                    self.tasks.fail(task, error)


def _crash(task: Task, kind: str, text: str) -> bytes:
    what = f"The worker that ran task {task.target.name}() "
    error: RustRayError
    if kind == "oom":
        error = OutOfMemoryError(what + text)
    elif kind == "setup":
        error = RuntimeEnvSetupError(what + text)
    elif kind == "exit":
        error = WorkerExitedError(what + text)
    else:
        error = WorkerCrashedError(what + text)
    return failures.typed(error)
