"""Leases of a client: asking for them, pushing tasks straight to the workers behind them, taking answers.

A lone task leaves at once, from the thread that submitted it. Under backlog tasks go in batches: the depth of
a lease's pipe is what fits in about 5 ms of predicted run time, so short tasks cost one system call for
hundreds, and long ones are bound late. Between a worker and its client there is nobody.
"""

from __future__ import annotations

import mmap
import os
import socket
import struct
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from rustray.driver import failures
from rustray.driver.entry import VALUE
from rustray.driver.task import Task
from rustray.driver.tasks import cancelled
from rustray.errors import InfeasibleError, OutOfMemoryError, WorkerCrashedError
from rustray.wire.frames import Connection, Message

if TYPE_CHECKING:
    from rustray.driver.session import Session

PIPE_S = 0.005
"""Seconds of predicted work that a worker may have ahead."""
MAX_DEPTH = 1024
BATCH = 64
"""Queued tasks that make it worth waking a busy worker's pipe from the submitting thread."""
MAX_FRAME_BYTES = 1 << 18
IDLE_S = 0.5
"""Seconds after which an unused lease goes back."""
MAX_DEMAND = 4096
_STARTED = struct.Struct("<Q")


class Lease:
    """The right to run tasks of one class on one worker.

    `page` is shared with the worker, which writes there the number of the task it starts: when it dies,
    its owner knows exactly which of the sent tasks to charge.
    """

    __slots__ = (
        "blocked",
        "closed",
        "connection",
        "id",
        "idle_since",
        "in_flight",
        "loss",
        "page",
        "revoked",
        "target",
        "worker",
    )

    def __init__(
        self, lease: int, target: SchedulingClass, worker: int, connection: Connection, page: mmap.mmap
    ) -> None:
        self.id = lease
        self.target = target
        self.worker = worker
        self.connection = connection
        self.page = page
        self.in_flight: dict[int, Task] = {}
        self.idle_since = time.monotonic()
        self.revoked = False
        self.blocked = False
        self.closed = False
        self.loss: tuple[str, str] | None = None


