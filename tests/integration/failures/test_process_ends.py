"""Workers that end under their task: by themselves, by a signal, for want of memory or of their folder."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys

import psutil
import pytest

import rustray
from rustray import exceptions as errors
from tests.support import Gate, eventually, lives, run_program


def test_sys_exit():
    @rustray.remote
    def f():
        sys.exit(3)

    with pytest.raises(errors.WorkerExitedError, match=r"sys.exit\(3\)"):
        rustray.get(f.remote())


def test_os_exit():
    @rustray.remote(max_retries=0)
    def f():
        os._exit(7)

    with pytest.raises(errors.WorkerExitedError, match="status 7"):
        rustray.get(f.remote())


def test_segfault():
    @rustray.remote(max_retries=0)
    def f():
        ctypes.string_at(8)

    with pytest.raises(errors.WorkerCrashedError, match="SIGSEGV"):
        rustray.get(f.remote())


def test_recursion():
    @rustray.remote
    def f(n):
        def down(n):
            return down(n + 1)

        return down(n)

    with pytest.raises(RecursionError):
        rustray.get(f.remote(0))


def test_stack_overflow():
    @rustray.remote(max_retries=0)
    def f():
        sys.setrecursionlimit(10**9)
        value = []
        for _ in range(3_000_000):
            value = [value]
        repr(value)  # C calling C

    with pytest.raises((errors.WorkerCrashedError, RecursionError)):
        rustray.get(f.remote())


def test_tasks_behind_it_are_run_elsewhere():
    @rustray.remote(max_retries=0)
    def f(n):
        if n == 10:
            sys.exit()
        return n

    refs = [f.remote(n) for n in range(200)]
    for n, ref in enumerate(refs):
        if n == 10:
            with pytest.raises(errors.WorkerExitedError):
                rustray.get(ref)
        else:
            assert rustray.get(ref) == n


def test_what_a_task_started_goes_with_its_worker(tmp_path):
    @rustray.remote(max_retries=0)
    def f(path):
        path.write_text(str(subprocess.Popen(["sleep", "300"]).pid))
        sys.exit()

    with pytest.raises(errors.WorkerExitedError):
        rustray.get(f.remote(tmp_path / "pid"))
    child = int((tmp_path / "pid").read_text())
    eventually(lambda: not lives(child))


def test_a_process_that_has_left_the_worker_keeps_nobody_waiting(tmp_path):
    gate = Gate(tmp_path / "gate")

    @rustray.remote(max_retries=0)
    def f():
        if os.fork() == 0:
            os.setsid()
            os.closerange(0, 3)
            gate.wait()
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(errors.WorkerCrashedError, match="SIGKILL"):
        rustray.get(f.remote(), timeout=30)
    gate.open()


def test_a_runtime_environment_that_is_gone(tmp_path):
    (tmp_path / "work").mkdir()

    @rustray.remote(runtime_env={"working_dir": str(tmp_path / "work")})
    def f(leave=False):
        if leave:
            sys.exit()
        return os.getcwd()

    folder = rustray.get(f.remote())
    os.rename(folder, folder + ".gone")
    with pytest.raises(errors.WorkerExitedError):
        rustray.get(f.remote(leave=True))
    with pytest.raises(errors.RuntimeEnvSetupError, match="working_dir"):
        rustray.get(f.remote(), timeout=20)
    os.rename(folder + ".gone", folder)

    def where() -> str:
        try:
            return rustray.get(f.remote(), timeout=20)
        except errors.RuntimeEnvSetupError:  # of a second worker, which was already being started meanwhile
            return ""

    assert eventually(where) == folder


def test_out_of_memory(tmp_path):
    used = psutil.virtual_memory()
    if used.available < 3 << 30:
        pytest.skip("not enough memory to fill some of it")
    limit = 1 - (used.available - (1 << 30)) / used.total
    program = """
        import os, sys, time
        os.environ["RUSTRAY_MEMORY_THRESHOLD"] = sys.argv[1]
        import rustray
        rustray.init(num_cpus=2)

        @rustray.remote(max_retries=0)
        def small():
            time.sleep(3)  # it runs while the other one fills the memory
            return "fine"

        @rustray.remote(max_retries=0)
        def greedy():
            held = []
            for _ in range(40):
                held.append(bytearray(os.urandom(1) * (100 << 20)))
                time.sleep(0.05)  # slower than the watch of the memory
            time.sleep(30)  # until it is killed

        ref = small.remote()
        try:
            rustray.get(greedy.remote())
        except rustray.exceptions.OutOfMemoryError as error:
            print("killed:", error)
        print(rustray.get(ref))
    """
    output = run_program(program, str(limit), folder=tmp_path)
    assert "killed:" in output and "memory is full" in output and "fine" in output
