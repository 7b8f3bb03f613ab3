"""Workers that die, and what becomes of the tasks that they had been sent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rustray.driver.entry import ERROR, PENDING, VALUE
from rustray.driver.submitter import MAX_FALSE_STARTS, SETUP_TRIES
from rustray.errors import (
    OutOfMemoryError,
    RuntimeEnvSetupError,
    WorkerCrashedError,
    WorkerExitedError,
)
from tests.unit.lease_bench import Bench, error_of, numbers, prefetched


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


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