class SchedulingClass:
    """Tasks that need the same: their queue and their leases."""

    def __init__(self, submitter: Submitter, key: bytes, name: str) -> None:
        self._submitter = submitter
        self._lock = submitter.lock
        self.key = key
        self.name = name
        self.queue: deque[Task] = deque()
        self.leases: list[Lease] = []
        self.idle = 0
        self.asked = 0
        self.estimate: float | None = None
        self.infeasible: bytes | None = None

    def enqueue(self, task: Task) -> None:
        """Queue `task`; it leaves at once when a worker is idle."""
        queue = self.queue
        queue.append(task)
        length = len(queue)
        if self.idle or length % BATCH == 0 or length + len(self.leases) > self.asked < MAX_DEMAND:
            with self._lock:
                if self.infeasible is not None:
                    queue.remove(task)
                    self._submitter.tasks.fail(task, self.infeasible)
                    return
                if self.leases:
                    self.pump()
                self.ask()

    def ask(self) -> None:
        """Keep the node told of how many leases would be of use. Caller has the lock."""
        outstanding = len(self.queue) + len(self.leases) - self.idle
        if outstanding > self.asked and self.asked < MAX_DEMAND:
            self.asked = min(1 << (outstanding - 1).bit_length(), MAX_DEMAND)
            self._submitter.tell(("demand", self.key, self.asked))

    def pump(self) -> None:
        """Push what the leases can take. Caller has the lock."""
        queue = self.queue
        while queue:
            best: Lease | None = None
            for lease in self.leases:
                if lease.blocked or lease.revoked or lease.closed:
                    continue
                if best is None or len(lease.in_flight) < len(best.in_flight):
                    best = lease
            if best is None:
                return
            room = self._depth() - len(best.in_flight)
            if room <= 0:
                return
            share = -(-len(queue) // len(self.leases))
            self._push(best, min(room, share))

    def _depth(self) -> int:
        if self.estimate is None:
            return 1
        return max(1, min(MAX_DEPTH, int(PIPE_S / self.estimate)))

    def _push(self, lease: Lease, count: int) -> None:
        queue, in_flight = self.queue, lease.in_flight
        if not in_flight:
            self.idle -= 1
        batch: list[Any] = []
        messages: list[Message] = []
        known = self._submitter.functions_at(lease.worker)
        size = 0
        while queue and count > 0 and size < MAX_FRAME_BYTES:
            task = queue.popleft()
            if task.cancelled:
                continue
            task.where = lease
            in_flight[task.number] = task
            if task.function not in known:
                known.add(task.function)
                messages.append(("fn", task.function, *self._submitter.function(task.function)))
            batch.append(task.message())
            size += task.weight
            count -= 1
        if not batch:
            if not in_flight:
                self.idle += 1
            return
        messages.append(("run", batch))
        lease.connection.send(messages)

    def interrupt(self, task: Task, force: bool, recursive: bool) -> None:
        """Cancel a task that has been sent. Caller has the lock."""
        lease: Lease = task.where
        if force:
            self._submitter.tell(("kill_worker", lease.worker, "cancelled with force=True"))
        else:
            lease.connection.send([("cancel", task.number, recursive)])


class Submitter:
    """All scheduling classes and leases of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.lock = session.objects.lock
        self.tasks = session.tasks
        self.tell = session.tell
        self._classes: dict[bytes, SchedulingClass] = {}
        self._leases: dict[int, Lease] = {}
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

    # -- what the node says ----------------------------------------------------------------------------

    def on_lease(self, key: bytes, lease_id: int, worker: int, socket_fd: int, page_fd: int) -> None:
        """A worker is ours: push."""
        target = self._classes[key]
        connection = Connection(socket.socket(fileno=socket_fd))
        page = mmap.mmap(page_fd, mmap.PAGESIZE, prot=mmap.PROT_READ)
        os.close(page_fd)
        lease = Lease(lease_id, target, worker, connection, page)
        with self.lock:
            self._leases[lease_id] = lease
            target.leases.append(lease)
            target.idle += 1
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

    def on_infeasible(self, key: bytes, text: str) -> None:
        """No node could ever run this class: its tasks fail now."""
        target = self._classes[key]
        error = failures.typed(InfeasibleError(f"Task {target.name}() can never be scheduled: {text}"))
        with self.lock:
            target.infeasible = error
            queued, target.queue = list(target.queue), deque()
            for task in queued:
                self.tasks.fail(task, error)

    def on_feasible(self, key: bytes) -> None:
        """A node has joined that can run this class."""
        self._classes[key].infeasible = None

    def on_lease_lost(self, lease_id: int, kind: str, text: str) -> None:
        """The worker is dead, and this is how it died."""
        with self.lock:
            lease = self._leases.get(lease_id)
            if lease is not None:
                lease.loss = (kind, text)
                if lease.closed:
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
                    self._session.on_log(lease.in_flight.get(message[3]), *message[1:])
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

    def _on_done(self, lease: Lease, results: list[Any], elapsed: float) -> None:
        in_flight = lease.in_flight
        tasks = self.tasks
        for result in results:
            task = in_flight.pop(result[0])
            if result[1] == VALUE and len(result) == 3:
                tasks.take_value(task, result[2])
                continue
            if len(result) > 4 and result[4]:
                # Rule 3: the worker still refers to these; our hold for it goes before our release.
                self.tell(("hold_for", lease.worker, result[4]))
            task.where = None
            tasks.take_result(task, result)
        target = lease.target
        each = elapsed / len(results)
        estimate = target.estimate
        # Slower news counts at once: a pipe that is too deep hurts more than one that is too shallow.
        if estimate is None or each > estimate * 4:
            target.estimate = max(each, 1e-6)
        else:
            target.estimate = max(1e-6, estimate + 0.25 * (each - estimate))
        if not in_flight:
            target.idle += 1
            lease.idle_since = time.monotonic()

    def _on_returned(self, lease: Lease, numbers: list[int]) -> None:
        back = [lease.in_flight.pop(number) for number in numbers if number in lease.in_flight]
        if back and not lease.in_flight:
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
            if lease.id in self._leases:
                lease.closed = True
                if lease.loss is not None:
                    self._lose(lease)

    def _lose(self, lease: Lease) -> None:
        """Charge the task that ran; the others of the pipe have not started and just go elsewhere."""
        assert lease.loss is not None
        kind, text = lease.loss
        (started,) = _STARTED.unpack_from(lease.page, 0)
        self._forget(lease)
        self._functions_at.pop(lease.worker, None)
        again: list[Task] = []
        for number, task in lease.in_flight.items():
            if number == started:
                if task.cancelled:
                    self.tasks.fail(task, cancelled(task))
                    continue
                if task.retries == 0:
                    # It may have stored its result before it died.
                    self.tell(("retract", [entry.id for entry in task.entries]))
                    self.tasks.fail(task, _crash(task, kind, text))
                    continue
                if task.retries > 0:
                    task.retries -= 1
            again.append(task)
        self._requeue(lease.target, again)
        lease.target.pump()

    # -- housekeeping ----------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Give back leases that nobody uses, and take back demand."""
        if not self._leases:
            return
        with self.lock:
            for lease in list(self._leases.values()):
                target = lease.target
                if lease.in_flight or target.queue or lease.closed:
                    continue
                if now - lease.idle_since > IDLE_S:
                    self._return(lease)
                    if not target.leases and target.asked:
                        target.asked = 0
                        self.tell(("demand", target.key, 0))

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
                target.infeasible = error
                for task in queued:
                    self.tasks.fail(task, error)


def _crash(task: Task, kind: str, text: str) -> bytes:
    what = f"The worker that ran task {task.target.name}() "
    error: WorkerCrashedError | OutOfMemoryError
    if kind == "oom":
        error = OutOfMemoryError(what + text)
    else:
        error = WorkerCrashedError(what + text)
    return failures.typed(error)
