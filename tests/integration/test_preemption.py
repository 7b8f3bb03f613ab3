"""Quick work passes long work: workers are suspended and go on later, with nothing lost."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator

import psutil
import pytest

import rustray
from rustray import errors
from tests.support import Gate, eventually, start_program

LONG_S = 60.0
SOON_S = 20.0
"""Far less than a long task takes, and far more than a quick one waits on a busy machine."""


@pytest.fixture
def one_cpu() -> Iterator[None]:
    rustray.init(num_cpus=1)
    yield
    rustray.shutdown()


@pytest.fixture
def two_cpus() -> Iterator[None]:
    rustray.init(num_cpus=2)
    yield
    rustray.shutdown()


@rustray.remote
def quick(value):
    return value


@rustray.remote
def nap(seconds):
    time.sleep(seconds)


@rustray.remote
def sleep_long():
    time.sleep(LONG_S)


@rustray.remote
def compute(seconds):
    """Compute for so many seconds of its own time; returns how long that took by the clock, and its pid."""
    start, end = time.monotonic(), time.process_time() + seconds
    while time.process_time() < end:
        pass
    return time.monotonic() - start, os.getpid()


@rustray.remote(max_retries=0)
def announce(path, seconds):
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return "finished"


def begin(task, path, seconds=LONG_S, **options):
    """Start a long task and wait until it runs; its ref and process."""
    ref = task.options(**options).remote(str(path), seconds)
    pid = int(eventually(lambda: path.exists() and path.read_text()))
    return ref, psutil.Process(pid)


def test_a_quick_task_does_not_wait_for_a_long_one(one_cpu, tmp_path):
    long, process = begin(announce, tmp_path / "pid")
    started = time.monotonic()
    for value in range(5):
        assert rustray.get(quick.remote(value), timeout=SOON_S) == value
    assert time.monotonic() - started < SOON_S
    # It was suspended, not killed, and goes on.
    eventually(lambda: process.status() != psutil.STATUS_STOPPED)
    before = process.cpu_times().user
    eventually(lambda: process.cpu_times().user > before + 0.2)
    rustray.cancel(long)
    with pytest.raises(errors.TaskCancelledError):
        rustray.get(long, timeout=SOON_S)


def test_a_stream_that_uses_less_than_its_share_passes_for_as_long_as_it_goes_on(two_cpus):
    """Two fifths of one of two slots: more than what brings a class down, were it not weighed against its share."""
    long = [sleep_long.remote() for _ in range(4)]
    begun, waits = time.monotonic(), []
    while (now := time.monotonic()) < begun + 8.0:
        rustray.get(nap.remote(0.04), timeout=SOON_S)
        waits.append((now - begun, time.monotonic() - now))
        time.sleep(0.06)
    last = [wait for at, wait in waits if at > 6.5]
    assert last and statistics.median(last) < 0.5, f"{waits}"  # a slice is two seconds long
    del long


def test_what_was_suspended_finishes_with_its_result(one_cpu, tmp_path):
    long, _process = begin(announce, tmp_path / "pid", 2.0)
    for value in range(20):
        rustray.get(quick.remote(value), timeout=SOON_S)
    assert rustray.get(long, timeout=30) == "finished"


def test_who_does_not_want_to_be_suspended_is_not(one_cpu, tmp_path):
    long, process = begin(announce, tmp_path / "pid", 3.0, preemptible=False)
    waiting = quick.remote(1)
    stopped = False
    while not rustray.wait([waiting], timeout=0.02)[0]:
        stopped = stopped or process.is_running() and process.status() == psutil.STATUS_STOPPED
    assert not stopped
    assert rustray.get(long, timeout=SOON_S) == "finished"


def test_a_suspended_task_can_be_cancelled(one_cpu, tmp_path):
    long, process = begin(announce, tmp_path / "pid")
    gate = Gate(tmp_path / "gate")

    @rustray.remote(priority=5)
    def urgent():
        gate.wait()
        return "done"

    ref = urgent.remote()
    eventually(lambda: process.status() == psutil.STATUS_STOPPED, timeout=SOON_S)
    rustray.cancel(long)
    with pytest.raises(errors.TaskCancelledError):
        rustray.get(long, timeout=SOON_S)
    gate.open()
    assert rustray.get(ref, timeout=SOON_S) == "done"


def test_a_session_that_ends_takes_its_suspended_tasks_along(one_cpu, tmp_path):
    _long, process = begin(announce, tmp_path / "pid")

    @rustray.remote(priority=5)
    def urgent():
        time.sleep(LONG_S)  # until the session ends

    _ref = urgent.remote()
    eventually(lambda: process.status() == psutil.STATUS_STOPPED, timeout=SOON_S)
    rustray.shutdown()
    eventually(lambda: not process.is_running(), timeout=SOON_S)


def test_a_second_driver_is_not_kept_waiting_by_the_first(tmp_path):
    from rustray.testing import Cluster

    with Cluster(heads=1, nodes=1, num_cpus=1) as cluster:
        first = start_program(
            """
            import sys, time, rustray
            rustray.init(sys.argv[1])

            @rustray.remote
            def compute(path):
                open(path, "w").close()
                end = time.process_time() + 60
                while time.process_time() < end:
                    pass

            refs = [compute.remote(sys.argv[2]) for _ in range(10)]
            rustray.get(refs)
            """,
            cluster.address,
            str(tmp_path / "running"),
        )
        try:
            eventually(lambda: (tmp_path / "running").exists())
            rustray.init(cluster.address)
            # Long tasks of the same kind: as urgent as those of the other, so they share.
            took, _pid = rustray.get(compute.remote(1.0), timeout=30)
            assert took < 30
            rustray.shutdown()
        finally:
            first.kill()
            first.communicate()


def test_actors_are_not_suspended(one_cpu):
    @rustray.remote(num_cpus=1)
    class Busy:
        def pid(self):
            return os.getpid()

        def work(self, seconds):
            end = time.process_time() + seconds
            while time.process_time() < end:
                pass
            return True

    busy = Busy.remote()
    process = psutil.Process(rustray.get(busy.pid.remote()))
    work = busy.work.remote(1.5)
    waiting = quick.remote(1)
    while not rustray.wait([work], timeout=0.05)[0]:
        assert process.status() != psutil.STATUS_STOPPED
    rustray.kill(busy)
    assert rustray.get(waiting, timeout=SOON_S) == 1
