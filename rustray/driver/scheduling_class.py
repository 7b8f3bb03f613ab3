"""A scheduling class at its client: the queue of its tasks, and the leases that they are pushed to.

A lone task leaves at once, from the thread that submitted it. Under backlog tasks go in batches: the depth of
a lease's pipe is what fits in about 5 ms of predicted run time, so short tasks cost one system call for
hundreds, and long ones are bound late.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Container
from typing import TYPE_CHECKING, Any

from rustray.driver.figures import Figures
from rustray.driver.functions import Code
from rustray.driver.locality import bind, bring_forward, has_big, missing, near
from rustray.driver.measured import Measured
from rustray.driver.task import Task
from rustray.model.ids import node_of
from rustray.wire.frames import Connection, Message
from rustray.wire.page import LeasePage

if TYPE_CHECKING:
    from rustray.driver.submitter import Submitter

PIPE_S = 0.005
"""Seconds of predicted work that a worker may have ahead."""
MAX_DEPTH = 1024
BATCH = 64
"""Queued tasks that make it worth waking a busy worker's pipe from the submitting thread."""
MAX_FRAME_BYTES = 1 << 18
MAX_DEMAND = 4096


class Lease:
    """The right to run tasks of one class on one worker.

    `page` is shared with the worker, which writes there the number of the task it starts: when it dies,
    its owner knows exactly which of the sent tasks to charge.
    """

    __slots__ = (
        "before",
        "blocked",
        "closed",
        "connection",
        "first",
        "id",
        "idle_since",
        "in_flight",
        "loss",
        "node",
        "page",
        "revoked",
        "since",
        "stuck",
        "suspended",
        "target",
        "worker",
    )

    def __init__(
        self,
        lease: int,
        target: SchedulingClass,
        worker: int,
        connection: Connection,
        page: LeasePage,
        before: int,
    ) -> None:
        self.id = lease
        self.target = target
        self.worker = worker
        self.node = node_of(worker)
        self.connection = connection
        self.page = page
        self.before = before
        """Tasks with a lower number were submitted before it came."""
        self.in_flight: dict[int, Task] = {}
        self.idle_since = time.monotonic()
        self.first = 0
        """The oldest unanswered task at the last tick,"""
        self.since = 0.0
        """and when it was seen first."""
        self.stuck = False
        """Its task takes long: it gets nothing more until it answers."""
        self.revoked = False
        self.blocked = False
        self.suspended = False
        self.closed = False
        self.loss: tuple[str, str] | None = None

    def ran_s(self) -> float:
        """Seconds for which it has been at its present task, at least."""
        present = next(iter(self.in_flight), None)
        return time.monotonic() - self.since if present is not None and present == self.first else 0.0


