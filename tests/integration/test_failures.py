"""Bad input and trouble: every failure is a typed error, and the cluster goes on."""

from __future__ import annotations

import ctypes
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import psutil
import pytest

import rustray
from rustray import exceptions as errors
from rustray.driver.current import current
from tests.support import eventually, lives, run_program, threads_in_get

CPUS = 2


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    rustray.init(num_cpus=CPUS, object_store_memory=128 << 20)
    yield
    rustray.shutdown()


@pytest.fixture(autouse=True)
def others_go_on(cluster):
    yield

    @rustray.remote
    def alive():
        return "alive"

    assert rustray.get(alive.remote(), timeout=20) == "alive"


class TestUnpicklable:
    def test_argument(self):
        @rustray.remote
        def f(config):
            return config

        with pytest.raises(errors.SerializationError, match=r"'config'.*\['db'\]\['lock'\]"):
            f.remote({"db": {"lock": threading.Lock()}})
        with pytest.raises(TypeError, match="config"):
            f.remote(config=threading.Lock())

    def test_value_of_put(self):
        with pytest.raises(errors.SerializationError, match=r"\[1\]"):
            rustray.put([1, threading.Lock()])

    def test_result(self):
        @rustray.remote(max_retries=0)
        def f():
            return {"lock": threading.Lock()}

        with pytest.raises(errors.SerializationError, match=r"result of .*f\(\).*\['lock'\]"):
            rustray.get(f.remote())

    def test_one_result_of_many(self):
        @rustray.remote(num_returns=2)
        def f():
            return np.ones(100_000), threading.Lock()

        for ref in f.remote():
            with pytest.raises(errors.SerializationError):
                rustray.get(ref)

    def test_value_of_a_stream(self):
        @rustray.remote
        def f():
            yield 1
            yield threading.Lock()

        stream = f.remote()
        assert rustray.get(next(stream)) == 1
        with pytest.raises(errors.SerializationError):
            rustray.get(next(stream))

    def test_the_function_itself(self):
        lock = threading.Lock()

        @rustray.remote
        def f():
            return lock

        with pytest.raises(errors.SerializationError, match="lock"):
            f.remote()

    def test_what_only_the_worker_cannot_read(self):
        class Odd:
            def __reduce__(self):
                return int, ("not a number",)

        @rustray.remote
        def f(value):
            return value

        with pytest.raises(errors.DeserializationError, match="not a number"):
            rustray.get(f.remote(Odd()))


class TestExceptions:
    def test_of_the_users_type_with_the_remote_traceback(self):
        class Broken(Exception):
            def __init__(self, code, *, hint):
                super().__init__(code)
                self.hint = hint

        @rustray.remote
        def inner_function():
            raise Broken(42, hint="glue")

        with pytest.raises(Broken) as caught:
            rustray.get(inner_function.remote())
        assert isinstance(caught.value, errors.TaskError)
        assert caught.value.args == (42,) and caught.value.hint == "glue"
        assert "in inner_function" in str(caught.value) and "Broken" in str(caught.value)
        assert "rustray/worker" not in str(caught.value)

    def test_through_several_tasks(self):
        @rustray.remote
        def inner():
            raise LookupError("at the bottom")

        @rustray.remote
        def outer():
            return rustray.get(inner.remote())

        with pytest.raises(LookupError) as caught:
            rustray.get(outer.remote())
        assert "at the bottom" in str(caught.value) and "outer" in str(caught.value)

    def test_that_do_not_pickle(self):
        class Stubborn(Exception):
            def __init__(self):
                super().__init__("stubborn text")
                self.lock = threading.Lock()

        @rustray.remote
        def f():
            raise Stubborn

        with pytest.raises(errors.TaskError, match="stubborn text"):
            rustray.get(f.remote())

    def test_stop_iteration(self):
        @rustray.remote
        def f():
            raise StopIteration("not for you")

        with pytest.raises(errors.TaskError, match="not for you"):
            rustray.get(f.remote())

    def test_each_get_raises_again(self):
        @rustray.remote
        def f():
            return 1 / 0

        ref = f.remote()
        for _again in range(2):
            with pytest.raises(ZeroDivisionError):
                rustray.get(ref)

    def test_in_a_list_of_refs(self):
        @rustray.remote
        def f(x):
            return 1 // x

        with pytest.raises(ZeroDivisionError):
            rustray.get([f.remote(1), f.remote(0), f.remote(1)])


