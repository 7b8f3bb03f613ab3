"""A cluster on a virtual clock: the real scheduler, and clients and nodes that do what it says, a little later.

Every class has one client with a queue of tasks, each so many seconds long. A lease runs them one after another until
it is asked back, or none is left. After every step all invariants are checked, and what the world knows besides: that
no node runs more than it has, that no job exceeds its cap, that suspended workers keep to their memory.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any

from rustray.model.resources import CPU, UNIT, Resources
from rustray.scheduler.actions import Grant, Requeue, Resume, Revoke, Suspend
from rustray.scheduler.core import Scheduler
from rustray.scheduler.events import (
    ClassAdded,
    Demand,
    Event,
    JobAdded,
    LeaseBlocked,
    LeaseResumed,
    LeaseReturned,
    LeaseSuspended,
    LeaseUnblocked,
    NodeAdded,
    NodeMemory,
    Tick,
)

TICK = 0.1


@dataclass
class Client:
    """The one client of a class: tasks not started, as seconds, and what became of the others."""

    number: int
    key: bytes
    job: int
    request: Resources
    queue: list[float] = field(default_factory=list)
    submitted: list[float] = field(default_factory=list)  # when, of those in the queue
    running: int = 0
    done: int = 0
    latencies: list[float] = field(default_factory=list)  # from submission to the end, less the task itself
    asked: int = 0
    pinned: bool = False
    retriable: bool = False
    block: Callable[[], float] | None = None  # seconds that a task waits at its beginning, if it does


@dataclass
class Worker:
    lease: int
    client: Client
    node: str
    revoked: bool = False
    task: float | None = None  # seconds, of the running one
    began: float = 0.0  # submitted
    ends: float = 0.0
    stopped: float | None = None  # what is left of the task
    blocked: bool = False
    stopped_at: float = 0.0
    ready: bool = False
    running_since: float = 0.0


class SchedulerWorld:
    """Parameters: latency: from an order to what comes of it, seconds. checked: whether invariants are checked."""

    def __init__(self, latency: float = 0.001, checked: bool = True, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.scheduler = Scheduler()
        self.latency = latency
        self.checked = checked
        self.now = 0.0
        self.nodes: dict[str, Resources] = {}
        self.clients: dict[bytes, Client] = {}
        self.workers: dict[int, Worker] = {}
        self.caps: dict[int, float] = {}
        self.memory: dict[str, int] = {}
        self.busy = 0.0  # CPU seconds of finished tasks
        self.had: dict[bytes, float] = {}
        self.counts: dict[str, int] = {}
        self.longest_stop = 0.0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._numbered = 0
        self._wake = float("inf")
        self.at(TICK, self._tick)

    # -- the clock

    def at(self, when: float, what: Callable[[], None]) -> None:
        self._numbered += 1
        heappush(self._agenda, (when, self._numbered, what))

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        self.at(self.now + seconds, what)

    def run(self, until: float, stop: Callable[[], bool] | None = None) -> None:
        while self._agenda and self._agenda[0][0] <= until:
            when, _, what = heappop(self._agenda)
            self.now = max(self.now, when)
            what()
            if stop is not None and stop():
                return
        self.now = max(self.now, until) if stop is None else self.now

    def _tick(self) -> None:
        self.step(Tick())
        self.after(TICK, self._tick)

    def _wake_up(self, due: float) -> None:
        if due == self._wake:
            self._wake = float("inf")
            self.step(Tick())

    # -- the scheduler

    def step(self, event: Event) -> None:
        actions = self.scheduler.step(event, self.now)
        if self.checked:
            self.scheduler.sanity_check()
        for action in actions:
            self._obey(action)
        wake = self.scheduler.next_wake()
        if wake is not None and wake < self._wake:
            self._wake = max(wake, self.now)
            self.at(self._wake, lambda due=self._wake: self._wake_up(due))  # type: ignore[misc]

    def _obey(self, action: Any) -> None:
        name = type(action).__name__
        self.counts[name] = self.counts.get(name, 0) + 1
        if isinstance(action, Grant):
            self._grant(action)
            return
        worker = self.workers[action.lease]
        if isinstance(action, Revoke):
            assert not worker.client.pinned
            self.after(self.latency, lambda: self._ask_back(action.lease))
        elif isinstance(action, Suspend):
            assert not worker.client.pinned and action.node == worker.node
            self.after(self.latency, lambda: self._stop(action.lease))
        elif isinstance(action, Resume):
            assert worker.stopped is not None, "resumed, but not stopped"
            self.after(self.latency, lambda: self._go_on(action.lease))
        elif isinstance(action, Requeue):
            assert worker.client.retriable
            self.after(self.latency, lambda: self._kill(action.lease))

    def _grant(self, action: Grant) -> None:
        client = self.clients[action.key]
        assert action.lease not in self.workers
        self.workers[action.lease] = Worker(action.lease, client, action.node)
        self._check_cap(client.job)
        self.after(self.latency, lambda: self._next(action.lease))

    def _check_cap(self, job: int) -> None:
        cap = self.caps.get(job)
        wakes = any(client.block is not None for client in self.clients.values() if client.job == job)
        if cap is not None and not wakes:
            used = sum(
                worker.client.request.get(CPU, 0)
                for worker in self.workers.values()
                if worker.client.job == job and worker.stopped is None and not worker.blocked
            )
            assert used <= cap * UNIT, f"job {job} has {used / UNIT} CPUs, more than its cap"

    # -- what there is

    def node(self, name: str, cpu: float = 1, memory: int | None = None, **more: Any) -> SchedulerWorld:
        self.nodes[name] = Resources.of(cpu=cpu, **more)
        self.step(NodeAdded(name, self.nodes[name]))
        if memory is not None:
            self.memory[name] = memory
            self.step(NodeMemory(name, memory))
        return self

    def job(self, number: int, **terms: Any) -> SchedulerWorld:
        if terms.get("max_cpus") is not None:
            self.caps[number] = terms["max_cpus"]
        self.step(JobAdded(number, **terms))
        return self

    def cls(
        self, key: str, job: int = 1, cpu: float = 1, pinned: bool = False, **more: Any
    ) -> SchedulerWorld:
        options = {
            name: more.pop(name)
            for name in ("predicted", "predicted_memory", "priority", "preemptible", "retriable")
            if name in more
        }
        request = Resources.of(cpu=cpu, **more)
        number = len(self.clients) + 1
        self.clients[key.encode()] = Client(
            number, key.encode(), job, request, pinned=pinned, retriable=options.get("retriable", False)
        )
        self.step(ClassAdded(key.encode(), job, key, request, pinned, **options))
        return self

    def submit(self, key: str, *tasks: float) -> SchedulerWorld:
        client = self.clients[key.encode()]
        client.queue.extend(tasks)
        client.submitted.extend([self.now] * len(tasks))
        for worker in list(self.workers.values()):
            if worker.client is client and worker.task is None and worker.ready and not worker.revoked:
                self._next(worker.lease)
        self._ask(client)
        return self

    def _ask(self, client: Client) -> None:
        wanted = len(client.queue) + client.running
        if wanted != client.asked:
            client.asked = wanted
            self.step(Demand(client.key, client.number, wanted))

    # -- workers

    def _next(self, lease: int) -> None:
        worker = self.workers.get(lease)
        if worker is None or worker.stopped is not None or worker.task is not None:
            return
        worker.ready = True
        client = worker.client
        if worker.revoked or not client.queue:
            if worker.revoked:
                self._return(worker)
            self._ask(client)
            return
        worker.task, worker.began = client.queue.pop(0), client.submitted.pop(0)
        client.running += 1
        wait = client.block() if client.block is not None else 0.0
        if wait:
            worker.blocked = True
            self.step(LeaseBlocked(lease))
            self.after(wait, lambda: self._unblock(lease))
        else:
            self._start(worker, worker.task)

    def _unblock(self, lease: int) -> None:
        worker = self.workers.get(lease)
        if worker is None or not worker.blocked or worker.task is None:
            return
        if worker.stopped is not None:  # it cannot say so, stopped as it is
            self.after(0.01, lambda: self._unblock(lease))
            return
        worker.blocked = False
        self.step(LeaseUnblocked(lease))
        self._start(worker, worker.task)

    def _start(self, worker: Worker, seconds: float) -> None:
        worker.ends, worker.running_since = self.now + seconds, self.now
        self.at(worker.ends, lambda: self._finish(worker.lease))

    def _finish(self, lease: int) -> None:
        worker = self.workers.get(lease)
        if worker is None or worker.task is None or worker.stopped is not None or worker.blocked:
            return
        if self.now < worker.ends:
            return  # it was stopped meanwhile
        client = worker.client
        client.running -= 1
        client.done += 1
        client.latencies.append(self.now - worker.began - worker.task)
        self.busy += worker.task * client.request.get(CPU, 0) / UNIT
        self._note_use(worker)
        worker.task = None
        self._next(lease)

    def _note_use(self, worker: Worker) -> None:
        if worker.task is not None and not worker.blocked:
            had = (self.now - worker.running_since) * worker.client.request.get(CPU, 0) / UNIT
            self.had[worker.client.key] = self.had.get(worker.client.key, 0.0) + had

    def _ask_back(self, lease: int) -> None:
        worker = self.workers.get(lease)
        if worker is not None:
            worker.revoked = True
            if worker.task is None:
                self._return(worker)

    def _return(self, worker: Worker) -> None:
        del self.workers[worker.lease]
        self.step(LeaseReturned(worker.lease))

    def _stop(self, lease: int) -> None:
        worker = self.workers.get(lease)
        if worker is None or worker.stopped is not None:
            return
        worker.stopped = 0.0 if worker.task is None or worker.blocked else max(0.0, worker.ends - self.now)
        worker.stopped_at = self.now
        self._note_use(worker)
        self.step(LeaseSuspended(lease))

    def _go_on(self, lease: int) -> None:
        worker = self.workers.get(lease)
        if worker is None or worker.stopped is None:
            return
        left, worker.stopped = worker.stopped, None
        self.longest_stop = max(self.longest_stop, self.now - worker.stopped_at)
        self._check_cap(worker.client.job)
        self.step(LeaseResumed(lease))
        if worker.task is None:
            self._next(lease)
        elif not worker.blocked:
            self._start(worker, left)

    def _kill(self, lease: int) -> None:
        worker = self.workers.get(lease)
        if worker is None:
            return
        client = worker.client
        if worker.task is not None:
            client.running -= 1
            client.queue.append(worker.task)
            client.submitted.append(worker.began)
            worker.task = None
        self._return(worker)
        self._ask(client)

    # -- how it went

    def finished(self) -> bool:
        return all(not client.queue and not client.running for client in self.clients.values())

    def finish(self, within: float) -> None:
        """Run until all tasks are done. Raises AssertionError if that takes longer than `within` seconds."""
        end = self.now + within
        if not self.finished():
            self.run(end, self.finished)
        left = {
            c.key.decode(): (len(c.queue), c.running) for c in self.clients.values() if c.queue or c.running
        }
        assert not left, f"not done after {within} s: {left}; {self.scheduler.status.waiting()}"

    def finish_of(self, key: str, within: float) -> None:
        """Run until all tasks of one class are done."""
        client = self.clients[key.encode()]
        self.run(self.now + within, lambda: not client.queue and not client.running)
        assert not client.queue and not client.running, f"{key} is not done after {within} s"

    def busy_of(self, key: str) -> float:
        """CPU seconds that a class has had, those of running tasks included, as far as its workers ran."""
        client = self.clients[key.encode()]
        return self.had.get(client.key, 0.0) + sum(
            (self.now - worker.running_since) * client.request.get(CPU, 0) / UNIT
            for worker in self.workers.values()
            if worker.client is client and worker.task is not None and worker.stopped is None
        )
