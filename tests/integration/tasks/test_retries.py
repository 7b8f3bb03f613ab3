"""Tasks with real processes that are run again, because their worker died or they asked for it."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest

import rustray
from tests.integration.tasks.functions import BIG
from tests.support import tick, ticks


class TestRetries:
    def test_a_killed_worker_costs_one_try(self, tmp_path):
        @rustray.remote
        def unlucky(path):
            if tick(path) < 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return "done"

        assert rustray.get(unlucky.remote(tmp_path / "runs")) == "done"
        assert ticks(tmp_path / "runs") == 3

    def test_no_more_tries_than_allowed(self, tmp_path):
        @rustray.remote(max_retries=1)
        def doomed(path):
            tick(path)
            os.kill(os.getpid(), signal.SIGKILL)

        with pytest.raises(rustray.exceptions.WorkerCrashedError, match="SIGKILL"):
            rustray.get(doomed.remote(tmp_path / "runs"))
        assert ticks(tmp_path / "runs") == 2

    def test_none(self, tmp_path):
        @rustray.remote(max_retries=0)
        def doomed(path):
            tick(path)
            os.kill(os.getpid(), signal.SIGSEGV)

        with pytest.raises(rustray.exceptions.WorkerCrashedError, match="SIGSEGV"):
            rustray.get(doomed.remote(tmp_path / "runs"))
        assert ticks(tmp_path / "runs") == 1

    def test_tasks_that_had_not_begun_are_not_charged(self, tmp_path):
        @rustray.remote(max_retries=0)
        def work(path, fatal):
            if fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            tick(path)
            return "fine"

        rustray.get([work.remote(tmp_path / "warm", False) for _ in range(500)])
        refs = [work.remote(tmp_path / "runs", number == 100) for number in range(400)]
        for number, ref in enumerate(refs):
            if number == 100:
                with pytest.raises(rustray.exceptions.WorkerCrashedError):
                    rustray.get(ref)
            else:
                assert rustray.get(ref) == "fine"
        assert ticks(tmp_path / "runs") >= 399

    def test_exceptions_of_the_task_are_not_retried_unless_asked(self, tmp_path):
        @rustray.remote(max_retries=3)
        def moody(path, good_from):
            if (run := tick(path)) < good_from:
                raise OSError(f"run {run}") if run % 2 else KeyError(run)
            return run

        with pytest.raises(OSError, match="run 1"):
            rustray.get(moody.remote(tmp_path / "once", 3))
        assert rustray.get(moody.options(retry_exceptions=True).remote(tmp_path / "any", 4)) == 4
        with pytest.raises(KeyError):
            rustray.get(moody.options(retry_exceptions=[OSError]).remote(tmp_path / "some", 4))
        assert ticks(tmp_path / "some") == 2
        with pytest.raises(KeyError):
            rustray.get(moody.options(retry_exceptions=True, max_retries=1).remote(tmp_path / "few", 9))
        assert ticks(tmp_path / "few") == 2

    def test_own_exception_types(self, tmp_path):
        class Busy(Exception):
            pass

        @rustray.remote(retry_exceptions=[Busy])
        def busy(path):
            if tick(path) < 3:
                raise Busy
            return "free"

        assert rustray.get(busy.remote(tmp_path / "runs")) == "free"

    def test_big_results_are_published_once_whatever_happens(self, tmp_path):
        @rustray.remote
        def late_death(path):
            run = tick(path)
            if run == 1:
                threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGKILL)).start()
                time.sleep(10)  # until it is killed
            return np.full(BIG, run)

        refs = [late_death.remote(tmp_path / f"runs-{n}") for n in range(3)]
        assert [int(rustray.get(ref)[0]) for ref in refs] == [2, 2, 2]
