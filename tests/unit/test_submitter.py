"""Leases of a client: demand, depth of the pipe, cancelling, giving back."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from rustray.driver import failures
from rustray.driver.entry import ERROR, PENDING, VALUE
from rustray.driver.functions import Code
from rustray.driver.unused_leases import IDLE_S, SPARE_S
from rustray.errors import (
    InfeasibleError,
    TaskCancelledError,
)
from tests.unit.lease_bench import CODE, KEY, Bench, error_of, nothing, numbers, prefetched


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def test_demand_grows_in_powers_of_two(bench: Bench) -> None:
    bench.submit(5)
    assert bench.demands() == [1, 2, 4, 8]


def test_what_was_cancelled_in_the_queue_is_asked_for_no_more(bench: Bench) -> None:
    entries, cancel = bench.submit(5), bench.session.tasks.cancel
    tasks = [entry.task for entry in entries]
    assert bench.demands() == [1, 2, 4, 8]
    cancel(tasks[0], False, True)
    assert bench.target.queued == 4 and bench.demands() == [4]
    cancel(tasks[2], False, True)
    cancel(tasks[1], False, True)
    assert bench.target.queued == 2 and bench.demands() == [2]
    cancel(tasks[1], False, True)  # once more
    cancel(tasks[4], False, True)
    assert bench.target.queued == 1 and [task.number for task in bench.target.queue] == [tasks[3].number]
    cancel(tasks[3], False, True)
    assert bench.target.queued == 0 and bench.demands()[-1] == 0
    assert not bench.session.leases.waiting
    bench.submit()
    assert bench.demands() == [1]


def test_in_the_end_no_more_slots_are_asked_for_than_there_are_tasks(bench: Bench) -> None:
    bench.submit(5)
    assert bench.demands()[-1] == 8
    bench.session.figures.tell()
    assert bench.demands() == [5]


def test_a_task_that_has_its_result_cannot_be_cancelled_any_more(bench: Bench) -> None:
    entries = bench.submit()
    task, worker = entries[0].task, bench.worker()
    worker.answer(task.number)
    bench.session.tasks.cancel(task, True, True)
    assert entries[0].state == VALUE and bench.target.figures.cancelled == 0


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


def test_how_long_a_task_ran_that_was_cancelled_is_not_what_its_function_takes(bench: Bench) -> None:
    worker = bench.worker()
    worker.answer(*numbers(bench.submit()), seconds=2.0)
    (entry,) = bench.submit()
    bench.session.tasks.cancel(entry.task, False, True)
    assert entry.state == PENDING  # it runs
    stopped = failures.typed(TaskCancelledError("stopped"))
    worker.say(("done", [(entry.task.number, ERROR, stopped)], 0.4))
    assert bench.target.figures.cancelled == 1 and bench.target.estimate == 2.0
    assert bench.target.measured.take_all() == (1, 2.0, 4.0)


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
        other = bench.session.leases.scheduling_class(b"other", Code(b"g", b"", "g"), {})
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
