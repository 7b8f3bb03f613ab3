"""Leases from their client's side: the worker is a socket that the test reads and writes, the node a list."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from rustray.driver import failures, figures
from rustray.driver.entry import ERROR, PENDING, VALUE
from rustray.driver.functions import WORKERS_KNOWN
from rustray.driver.session import Session
from rustray.driver.submitter import MAX_FALSE_STARTS, SETUP_TRIES
from rustray.driver.unused_leases import IDLE_S, SPARE_S
from rustray.errors import (
    InfeasibleError,
    OutOfMemoryError,
    RuntimeEnvSetupError,
    WorkerCrashedError,
    WorkerExitedError,
)
from rustray.metrics.functions import Owned
from rustray.wire.frames import Connection
from rustray.wire.page import LeasePage, new_page

KEY, CODE = b"class", b"code"


def nothing() -> None:
    """The function whose signature names parameters."""


class Worker:
    """The other end of a lease."""

    def __init__(self, bench: Bench, lease: int) -> None:
        ours, theirs = socket.socketpair()
        fd = new_page()
        self.page = LeasePage(fd, writable=True)
        self.lease = lease
        self.bench = bench
        self.connection = Connection(theirs)
        bench.session.leases.on_lease(KEY, lease, 1000 + lease, ours.detach(), fd)

    def received(self) -> list[int]:
        """The numbers of the tasks that have come since the last call."""
        found = []
        for op, *fields in self.connection.receive():
            if op == "run":
                found += [task[0] for task in fields[0]]
        return found

    def start(self, number: int) -> None:
        self.page.begin(number)

    def say(self, *messages: tuple[Any, ...]) -> None:
        self.connection.send(messages)
        self.bench.turn()

    def answer(self, *numbers: int, seconds: float = 0.0) -> None:
        self.say(("done", [(number, VALUE, b"result") for number in numbers], seconds))

    def die(self, kind: str = "signal") -> None:
        self.connection.close()
        self.bench.turn()
        self.bench.session.leases.on_lease_lost(self.lease, kind, "ended")


class Bench:
    """A session whose node is a list of what it was told."""

    def __init__(self) -> None:
        ours, self.node = socket.socketpair()
        self.session = Session(ours, None, None)
        self.told = Connection(self.node)
        self.session.leases.functions.add(CODE, b"", "f")
        spec = {"name": "f", "resources": {"CPU": 1.0}, "runtime_env": None, "env_key": b""}
        self.target = self.session.leases.scheduling_class(KEY, "f", spec)
        self.workers: list[Worker] = []
        self.refs: list[Any] = []

    def worker(self) -> Worker:
        made = Worker(self, len(self.workers) + 1)
        self.workers.append(made)
        return made

    def submit(self, count: int = 1, retries: int = 0) -> list[Any]:
        submit = self.session.tasks.submit
        refs = [submit(self.target, CODE, (), {}, 1, retries, None, nothing) for _ in range(count)]
        self.refs += refs
        return [ref._entry for ref in refs]

    def turn(self) -> None:
        """Let the session handle what has arrived."""
        self.session.reactor.poll_now()

    def demands(self) -> list[int]:
        return [message[2] for message in self.told.receive() if message[0] == "demand"]

    def close(self) -> None:
        self.session.close()
        self.node.close()
        for worker in self.workers:
            worker.connection.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def numbers(entries: list[Any]) -> list[int]:
    return [entry.task.number for entry in entries]


def error_of(entry: Any) -> BaseException:
    assert entry.state == ERROR
    return failures.unpack(entry.payload)


def test_demand_grows_in_powers_of_two(bench: Bench) -> None:
    bench.submit(5)
    assert bench.demands() == [1, 2, 4, 8]


def test_a_lease_gets_what_waits_and_a_lone_task_leaves_at_once(bench: Bench) -> None:
    first = bench.submit()
    worker = bench.worker()
    assert worker.received() == numbers(first)
    worker.answer(*numbers(first))
    assert first[0].state == VALUE
    second = bench.submit()
    assert worker.received() == numbers(second)


def test_until_something_is_known_one_task_goes_at_a_time(bench: Bench) -> None:
    entries = bench.submit(10)
    worker = bench.worker()
    assert len(worker.received()) == 1
    worker.answer(entries[0].task.number, seconds=0.0005)
    assert worker.received() == numbers(entries[1:10])  # half a millisecond each: ten fit into the pipe


def test_long_tasks_are_bound_late(bench: Bench) -> None:
    entries = bench.submit(10)
    worker = bench.worker()
    worker.received()
    worker.answer(entries[0].task.number, seconds=1.0)
    assert len(worker.received()) == 1


def test_a_known_run_time_sets_the_depth_of_the_first_push(bench: Bench) -> None:
    bench.session.leases.on_estimate(KEY, 0.0003, 0.0001)
    bench.session.leases.on_estimate(b"of another client", 1.0, 0.0)
    bench.submit(20)
    assert len(bench.worker().received()) == 10  # five milliseconds of tasks that may take half a one


def test_what_is_measured_counts_for_more_than_what_was_known(bench: Bench) -> None:
    entries = bench.submit()
    worker = bench.worker()
    worker.answer(*numbers(entries), seconds=1.0)
    bench.session.leases.on_estimate(KEY, 1e-5, 0.0)
    bench.submit(4)
    assert len(worker.received()) == 2


def test_run_times_are_told_a_few_times_a_second_and_the_rest_at_the_end(bench: Bench) -> None:
    def told() -> list[Any]:
        return [message[1] for message in bench.told.receive() if message[0] == "predicted"]

    worker, now = bench.worker(), time.monotonic()
    for _ in range(3):
        worker.answer(*numbers(bench.submit()), seconds=2.0)
        bench.session.leases.tick(now)
    assert told() == [[(KEY, 1, 2.0, 4.0)]]
    bench.session.leases.tick(now + 1.0)
    assert told() == [[(KEY, 2, 4.0, 8.0)]]
    worker = bench.worker()
    worker.answer(*numbers(bench.submit()), seconds=2.0)
    bench.session.leases.tell_measured()
    bench.session.leases.tell_measured()
    assert told() == [[(KEY, 1, 2.0, 4.0)]]


def test_a_blocked_worker_gets_nothing_until_it_wakes(bench: Bench) -> None:
    entries = bench.submit(2)
    worker = bench.worker()
    worker.received()
    worker.say(("blocked",))
    worker.answer(entries[0].task.number)
    assert worker.received() == []
    worker.say(("unblocked",))
    assert worker.received() == numbers(entries[1:])


def test_what_is_handed_back_goes_elsewhere_in_order(bench: Bench) -> None:
    entries = bench.submit(1)
    one = bench.worker()
    one.received()
    one.answer(entries[0].task.number, seconds=1e-5)
    entries = bench.submit(4)
    sent = one.received()
    one.start(sent[0])
    one.say(("blocked",), ("returned", sent[1:]))
    two = bench.worker()
    assert sorted(two.received()) == sorted(sent[1:] + [n for n in numbers(entries) if n not in sent])


def test_an_answer_that_comes_twice_counts_once(bench: Bench) -> None:
    entries = bench.submit()
    worker = bench.worker()
    (number,) = numbers(entries)
    worker.answer(number)
    worker.answer(number)
    assert entries[0].state == VALUE and bench.session.ended is None and bench.target.idle == 1


def test_a_revoked_lease_is_returned_when_it_is_empty(bench: Bench) -> None:
    entries = bench.submit()
    worker = bench.worker()
    bench.session.leases.on_revoke(worker.lease)
    assert ("return", worker.lease) not in bench.told.receive()
    worker.answer(*numbers(entries))
    assert ("return", worker.lease) in bench.told.receive()


class TestDeath:
    def test_only_the_task_that_had_begun_is_charged(self, bench: Bench) -> None:
        warm = bench.submit()
        worker = bench.worker()
        worker.answer(*numbers(warm), seconds=1e-5)
        entries = bench.submit(5)
        sent = numbers(entries)
        worker.received()
        worker.start(sent[2])
        worker.answer(*sent[:2])
        worker.die()
        assert [entry.state for entry in entries] == [VALUE, VALUE, ERROR, PENDING, PENDING]
        assert isinstance(error_of(entries[2]), WorkerCrashedError)
        other = bench.worker()
        assert other.received() == sent[3:]

    @pytest.mark.parametrize(
        ("kind", "error"),
        [("signal", WorkerCrashedError), ("exit", WorkerExitedError), ("oom", OutOfMemoryError)],
    )
    def test_each_kind_has_its_error(self, bench: Bench, kind: str, error: type[Exception]) -> None:
        entries = bench.submit()
        worker = bench.worker()
        worker.start(entries[0].task.number)
        worker.die(kind)
        assert type(error_of(entries[0])) is error

    def test_retries_are_counted(self, bench: Bench) -> None:
        entries = bench.submit(retries=2)
        for _attempt in range(3):
            assert entries[0].state == PENDING
            worker = bench.worker()
            worker.start(*worker.received())
            worker.die()
        assert isinstance(error_of(entries[0]), WorkerCrashedError)

    def test_who_died_for_another_is_not_charged(self, bench: Bench) -> None:
        entries = bench.submit()
        worker = bench.worker()
        worker.start(entries[0].task.number)
        worker.die("cancelled")
        assert entries[0].state == PENDING
        assert bench.worker().received() == numbers(entries)

    def test_an_answer_that_was_sent_before_it_counts(self, bench: Bench) -> None:
        entries = bench.submit()
        worker = bench.worker()
        worker.start(entries[0].task.number)
        worker.connection.send([("done", [(entries[0].task.number, VALUE, b"result")], 0.0)])
        bench.session.leases.on_lease_lost(worker.lease, "signal", "ended")
        assert entries[0].state == VALUE

    def test_workers_that_never_begin_anything(self, bench: Bench) -> None:
        entries = bench.submit()
        for _attempt in range(MAX_FALSE_STARTS):
            assert entries[0].state == PENDING
            bench.worker().die()
        assert isinstance(error_of(entries[0]), WorkerCrashedError)

    def test_what_ran_before_and_was_not_answered_runs_again_only_if_it_may(self, bench: Bench) -> None:
        warm = bench.submit()
        worker = bench.worker()
        worker.answer(*numbers(warm), seconds=1e-5)
        once, twice = bench.submit(), bench.submit(retries=1)
        ran, after = bench.submit(), bench.submit()
        worker.received()
        worker.start(ran[0].task.number)
        again = numbers(twice + after)
        worker.die()
        assert [entry.state for entry in once + twice + ran + after] == [ERROR, PENDING, ERROR, PENDING]
        assert "had finished it" in str(error_of(once[0])) and twice[0].task.retries == 1
        assert bench.worker().received() == again

    def test_of_idle_workers_is_no_false_start(self, bench: Bench) -> None:
        workers = [bench.worker() for _ in range(MAX_FALSE_STARTS)]
        for worker in workers:
            worker.die()
        entries = bench.submit()
        for _attempt in range(MAX_FALSE_STARTS - 1):
            bench.worker().die()
        for _attempt in range(MAX_FALSE_STARTS):
            bench.worker().die("owner")
        assert entries[0].state == PENDING

    def test_of_workers_that_were_made_before_the_task_is_no_failed_setup(self, bench: Bench) -> None:
        for _idle in range(SETUP_TRIES):
            bench.worker().die("setup")
        waiting = [bench.worker() for _ in range(SETUP_TRIES)]
        entries = bench.submit()
        for worker in waiting:
            worker.die("setup")
        for _attempt in range(SETUP_TRIES):
            assert entries[0].state == PENDING
            bench.worker().die("setup")
        assert isinstance(error_of(entries[0]), RuntimeEnvSetupError)

    def test_of_workers_given_back_is_not_waited_for(self, bench: Bench) -> None:
        for worker in range(2 * WORKERS_KNOWN):
            bench.session.leases.functions.at(worker).add(CODE)
        assert len(bench.session.leases.functions._at) == WORKERS_KNOWN

    def test_all_that_was_submitted_comes_back(self, bench: Bench) -> None:
        for _turn in range(3):
            entries = bench.submit(20, retries=5)
            worker = bench.worker()
            worker.start(worker.received()[0])
            worker.die()
            worker = bench.worker()
            while waiting := list(worker.received()):
                worker.answer(*waiting, seconds=1e-5)
            assert {entry.state for entry in entries} == {VALUE}
            assert bench.target.idle == len(bench.target.leases) == 1
            worker.die()
            assert bench.target.idle == len(bench.target.leases) == 0


class TestCancel:
    def test_queued(self, bench: Bench) -> None:
        entries = bench.submit(2)
        bench.session.tasks.cancel(entries[0].task, False, True)
        assert "cancelled" in str(error_of(entries[0]))
        assert bench.worker().received() == [entries[1].task.number]

    def test_sent(self, bench: Bench) -> None:
        entries = bench.submit()
        worker = bench.worker()
        bench.session.tasks.cancel(entries[0].task, False, True)
        assert ("cancel", entries[0].task.number, True) in worker.connection.receive()
        assert entries[0].state == PENDING

    def test_by_force_only_what_has_begun(self, bench: Bench) -> None:
        entries = bench.submit()
        worker = bench.worker()
        task = entries[0].task
        bench.session.tasks.cancel(task, True, True)
        assert ("cancel", task.number, True) in worker.connection.receive()
        worker.start(task.number)
        bench.session.tasks.cancel(task, True, True)
        assert any(message[:2] == ("kill_worker", 1001) for message in bench.told.receive())
        worker.die("cancelled")
        assert "cancelled" in str(error_of(entries[0]))


class TestIdleLeases:
    def test_are_offered_and_then_returned(self, bench: Bench) -> None:
        entries = bench.submit()
        worker = bench.worker()
        worker.answer(*numbers(entries))
        bench.told.receive()
        now = time.monotonic()
        bench.session.leases.unused.on_alarm(now + SPARE_S + 0.01)
        assert bench.demands() == [0]
        bench.session.leases.tick(now + IDLE_S + 0.01)
        assert ("return", worker.lease) in bench.told.receive()
        assert bench.target.leases == [] and bench.target.idle == 0

    def test_are_offered_at_once_when_another_class_asks(self, bench: Bench) -> None:
        entries = bench.submit()
        bench.worker().answer(*numbers(entries))
        bench.told.receive()
        other = bench.session.leases.scheduling_class(b"other", "g", {})
        bench.session.tasks.submit(other, CODE, (), {}, 1, 0, None, nothing)
        asked = [message[1:] for message in bench.told.receive() if message[0] == "demand"]
        assert asked == [(KEY, 0), (b"other", 1)]

    def test_are_counted_right_when_a_result_leads_to_another_task(self, bench: Bench) -> None:
        ref = bench.session.tasks.submit(bench.target, CODE, (), {}, 1, 0, None, nothing)
        worker = bench.worker()
        submit = bench.session.tasks.submit
        for _step in range(5):
            ref = submit(bench.target, CODE, (ref,), {}, 1, 0, None, nothing)
        for _step in range(6):
            worker.answer(*worker.received())
        assert ref._entry.state == VALUE and bench.target.idle == 1


def test_what_was_cancelled_does_not_fail_again(bench: Bench) -> None:
    first, _second = bench.submit(2)
    assert first.task is not None
    bench.session.tasks.cancel(first.task, False, True)
    bench.session.leases.on_infeasible(KEY, "Missing: 1 GPU")
    assert (bench.target.figures.cancelled, bench.target.figures.failed) == (1, 1)


def test_infeasible_fails_what_waits_and_later_tasks_ask_again(bench: Bench) -> None:
    entries = bench.submit(2)
    bench.demands()
    bench.session.leases.on_infeasible(KEY, "Missing: 1 GPU")
    assert all(isinstance(error_of(entry), InfeasibleError) for entry in entries)
    assert bench.demands() == [0]
    bench.submit()
    assert bench.demands() == [1]


def test_the_end_of_the_session_fails_everything(bench: Bench) -> None:
    entries = bench.submit(3)
    bench.worker()
    os.close(bench.node.detach())
    bench.turn()
    assert all("connection to the cluster was lost" in str(error_of(entry)) for entry in entries)


def prefetched(bench: Bench, worker: Worker, count: int = 10) -> list[Any]:
    """Tasks that a worker has been sent at once, because the ones before were quick."""
    first = bench.submit()
    worker.received()
    worker.answer(*numbers(first), seconds=0.0004)
    entries = bench.submit(count, retries=1)
    bench.target.pump()
    assert worker.received() == numbers(entries)
    return entries


def test_what_waits_behind_a_slow_task_is_handed_back(bench: Bench) -> None:
    slow = bench.worker()
    entries = prefetched(bench, slow)
    slow.start(numbers(entries)[0])
    now = time.monotonic()
    bench.session.leases.tick(now)
    assert slow.connection.receive() == []  # it may be under way still
    bench.session.leases.tick(now)
    assert slow.connection.receive() == [("giveback",)]
    bench.session.leases.tick(now)
    assert slow.connection.receive() == []
    slow.say(("returned", numbers(entries)[1:]))
    other = bench.worker()
    assert other.received() == numbers(entries)[1:]
    assert slow.received() == []
    slow.answer(numbers(entries)[0])
    more = bench.submit(2)
    bench.target.pump()
    assert slow.received() == numbers(more)  # it has answered, and is as good as any again


def test_a_pipe_that_moves_is_left_alone(bench: Bench) -> None:
    worker = bench.worker()
    entries = prefetched(bench, worker)
    now = time.monotonic()
    for number in numbers(entries)[:5]:
        bench.session.leases.tick(now)
        worker.answer(number)
    assert ("giveback",) not in worker.connection.receive()


def test_a_task_that_was_requeued_is_not_charged(bench: Bench) -> None:
    (entry,) = bench.submit(retries=1)
    for _ in range(3):
        worker = bench.worker()
        worker.received()
        worker.start(entry.task.number)
        worker.die("requeue")
    assert entry.state == PENDING and entry.task.retries == 1


def test_of_a_node_that_is_gone_nobody_knows_how_far_it_came(bench: Bench) -> None:
    worker = bench.worker()
    repeatable = prefetched(bench, worker, 3)
    once = bench.submit(2, retries=0)
    bench.target.pump()
    worker.received()
    worker.die("node")
    assert all(isinstance(error_of(entry), WorkerCrashedError) for entry in once)
    # One of them ran: the oldest, as far as is known.
    assert [entry.task.retries for entry in repeatable] == [0, 1, 1]
    assert bench.worker().received() == numbers(repeatable)


def test_a_suspended_worker_is_killed_to_cancel_its_task(bench: Bench) -> None:
    (entry,) = bench.submit(retries=0)
    worker = bench.worker()
    worker.received()
    worker.start(entry.task.number)
    bench.session.leases.on_suspended(worker.lease, True)
    bench.told.receive()
    bench.session.tasks.cancel(entry.task, False, True)
    assert [message[:2] for message in bench.told.receive()] == [("kill_worker", 1000 + worker.lease)]
    bench.session.leases.on_suspended(worker.lease, False)
    bench.session.leases.on_suspended(99, True)  # it has come back meanwhile


def test_a_worker_that_was_suspended_before_it_heard_of_a_cancellation_is_killed(bench: Bench) -> None:
    (entry,) = bench.submit(retries=0)
    worker = bench.worker()
    worker.received()
    worker.start(entry.task.number)
    bench.session.tasks.cancel(entry.task, False, True)
    bench.told.receive()
    bench.session.leases.on_suspended(worker.lease, True)
    assert [message[:2] for message in bench.told.receive()] == [("kill_worker", 1000 + worker.lease)]


def test_of_very_many_classes_the_busy_ones_are_told_each_time_and_all_in_turn(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "CLASSES", 10)
    leases = bench.session.leases
    for at in range(35):
        leases.scheduling_class(b"%d" % at, f"g{at}", {}).figures.retried += 1
    bench.submit()
    telling = figures.Telling(bench.session)
    retried: Counter[str] = Counter()
    for _ in range(8):
        bench.told.receive()
        telling.tell()
        bench.session.flush()
        ((rows,),) = (fields for op, *fields in bench.told.receive() if op == "owned")
        told = [Owned._make(row) for row in rows]
        assert sum(row.waiting for row in told if row.name == "f") == 1
        retried.update({row.name: row.retried for row in told if row.retried})
    assert retried == {f"g{at}": 1 for at in range(35)}
