"""Results that are lost are made again by their tasks."""

from __future__ import annotations

import numpy as np
import pytest

import rustray
from rustray.driver.current import current
from tests.integration.tasks.functions import BIG, CPUS, echo, hold
from tests.support import Gate, eventually, tick, ticks


class TestLineage:
    def lose(self, ref):
        eventually(lambda: current().requests.query("lose", ref.binary()))

    def test_a_lost_result_is_made_again(self, tmp_path):
        @rustray.remote
        def make(path, base):
            tick(path)
            return base + np.arange(BIG)

        ref = make.remote(tmp_path / "runs", rustray.put(np.ones(BIG)))
        rustray.wait([ref])
        self.lose(ref)
        assert rustray.get(ref)[10] == 11
        assert ticks(tmp_path / "runs") == 2

    def test_and_may_be_moved_and_lost_again(self, tmp_path):
        @rustray.remote
        def make(path):
            return np.full(BIG, tick(path))

        ref = make.remote(tmp_path / "runs")
        rustray.wait([ref])
        for run in (2, 3):
            self.lose(ref)
            assert rustray.get(ref)[0] == run

    def test_with_the_results_that_it_was_made_of(self, tmp_path):
        @rustray.remote
        def make(path, *before):
            tick(path)
            return np.ones(BIG) + sum(before)

        first = make.remote(tmp_path / "first")
        second = make.remote(tmp_path / "second", first)
        rustray.wait([second])
        lost = first.binary()
        del first
        eventually(lambda: current().requests.query("lose", lost))
        self.lose(second)
        assert rustray.get(second)[0] == 2
        assert ticks(tmp_path / "first") == 2 and ticks(tmp_path / "second") == 2

    def test_asked_for_by_a_task(self, tmp_path):
        @rustray.remote
        def make(path):
            tick(path)
            return np.ones(BIG)

        @rustray.remote
        def total(array, nested):
            return array.sum() + rustray.get(nested[0]).sum()

        one, two = make.remote(tmp_path / "one"), make.remote(tmp_path / "two")
        rustray.wait([one, two], num_returns=2)
        self.lose(one)
        self.lose(two)
        assert rustray.get(total.remote(one, [two])) == 2 * BIG

    def test_while_a_task_that_it_is_given_to_waits_for_a_worker(self, tmp_path):
        slots, again = Gate(tmp_path / "slots"), Gate(tmp_path / "again")

        @rustray.remote
        def make(path):
            if tick(path) == 2:
                again.wait()
            return np.ones(BIG)

        ref = make.remote(tmp_path / "runs")
        rustray.wait([ref])
        held = [hold.remote(slots) for _ in range(CPUS)]
        slots.wait_for_waiters(CPUS)
        given = echo.remote(ref)
        self.lose(ref)
        asked = ref.future()
        eventually(lambda: not ref._entry.ready)
        slots.open()
        again.wait_for_waiters()
        eventually(lambda: (task := given._entry.task) is None or task.where is not None)
        again.open()
        assert rustray.get(given).size == asked.result(20).size == BIG
        rustray.get(held)

    def test_one_of_several_results(self, tmp_path):
        @rustray.remote(num_returns=2)
        def make(path):
            return np.full(BIG, tick(path)), np.zeros(BIG)

        first, second = make.remote(tmp_path / "runs")
        rustray.wait([first, second], num_returns=2)
        self.lose(first)
        assert rustray.get(first)[0] == 2 and rustray.get(second).sum() == 0

    def test_what_was_put_cannot_be_made_again(self):
        ref = rustray.put(np.ones(BIG))
        self.lose(ref)
        with pytest.raises(rustray.exceptions.ObjectLostError, match="cannot be made again"):
            rustray.get(ref)

    def test_nor_what_may_not_be_repeated(self):
        @rustray.remote(max_retries=0)
        def make():
            return np.ones(BIG)

        ref = make.remote()
        rustray.wait([ref])
        self.lose(ref)
        with pytest.raises(rustray.exceptions.ObjectLostError):
            rustray.get(ref)
