"""What became of tasks that were stopped: not begun, interrupted, killed."""

from __future__ import annotations

import contextlib
import threading
from types import SimpleNamespace
from typing import Any

from rustray.driver.entry import ERROR, Entry
from rustray.driver.stopping import Stop, Stopped
from rustray.driver.task import Task
from tests.unit.lease_bench import Bench


class Lease:
    def __init__(self, started: int = 0) -> None:
        self.page = SimpleNamespace(started=started)


class World:
    """Tasks of a class with some leases; `cancelled` has what their owner was told: number, and whether by force."""

    def __init__(self, *leases: Lease) -> None:
        self.target = SimpleNamespace(leases=list(leases))
        self.cancelled: list[tuple[int, bool]] = []
        self.session: Any = SimpleNamespace(
            objects=SimpleNamespace(lock=threading.RLock()),
            reactor=SimpleNamespace(shield=contextlib.nullcontext()),
            tasks=SimpleNamespace(
                cancel=self._cancel, take_from_queues=lambda _tasks: [], drop=lambda _tasks: None
            ),
        )

    def task(self, number: int, where: Lease | None = None) -> Task:
        task = Task(number, self.target, b"", b"", 1, 0, None)
        task.where = where
        task.entries = (Entry(bytes(16), True, task),)
        return task

    def _cancel(self, task: Task, force: bool, _recursive: bool) -> None:
        self.cancelled.append((task.number, force))
        if task.where is None:
            end(task)


def end(task: Task) -> None:
    task.where = None
    task.entries[0].settle(ERROR, b"")


def test_what_is_sent_and_begins_before_its_worker_hears_of_the_stop_was_interrupted() -> None:
    lease = Lease()
    world = World(lease)
    sent, waits = world.task(1, lease), world.task(2)
    stop = Stop(world.session, [sent, waits])
    stop.interrupt()
    lease.page.started = 1
    assert stop.left() == [sent]
    end(sent)
    assert stop.outcome() == Stopped(dropped=1, interrupted=1)


def test_what_is_sent_and_dropped_by_its_worker_was_not_begun() -> None:
    lease = Lease(started=1)
    world = World(lease)
    first, behind = world.task(1, lease), world.task(2, lease)
    stop = Stop(world.session, [first, behind])
    stop.interrupt()
    end(behind)
    stop.kill()
    assert world.cancelled == [(1, False), (2, False), (1, True)]
    world.target.leases.remove(lease)  # its page is gone
    end(first)
    assert stop.outcome() == Stopped(dropped=1, killed=1)


def test_none_that_waits_begins_where_an_interrupted_one_ends_before_all_are_told() -> None:
    bench = Bench()
    try:
        tasks = [entry.task for entry in bench.submit(5)]
        worker = bench.worker()
        assert worker.received() == [tasks[0].number]
        worker.start(tasks[0].number)
        interrupt = bench.target.interrupt

        def ends_at_once(task: Task, force: bool, recursive: bool) -> None:
            interrupt(task, force, recursive)
            worker.answer(task.number)

        bench.target.interrupt = ends_at_once  # type: ignore[method-assign]
        stop = Stop(bench.session, tasks)
        stop.interrupt()
        assert worker.received() == []
        assert stop.outcome() == Stopped(dropped=4, interrupted=1)
        assert bench.target.queued == 0 and bench.target.figures.cancelled == 4
    finally:
        bench.close()