class SchedulingClass:
    """Tasks that need the same: their queue and their leases."""

    def __init__(self, submitter: Submitter, key: bytes, code: Code, spec: dict[str, Any]) -> None:
        self._submitter = submitter
        self._lock = submitter.lock
        self.key = key
        self.code = code
        self.name = code.name
        self.is_own = False
        self.spec = spec
        self.queue: deque[Task] = deque()
        """Any thread may add to it, also without the lock: who walks over it does so over a copy."""
        self._cancelled = 0
        """Of the tasks in the queue: they are passed over, and taken out when there are many, or nothing else."""
        self.leases: list[Lease] = []
        self.spread = False
        """Whether it has had a lease on another node."""
        self.idle = 0
        self.asked = 0
        self.estimate: float | None = None
        self.measured = Measured()
        self.figures = Figures()
        self.over: bytes | None = None
        self.false_starts = 0
        self.unused_since = time.monotonic()
        """When its last lease ended; while it has some, or tasks that wait for one, it is in use."""

    def enqueue(self, task: Task) -> None:
        """Queue `task`; it leaves at once when a worker is idle."""
        queue = self.queue
        queue.append(task)
        length = len(queue)
        if self.idle or length % BATCH == 0 or length + len(self.leases) > self.asked < MAX_DEMAND:
            with self._submitter.shield, self._lock:
                if self.over is not None:
                    if task in queue:  # else it has failed with the others
                        queue.remove(task)
                        self._submitter.tasks.fail(task, self.over)
                    return
                if self.leases:
                    self.pump()
                self.ask()

    def ask(self) -> None:
        """Keep the node told of how many leases would be of use. Caller has the lock."""
        outstanding = self._outstanding()
        if outstanding > self.asked and self.asked < MAX_DEMAND:
            self.asked = min(1 << (outstanding - 1).bit_length(), MAX_DEMAND)
            self._submitter.known.add(self)
            told: tuple[Any, ...] = ("demand", self.key, self.asked)
            if self.queue and self.queue[0].deps and (places := near(self.queue)) is not None:
                told = (*told, places)
            self._submitter.tell(*self._submitter.unused.offers(), told)
        if self.queue and not self.leases:
            self._submitter.waiting.add(self)

    def unused_for(self, now: float) -> float:
        """Seconds since it was used, 0 while it is. Caller has the lock."""
        return 0.0 if self.queue or self.leases else now - self.unused_since

    def ask_for_nothing(self) -> bool:
        """Withdraw the demand of a class that has no leases; False if it has got a task. Caller has the lock."""
        asked, self.asked = self.asked, 0
        # In this order: who enqueues a task without the lock looks at what is asked for after that.
        if self.queue:
            self.ask()
            return False
        if asked:
            self._submitter.tell(("demand", self.key, 0))
        return True

    @property
    def queued(self) -> int:
        """Tasks that wait here for a worker."""
        return max(0, len(self.queue) - self._cancelled)

    def on_cancelled(self) -> None:
        """A task of the queue was cancelled: it waits for nothing any more. Caller has the lock."""
        self._cancelled += 1
        queue = self.queue
        while queue and queue[0].cancelled:
            queue.popleft()
            self._cancelled -= 1
        if 2 * self._cancelled >= len(queue):
            self._sift(())
        if 2 * self._outstanding() <= self.asked:
            self.ask_for_less()

    def take_out(self, tasks: Container[Task]) -> list[Task]:
        """Those of `tasks` that wait in the queue, and do so no more. Caller has the lock."""
        taken = self._sift(tasks)
        self.ask_for_less()
        return taken

    def _sift(self, tasks: Container[Task]) -> list[Task]:
        queue, taken = self.queue, []
        for _ in range(len(queue)):  # not by a new queue: another thread may be adding to this one
            task = queue.popleft()
            if task in tasks:
                taken.append(task)
            elif not task.cancelled:
                queue.append(task)
        self._cancelled = 0
        return taken

    def take_queue(self) -> list[Task]:
        """All that waits in the queue, which is empty then; what was cancelled there has failed already."""
        queue = self.queue
        taken = [queue.popleft() for _ in range(len(queue))]  # not by a new queue: as above
        self._cancelled = 0
        return [task for task in taken if not task.cancelled]

    def ask_for_less(self) -> None:
        """Tell the node of how many leases would be of use where it has been told of more. Caller has the lock."""
        if not self.queue and not self.leases:
            self._submitter.waiting.discard(self)
        asked, self.asked = self.asked, min(self.asked, self._outstanding())
        if self._outstanding() > self.asked:  # somebody has enqueued one meanwhile
            self.ask()
        elif self.asked < asked:
            self._submitter.tell(("demand", self.key, self.asked))

    def _outstanding(self) -> int:
        return self.queued + len(self.leases) - self.idle

    def spare(self) -> list[Message]:
        """What tells the node that idle leases may go to others. Caller has the lock."""
        needed = len(self.leases) - self.idle
        if self.queue or not self.idle or needed >= self.asked:
            return []
        self.asked = needed
        return [("demand", self.key, needed)]

    def pump(self) -> None:
        """Push what the leases can take; have arguments of what comes next brought to them. Caller has the lock."""
        self._push_all()
        if not self.queue or not self.leases or not has_big(self.queue[0]):
            return
        # Where all is in one place, which is the commonest case, there is nothing to bring.
        if self.spread or missing(self.queue[0], self.leases[0].node):
            leases = Counter(lease.node for lease in self.leases if not (lease.revoked or lease.closed))
            for node, oids in bind(self.queue, leases).items():
                self._submitter.tell(("prefetch", node, oids))

    def _push_all(self) -> None:
        queue = self.queue
        while queue:
            best: Lease | None = None
            for lease in self.leases:
                if lease.blocked or lease.revoked or lease.closed or lease.stuck:
                    continue
                if best is None or len(lease.in_flight) < len(best.in_flight):
                    best = lease
            if best is None:
                return
            room = self._depth() - len(best.in_flight)
            if room <= 0:
                return
            if self.spread and has_big(queue[0]):
                bring_forward(queue, best.node)
                self._push(best, 1)
                continue
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
        known = self._submitter.functions.at(lease.worker)
        wanted_later: list[bytes] = []
        size = 0
        while queue and count > 0 and size < MAX_FRAME_BYTES:
            task = queue.popleft()
            if task.cancelled:
                self._cancelled -= 1
                continue
            task.where = lease
            # The first at a worker that is up asks for itself at once.
            if (in_flight or not known) and task.bound != lease.node and has_big(task):
                wanted_later += missing(task, lease.node)
            in_flight[task.number] = task
            batch.append(task.message())
            size += task.weight
            count -= 1
        if not queue:
            self._cancelled = 0
        if not batch:
            if not in_flight:
                self.idle += 1
            return
        code = self.code
        if code.key not in known:
            known.add(code.key)
            messages.append(("fn", code.key, code.pickle, code.name))
        messages.append(("run", batch))
        lease.connection.send(messages)
        if wanted_later:
            self._submitter.tell(("prefetch", lease.node, wanted_later))

    def figures_of(self, _task: Task) -> Figures:
        """Where it is counted what becomes of a task."""
        return self.figures

    def find(self, number: int) -> Task | None:
        """The task with this number, if it waits or runs here. Caller has the lock."""
        for lease in self.leases:
            if number in lease.in_flight:
                return lease.in_flight[number]
        return next((task for task in tuple(self.queue) if task.number == number), None)

    def describe(self, task: Task) -> dict[str, Any]:
        """Where a task of ours is: see `explaining`. Caller has the lock."""
        lease: Lease | None = task.where
        if lease is None or task.number not in lease.in_flight:
            waiting = (other for other in tuple(self.queue) if not other.cancelled)
            position = next((at for at, other in enumerate(waiting, 1) if other is task), 0)
            waits = {"position": position, "queued": self.queued, "leases": len(self.leases)}
            ran = [lease.ran_s() for lease in self.leases]
            return {"class": self.key, "state": "queued", **waits, "ran_s": min(ran, default=0.0)}
        numbers, started = list(lease.in_flight), lease.page.started
        behind = numbers.index(task.number)
        about = {"class": self.key, "state": "sent", "worker": lease.worker, "pid": lease.page.pid}
        if started in lease.in_flight:
            behind -= numbers.index(started)
            if behind <= 0:
                about["state"] = "running"
                about["since_s"] = time.monotonic() - lease.since if lease.first == task.number else 0.0
        if about["state"] == "sent":
            about["ran_s"] = lease.ran_s()
        return about | {"behind": max(0, behind), "suspended": lease.suspended, "revoked": lease.revoked}

    def interrupt(self, task: Task, force: bool, recursive: bool) -> None:
        """Cancel a task that has been sent. Caller has the lock."""
        lease: Lease = task.where
        if force and lease.page.started == task.number:
            self._submitter.tell(("kill_worker", lease.worker, "cancelled with force=True"))
        elif lease.suspended:
            self.kill_suspended(lease)
        else:
            lease.connection.send([("cancel", task.number, recursive)])

    def kill_suspended(self, lease: Lease) -> None:
        """End a stopped worker, for it does not listen. What it runs is to end; what is behind that goes elsewhere."""
        self._submitter.tell(("kill_worker", lease.worker, "cancelled while it was suspended"))