class TestProcessesThatEnd:
    def test_sys_exit(self):
        @rustray.remote
        def f():
            sys.exit(3)

        with pytest.raises(errors.WorkerExitedError, match=r"sys.exit\(3\)"):
            rustray.get(f.remote())

    def test_os_exit(self):
        @rustray.remote(max_retries=0)
        def f():
            os._exit(7)

        with pytest.raises(errors.WorkerExitedError, match="status 7"):
            rustray.get(f.remote())

    def test_segfault(self):
        @rustray.remote(max_retries=0)
        def f():
            ctypes.string_at(8)

        with pytest.raises(errors.WorkerCrashedError, match="SIGSEGV"):
            rustray.get(f.remote())

    def test_recursion(self):
        @rustray.remote
        def f(n):
            def down(n):
                return down(n + 1)

            return down(n)

        with pytest.raises(RecursionError):
            rustray.get(f.remote(0))

    def test_stack_overflow(self):
        @rustray.remote(max_retries=0)
        def f():
            sys.setrecursionlimit(10**9)
            value = []
            for _ in range(3_000_000):
                value = [value]
            repr(value)  # C calling C

        with pytest.raises((errors.WorkerCrashedError, RecursionError)):
            rustray.get(f.remote())

    def test_tasks_behind_it_are_run_elsewhere(self):
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

    def test_what_a_task_started_goes_with_its_worker(self, tmp_path):
        @rustray.remote(max_retries=0)
        def f(path):
            path.write_text(str(subprocess.Popen(["sleep", "300"]).pid))
            sys.exit()

        with pytest.raises(errors.WorkerExitedError):
            rustray.get(f.remote(tmp_path / "pid"))
        child = int((tmp_path / "pid").read_text())
        eventually(lambda: not lives(child))

    def test_a_process_that_has_left_the_worker_keeps_nobody_waiting(self):
        @rustray.remote(max_retries=0)
        def f():
            if os.fork() == 0:
                os.setsid()
                os.closerange(0, 3)
                time.sleep(3)  # longer than the driver waits
                os._exit(0)
            os.kill(os.getpid(), signal.SIGKILL)

        with pytest.raises(errors.WorkerCrashedError, match="SIGKILL"):
            rustray.get(f.remote(), timeout=2)


class TestWhatATaskLeavesBehind:
    def test_a_thread_that_waits_does_not_block_the_worker(self, tmp_path):
        @rustray.remote
        class Never:
            async def end(self):
                import asyncio

                await asyncio.sleep(1000)

        @rustray.remote
        def leave(refs):
            threading.Thread(target=lambda: rustray.get(refs[0]), daemon=True).start()
            eventually(threads_in_get)
            return os.getpid()

        @rustray.remote
        def pid():
            time.sleep(0.01)  # so that one worker does not run all
            return os.getpid()

        never = Never.remote()
        left = rustray.get([leave.remote([never.end.remote()]) for _ in range(CPUS)], timeout=10)
        assert set(left) & set(rustray.get([pid.remote() for _ in range(20)], timeout=10))
        del never

    @pytest.mark.parametrize("end", ["return", "raise", "yield"])
    def test_a_forked_child_answers_nobody(self, tmp_path, end):
        def work(path):
            child = os.fork()
            if not child:
                path.write_text(str(os.getpid()))
                if end == "raise":
                    raise ValueError("in the child")
            if end != "yield":
                return [os.waitpid(child, 0)[1], 1] if child else ["child"]
            return iter([os.waitpid(child, 0)[1], 1] if child else ["child"])

        f = rustray.remote(max_retries=0, num_returns="streaming" if end == "yield" else 1)(work)
        path = tmp_path / "child"
        if end == "yield":
            found = [rustray.get(ref, timeout=10) for ref in f.remote(path)]
        else:
            found = rustray.get(f.remote(path), timeout=10)
        assert found == [256 if end == "raise" else 0, 1]
        assert not lives(int(path.read_text()))


class TestInfeasible:
    def test_said_at_once_with_what_is_missing_and_what_there_is(self):
        @rustray.remote(num_cpus=64)
        def f():
            pass

        with pytest.raises(errors.InfeasibleError, match=r"Missing: 62 CPU; the closest node has 2 CPU"):
            rustray.get(f.remote(), timeout=10)

    def test_custom_resources(self):
        @rustray.remote(resources={"tape": 1})
        def f():
            pass

        with pytest.raises(errors.InfeasibleError, match="tape"):
            rustray.get(f.remote(), timeout=10)
        with pytest.raises(errors.InfeasibleError, match="tape"):
            rustray.get(f.remote(), timeout=10)

    def test_gpus(self):
        @rustray.remote
        def f():
            pass

        with pytest.raises(errors.InfeasibleError, match="GPU"):
            rustray.get(f.options(num_gpus=1).remote(), timeout=10)


def test_a_coroutine_function_is_refused():
    with pytest.raises(ValueError, match="asyncio.run"):

        @rustray.remote
        async def f():
            pass


def test_a_request_that_the_node_cannot_handle_is_refused_and_the_session_goes_on():
    @rustray.remote
    def f():
        return 1

    @rustray.remote
    class Counter:
        def get(self):
            return 1

    # Past the check of options, as another version's client might be.
    f_bad, unnamed, named = f.options(), Counter.options(), Counter.options(name="refused")
    for bad in (f_bad, unnamed, named):
        bad._options = dataclasses.replace(bad._options, num_gpus=1.5)
    for _again in range(2):
        with pytest.raises(errors.InfeasibleError, match="whole number"):
            rustray.get(f_bad.remote(), timeout=20)
    with pytest.raises(errors.ActorDiedError, match="whole number"):
        rustray.get(unnamed.remote().get.remote(), timeout=20)
    with pytest.raises(errors.SessionError, match="whole number"):
        named.remote()
    with pytest.raises(errors.SessionError, match="cannot handle"):
        current().requests.query("store", "no", "arguments")
    assert rustray.get(Counter.options(name="refused").remote().get.remote(), timeout=20) == 1


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
    assert rustray.get(f.remote()) == folder


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
