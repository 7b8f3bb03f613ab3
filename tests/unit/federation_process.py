"""Drivers and workers of the federation world, and the tasks that they have for each other."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from rustray.store import actions as act
from rustray.store.allocator import PAGE
from tests.unit.federation_client import Client

if TYPE_CHECKING:
    from tests.unit.federation_node import NodeSim


class Task:
    """What a client has a worker do. `lent` is pinned by the client until the answer has come."""

    def __init__(self, owner: Process, oid: bytes, lent: tuple[bytes, ...]) -> None:
        self.owner = owner
        self.oid = oid
        self.lent = lent
        self.worker: Process | None = None
        self.over = False


class Process(Client):
    """A client that keeps the rules: a driver of its tasks, and a worker that runs one at a time.

    `lease`: what it has answered. `inbox`: answers that have come.
    """

    def __init__(self, node: NodeSim, number: int) -> None:
        super().__init__(node, number)
        self.lease: deque[tuple[Task, Any]] = deque()
        self.inbox: deque[tuple[Task, Any]] = deque()
        self.requests: dict[int, tuple[bytes, tuple[bytes, ...], Task | None]] = {}
        self.pending: dict[bytes, Task] = {}
        self.known: set[bytes] = set()  # of the pending ones, those that the node has been told of
        self.lineage: set[bytes] = set()
        self.borrowing: set[bytes] = set()  # what is lent to it and was not held by it before
        self.lost_meanwhile: set[bytes] = set()

    # -- values of its own -----------------------------------------------------------------------------

    def put(self) -> None:
        oid = self.new_oid()
        if self.world.random.random() < 0.5:
            self.store(oid, self.some(2, oid), None)
            return
        contains = self.some(2, oid)
        tag = self.world.new_value(oid, contains)
        self.held[oid] += 1
        self.send("hold", [oid])
        self.send("declare", oid)
        self.send("publish", oid, 0, tag, contains)

    def store(self, oid: bytes, contains: tuple[bytes, ...], task: Task | None) -> None:
        size = self.world.random.randrange(1, 60) * PAGE
        self.numbers += 1
        self.requests[self.numbers] = (oid, contains, task)
        for content in contains:
            self.pins[content] += 1
        self.send("reserve", self.numbers, size)

    def granted(self, grant: act.Granted) -> None:
        oid, contains, task = self.requests.pop(grant.request)
        holder = self.number if task is None else task.owner.number
        tag = self.world.new_value(oid, contains)
        self.node.write(grant.segment, grant.offset, grant.size, tag)
        self.send("seal", oid, grant.segment, grant.offset, grant.size, contains, holder, False)
        for content in contains:
            self.pins[content] -= 1
        if task is None:
            self.held[oid] += 1
        else:
            self.answer(task, ("big", ()))

    def refused(self, request: int) -> None:
        _oid, contains, task = self.requests.pop(request)
        for content in contains:
            self.pins[content] -= 1
        if task is not None:
            self.answer(task, ("error", ()))

    # -- tasks -----------------------------------------------------------------------------------------

    def submit(self, worker: Process) -> None:
        task = Task(self, self.new_oid(), self.some(2))
        for oid in task.lent:
            self.pins[oid] += 1
        self.pending[task.oid] = task
        self.start(task, worker)

    def start(self, task: Task, worker: Process) -> None:
        task.worker, task.over = worker, False
        worker.running = task
        worker.passed = set()
        worker.borrowing = {oid for oid in task.lent if not worker.held[oid]}

    def escape(self) -> None:
        """Make the ref of a result that is not there yet known, so that it may be handed on."""
        oids = sorted(set(self.pending) - self.known - self.lineage)
        if oids:
            oid = self.world.random.choice(oids)
            self.known.add(oid)
            self.held[oid] += 1
            self.send("hold", [oid])
            self.send("declare", oid)

    def finish(self) -> None:
        """The worker's task returns."""
        task = self.running
        if task is None or task.over:
            return
        if any(request[2] is task for request in self.requests.values()):
            return
        kind = self.world.random.random()
        if kind < 0.5:
            self.store(task.oid, self.some(2, task.oid), task)
        elif kind < 0.9:
            contains = self.some(2, task.oid)
            if contains:
                self.send("hold_for", task.owner.number, list(contains))
            self.answer(task, ("small", contains))
        else:
            self.answer(task, ("error", ()))

    def answer(self, task: Task, result: Any) -> None:
        """The arguments go; what is still in use, or was passed on, is borrowed."""
        if task.over or self.running is not task:
            return
        borrowed = []
        self.running = None
        for oid in sorted(self.borrowing):
            keeps = self.world.random.random() < 0.3 or self.pins[oid] > 0
            if keeps or oid in self.passed:
                self.held[oid] += 1
                borrowed.append(oid)
                if not keeps:
                    self.release(oid)
            elif not self.held[oid]:
                self.look_away(oid)
                self.asked.discard(oid)
        self.passed = set()
        self.lease.append((task, (*result, borrowed)))

    def answer_one(self) -> None:
        """What it has answered leaves; to another node it goes by the agent."""
        owner = self.lease[0][0].owner
        if owner.node is not self.node:
            while self.socket:
                self.flush_one()
        answer = self.lease.popleft()
        if owner.node is self.node:
            owner.inbox.append(answer)
        else:
            self.world.send(self.node.number, owner.node.number, "answer", (owner.number, answer))

    def take_one(self) -> None:
        """An answer has come."""
        task, result = self.inbox.popleft()
        if self.pending.get(task.oid) is not task or task.over:
            return
        if result is None:
            self.lose(task)
            return
        kind, contains, borrowed = result
        assert task.worker is not None
        task.over = True
        if borrowed:
            self.passed.update(borrowed)
            self.send("hold_for", task.worker.number, borrowed)
        again = task.oid in self.lineage
        for oid in contains:
            self.held[oid] += 1
        if kind == "big" and not again:
            self.held[task.oid] += 1
            if not task.lent:
                self.lineage.add(task.oid)
        elif kind == "small" and (again or task.oid in self.known or self.world.random.random() < 0.5):
            self.publish(task, 0, self.world.new_value(task.oid, contains), contains)
        elif kind == "error" and (again or task.oid in self.known):
            self.publish(task, 1, None, ())
        self.settle(task)
        if task.oid in self.lost_meanwhile:
            self.lost_meanwhile.discard(task.oid)
            if kind == "big":
                self.asked.add(task.oid)
                self.send("want", task.oid)

    def publish(self, task: Task, status: int, payload: Any, contains: tuple[bytes, ...]) -> None:
        if task.oid not in self.known and task.oid not in self.lineage:
            self.held[task.oid] += 1
            self.send("hold", [task.oid])
            self.send("declare", task.oid)
        self.send("publish", task.oid, status, payload, contains)

    def settle(self, task: Task) -> None:
        self.pending.pop(task.oid, None)
        self.known.discard(task.oid)
        for oid in task.lent:
            self.pins[oid] -= 1
        task.lent = ()

    def on_recover(self, oid: bytes) -> None:
        if oid in self.pending:
            self.lost_meanwhile.add(oid)  # its answer is on its way
            return
        workers = [process for process in self.world.processes if process.idle and process is not self]
        if oid in self.lineage and self.held[oid] and workers and self.world.random.random() < 0.8:
            task = self.pending[oid] = Task(self, oid, ())
            self.start(task, self.world.random.choice(workers))
        else:
            self.send("publish", oid, 1, None, ())

    def on_freed(self, oid: bytes) -> None:
        self.lineage.discard(oid)

    @property
    def idle(self) -> bool:
        return self.running is None and not self.zombie

    def drop(self) -> None:
        oids = [oid for oid, count in self.held.items() if count > 0 and not self.pins[oid]]
        if self.running is not None:
            oids = [oid for oid in oids if oid not in self.running.lent]
        if oids:
            oid = self.world.random.choice(sorted(oids))
            if oid in self.pending:
                return  # its task still names it
            self.release(oid)

    # -- ends ------------------------------------------------------------------------------------------

    def taint(self) -> None:
        """It dies: what it has lent or held for others goes without notice."""
        for task in self.pending.values():
            self.world.tainted.update(task.lent)
        self.world.tainted.update(self.passed)

    def end_tasks_of_mine(self) -> None:
        """Its workers are stopped, because nobody wants their results."""
        self.zombie = True
        self.node.processes.pop(self.number, None)
        for task in list(self.pending.values()):
            worker = task.worker
            if worker is not None and worker.running is task and not worker.node.gone:
                worker.die()

    def die(self) -> None:
        """Its node reads what it had written, and then the end of its socket."""
        if self.zombie:
            return
        self.zombie = True
        self.taint()
        while self.socket:
            self.flush_one()
        while self.lease:
            self.answer_one()
        self.end_tasks_of_mine()
        self.node.do(self.node.ledger.disconnect(self.number))
        task = self.running
        self.running = None
        if task is not None and not task.over and not task.owner.zombie:
            # The loss is told behind what it had answered.
            if task.owner.node is self.node:
                task.owner.inbox.append((task, None))
            else:
                content = task.owner.number, (task, None)
                self.world.send(self.node.number, task.owner.node.number, "answer", content)

    def on_node_down(self, node: int) -> None:
        for task in list(self.pending.values()):
            worker = task.worker
            if worker is not None and worker.node.number == node and not task.over:
                self.lose(task)

    def lose(self, task: Task) -> None:
        """The worker is gone, perhaps after it has stored the result."""
        if self.pending.get(task.oid) is not task:
            return
        workers = [process for process in self.world.processes if process.idle and process is not self]
        task.over = True
        if workers and not self.world.closing and self.world.random.random() < 0.6:
            again = Task(self, task.oid, task.lent)
            self.pending[task.oid] = again
            self.start(again, self.world.random.choice(workers))
            return
        if task.oid not in self.lineage:
            self.send("retract", [task.oid])
        if task.oid in self.known or task.oid in self.lineage:
            self.publish(task, 1, None, ())
        self.settle(task)
