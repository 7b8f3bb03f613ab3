"""Sessions with real processes: their begin and end, forks, threads, asyncio, other drivers, and processes that die."""

from __future__ import annotations

import asyncio
import concurrent.futures
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

import rustray
from rustray.driver import registry
from rustray.driver.current import current
from rustray.errors import ClusterStartError
from rustray.exceptions import SessionError
from tests.support import eventually, lives, run_program, start_program


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    context = rustray.init(num_cpus=2, num_gpus=2, object_store_memory=128 << 20, ignore_reinit_error=True)
    yield context["session_dir"]
    rustray.shutdown()


@rustray.remote
def double(x):
    return x * 2


class TestInit:
    def test_twice(self, cluster):
        with pytest.raises(SessionError, match="already"):
            rustray.init()
        assert rustray.init(ignore_reinit_error=True)["session_dir"] == cluster
        assert rustray.is_initialized()

    def test_again_after_shutdown_and_shutdown_twice(self, tmp_path):
        output = run_program(
            """
            import rustray

            @rustray.remote
            def f(x):
                return x

            for number in range(2):
                rustray.init(num_cpus=1)
                assert rustray.get(f.remote(number)) == number
                ref = f.remote("old")
                rustray.shutdown()
                rustray.shutdown()
                assert not rustray.is_initialized()
            for call in (lambda: rustray.get(ref), lambda: rustray.wait([ref]), lambda: rustray.cancel(ref),
                         lambda: rustray.nodes()):
                try:
                    call()
                except rustray.exceptions.SessionError as error:
                    print("SessionError")
            rustray.init(num_cpus=1)
            try:
                rustray.get(ref)
            except rustray.exceptions.SessionError as error:
                print("of another session:", error)
            try:
                f.remote(ref)
            except rustray.exceptions.SessionError as error:
                print("as an argument:", error)
            print(rustray.get(f.remote("new")))
            """,
            folder=tmp_path,
        )
        assert output.count("SessionError\n") == 4
        assert "of another session:" in output and "as an argument:" in output and output.endswith("new\n")

    def test_remote_starts_a_cluster_by_itself(self, tmp_path):
        output = run_program(
            """
            import rustray

            @rustray.remote
            def f():
                return "started"

            print(rustray.get(f.remote()), rustray.is_initialized())
            """,
            folder=tmp_path,
        )
        assert output == "started True\n"

    def test_unknown_arguments(self):
        with pytest.raises(rustray.exceptions.OptionError, match="num_cpus"):
            rustray.init(num_cpu=1)

    def test_as_a_context_manager(self, tmp_path):
        output = run_program(
            """
            import rustray
            with rustray.init(num_cpus=1) as context:
                print(rustray.is_initialized(), context["namespace"] != "")
            print(rustray.is_initialized())
            """,
            folder=tmp_path,
        )
        assert output == "True True\nFalse\n"


class TestFork:
    def test_the_child_is_told_and_the_parent_goes_on(self, cluster):
        ref = double.remote(4)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            told = []
            for call in (
                lambda: rustray.get(ref),
                lambda: double.remote(1),
                lambda: rustray.put(1),
                ref.future,
            ):
                try:
                    call()
                    told.append("no error")
                except SessionError as error:
                    told.append("fork" if "fork" in str(error) else str(error))
                except BaseException as error:
                    told.append(repr(error))
            rustray.shutdown()
            os.write(writer, ";".join(told).encode())
            os._exit(0)
        os.close(writer)
        assert os.read(reader, 10_000).decode() == "fork;fork;fork;fork"
        os.waitpid(pid, 0)
        os.close(reader)
        assert rustray.get(ref) == 8 and os.path.exists(cluster)
        assert rustray.get([double.remote(n) for n in range(100)])[-1] == 198

    def test_a_pool_of_forked_processes_alongside(self, cluster):
        refs = [double.remote(n) for n in range(200)]
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map(abs, range(-50, 0)) == list(range(50, 0, -1))
        assert rustray.get(refs) == [2 * n for n in range(200)]

    def test_init_in_the_child(self, tmp_path):
        output = run_program(
            """
            import os, rustray
            rustray.init(num_cpus=1)

            @rustray.remote
            def f(x):
                return x

            assert rustray.get(f.remote(1)) == 1
            if os.fork() == 0:
                rustray.init(num_cpus=1)
                print("child", rustray.get(f.remote(2)), flush=True)
                rustray.shutdown()
                os._exit(0)
            os.wait()
            print("parent", rustray.get(f.remote(3)))
            """,
            folder=tmp_path,
        )
        assert output == "child 2\nparent 3\n"


class TestThreads:
    def test_twenty_that_submit_and_get(self, cluster):
        def work(number):
            total = 0
            for step in range(50):
                total += rustray.get(double.remote(rustray.put(number + step)))
                if step % 10 == 0:
                    rustray.wait([double.remote(n) for n in range(5)], num_returns=5)
                    total += int(rustray.get(rustray.put(np.ones(30_000)))[0]) - 1
            return total

        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            totals = list(pool.map(work, range(20)))
        assert totals == [sum(2 * (number + step) for step in range(50)) for number in range(20)]

    def test_that_wait_for_the_same_object(self, cluster):
        @rustray.remote
        def slow(x):
            time.sleep(0.3)
            return x

        for _again in range(3):
            ref = slow.remote("value")
            with concurrent.futures.ThreadPoolExecutor(16) as pool:
                assert (
                    list(pool.map(lambda _n, ref=ref: rustray.get(ref, timeout=20), range(16)))
                    == ["value"] * 16
                )


class TestAsyncio:
    def test_await_and_gather(self, cluster):
        async def main():
            assert await double.remote(2) == 4
            with pytest.raises(TypeError):
                await double.remote(None)
            return await asyncio.gather(*(double.remote(n) for n in range(1000)))

        assert asyncio.run(main()) == [2 * n for n in range(1000)]

    def test_wait_for_with_a_timeout(self, cluster):
        @rustray.remote
        def slow():
            time.sleep(0.5)
            return "late"

        async def main():
            ref = slow.remote()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(ref, 0.05)
            return await ref

        assert asyncio.run(main()) == "late"

    def test_big_values_and_streams(self, cluster):
        @rustray.remote
        def arrays():
            for number in range(3):
                yield np.full(50_000, number)

        async def main():
            return [int((await ref)[0]) async for ref in arrays.remote()]

        assert asyncio.run(main()) == [0, 1, 2]

    def test_concurrent_futures(self, cluster):
        futures = [double.remote(n).future() for n in range(100)]
        done = [future.result() for future in concurrent.futures.as_completed(futures, timeout=20)]
        assert sorted(done) == [2 * n for n in range(100)]
        with pytest.raises(TypeError):
            double.remote(None).future().result(timeout=20)

    def test_callbacks_may_wait_themselves(self, cluster):
        got: list[int] = []
        finished = threading.Event()

        def on_done(future):
            got.append(rustray.get(double.remote(future.result())))
            finished.set()

        double.remote(1).future().add_done_callback(on_done)
        assert finished.wait(20) and got == [4]

    def test_callbacks_may_wait_for_other_futures(self, cluster):
        got: list[int] = []
        finished = threading.Event()

        def on_done(future):
            got.append(double.remote(future.result()).future().result(timeout=20))
            finished.set()

        double.remote(1).future().add_done_callback(on_done)
        assert finished.wait(30) and got == [4]

    def test_one_that_is_pending_when_the_interpreter_exits(self, tmp_path):
        code = """
            import time, rustray
            rustray.init(num_cpus=1)

            @rustray.remote
            def slow():
                time.sleep(30)

            future = slow.remote().future()
            future.add_done_callback(lambda future: print("cancelled:", future.cancelled()))
            """
        assert run_program(code, folder=tmp_path) == "cancelled: True\n"

    def test_a_big_value_that_was_moved_does_not_block_the_loop(self, cluster):
        ref = rustray.put(np.zeros(1 << 20))
        eventually(lambda: not ref._entry.reading)

        async def read():
            return len(await ref)

        assert asyncio.run(asyncio.wait_for(read(), 20)) == 1 << 20


OTHER_DRIVER = """
    import os, sys, time, rustray
    rustray.init(address=sys.argv[1])

    @rustray.remote
    def who():
        return os.getpid()

    @rustray.remote
    class Held:
        def pid(self):
            return os.getpid()

    held = Held.options(num_cpus=0).remote()
    print(os.getpid(), rustray.get(who.remote()), rustray.get(held.pid.remote()), flush=True)
    big = rustray.put(bytes(1 << 20))
    print("ready", flush=True)
    if sys.argv[2] == "stay":
        @rustray.remote
        def long():
            time.sleep(1000)
        ref = long.remote()
        time.sleep(1000)
"""


class TestOtherDrivers:
    def test_they_are_apart(self, cluster, tmp_path):
        @rustray.remote
        def pid():
            return os.getpid()

        mine = rustray.get(pid.remote())
        output = run_program(OTHER_DRIVER, cluster, "go", folder=tmp_path)
        _driver, worker, actor = map(int, output.splitlines()[0].split())
        assert worker != mine and actor != mine
        eventually(lambda: not lives(worker) and not lives(actor))
        assert lives(mine) and rustray.get(pid.remote()) and os.path.exists(cluster)

    def test_one_that_is_killed_takes_all_that_is_its_own(self, cluster, tmp_path):
        used = current().requests.query("store")["used"]
        process = start_program(OTHER_DRIVER, cluster, "stay", folder=tmp_path)
        assert process.stdout is not None
        driver, worker, actor = map(int, process.stdout.readline().split())
        assert process.stdout.readline() == "ready\n"
        process.kill()
        process.wait()
        process.stdout.close()
        eventually(lambda: not lives(worker) and not lives(actor), timeout=5)
        eventually(lambda: current().requests.query("store")["used"] <= used, timeout=5)
        assert rustray.get([double.remote(n) for n in range(10)])[-1] == 18

    def test_resources_are_those_of_the_cluster(self, cluster, tmp_path):
        output = run_program(
            """
            import sys, rustray
            try:
                rustray.init(address=sys.argv[1], num_cpus=3)
            except rustray.exceptions.OptionError as error:
                print(error)
            try:
                rustray.init(address="/nowhere")
            except rustray.exceptions.ClusterStartError as error:
                print(error)
            """,
            cluster,
            folder=tmp_path,
        )
        assert "has its own" in output and "No cluster of yours" in output


OWN_CLUSTER = """
    import os, subprocess, sys, time
    import numpy as np, rustray
    context = rustray.init(num_cpus=2)

    @rustray.remote
    def start():
        return os.getpid(), subprocess.Popen(["sleep", "600"]).pid

    @rustray.remote
    def busy():
        time.sleep(600)

    @rustray.remote(num_cpus=0)
    class Actor:
        def pid(self):
            return os.getpid()

    actor = Actor.remote()
    big = rustray.put(np.ones(1 << 20))
    worker, child = rustray.get(start.remote())
    from rustray.driver.current import current
    from rustray.driver import api
    print(api._server.process.pid, worker, child, rustray.get(actor.pid.remote()), context["session_dir"], flush=True)
    try:
        rustray.get(busy.remote())
    except BaseException as error:
        print(type(error).__name__, error, flush=True)
    rustray.shutdown()
    print("shut down", flush=True)
"""


class TestDeath:
    @pytest.fixture
    def program(self, tmp_path):
        process = start_program(OWN_CLUSTER, folder=tmp_path)
        assert process.stdout is not None
        *pids, folder = process.stdout.readline().split()
        self.pids = [int(pid) for pid in pids]
        self.pids += [child.pid for child in psutil.Process(self.pids[0]).children(recursive=True)]
        self.folder = Path(folder)
        yield process
        process.kill()
        process.wait()
        process.stdout.close()

    def all_gone(self):
        eventually(lambda: not [pid for pid in self.pids if lives(pid)], timeout=10)

    def test_of_the_driver(self, program):
        program.kill()
        program.wait()
        self.all_gone()
        eventually(lambda: not self.folder.exists())

    def test_of_the_server(self, program):
        os.kill(self.pids[0], signal.SIGKILL)
        output = program.stdout.read()
        assert "SessionError The connection to the cluster was lost" in output and "shut down" in output
        self.all_gone()
        assert not self.folder.exists()

    def test_of_the_zygote(self, program):
        zygote = psutil.Process(self.pids[0]).children()[0]
        zygote.kill()
        assert "SessionError" in program.stdout.read()
        self.all_gone()

    def test_interrupted_driver(self, program):
        eventually(lambda: psutil.Process(program.pid).status() == psutil.STATUS_SLEEPING)
        program.send_signal(signal.SIGINT)
        output = program.stdout.read()
        assert "KeyboardInterrupt" in output and "shut down" in output
        self.all_gone()
        assert not self.folder.exists()

    def test_terminated_server(self, program):
        os.kill(self.pids[0], signal.SIGTERM)
        assert "SessionError" in program.stdout.read()
        self.all_gone()


class TestWhatWorkersSee:
    def test_the_drivers_place(self, tmp_path):
        (tmp_path / "beside_the_script.py").write_text("def value():\n    return 'beside'\n")
        output = run_program(
            """
            import os, sys, rustray
            import beside_the_script

            os.environ["MINE"] = "set by the driver"
            sys.path.append("/only/here")

            class Here:
                shared = "by value"

            @rustray.remote
            def f():
                import beside_the_script as again
                return (os.getcwd(), os.environ["MINE"], "/only/here" in sys.path, again.value(),
                        beside_the_script.value(), Here)

            if __name__ == "__main__":
                rustray.init(num_cpus=1)
                *rest, cls = rustray.get(f.remote())
                print(*rest, cls is Here, cls.shared)
            """,
            folder=tmp_path,
        )
        assert output.split(None, 1)[0] == str(tmp_path)
        assert output.split(None, 1)[1] == "set by the driver True beside beside True by value\n"

    def test_gpus(self, cluster):
        @rustray.remote(num_gpus=1)
        def gpu():
            time.sleep(0.2)
            return os.environ["CUDA_VISIBLE_DEVICES"], rustray.get_gpu_ids()

        @rustray.remote
        def none():
            return os.environ["CUDA_VISIBLE_DEVICES"]

        one, two = rustray.get([gpu.remote(), gpu.remote()])
        assert {one[0], two[0]} == {"0", "1"} and one[1] == [int(one[0])]
        assert rustray.get(gpu.options(num_gpus=2).remote())[0] == "0,1"
        assert rustray.get(none.remote()) == ""

    def test_runtime_env_of_a_task(self, cluster, tmp_path):
        (tmp_path / "work").mkdir()
        (tmp_path / "work" / "data.txt").write_text("data")
        (tmp_path / "sent").mkdir()
        (tmp_path / "sent" / "__init__.py").write_text("name = 'sent'\n")

        @rustray.remote
        def look():
            import importlib.util

            name = None
            if importlib.util.find_spec("sent"):
                import sent

                name = sent.name
            return os.environ.get("FLAVOUR"), Path("data.txt").exists(), name, os.getpid()

        env = {
            "env_vars": {"FLAVOUR": "plum"},
            "working_dir": str(tmp_path / "work"),
            "py_modules": [str(tmp_path / "sent")],
        }
        plain = rustray.get(look.remote())
        special = rustray.get(look.options(runtime_env=env).remote())
        assert plain[:3] == (None, False, None)
        assert special[:3] == ("plum", True, "sent")
        assert plain[3] != special[3]
        assert rustray.get(look.options(runtime_env={"env_vars": {"FLAVOUR": "fig"}}).remote())[0] == "fig"

    def test_runtime_env_of_the_job(self, tmp_path):
        (tmp_path / "helper.py").write_text("value = 'from the module'\n")
        output = run_program(
            """
            import os, rustray
            rustray.init(num_cpus=1, runtime_env={"env_vars": {"A": "1", "B": "1"}, "py_modules": ["helper.py"]})

            @rustray.remote
            def f():
                import helper
                return os.environ["A"], os.environ["B"], helper.value

            print(rustray.get(f.remote()))
            print(rustray.get(f.options(runtime_env={"env_vars": {"B": "2"}}).remote()))
            """,
            folder=tmp_path,
        )
        assert output == "('1', '1', 'from the module')\n('1', '2', 'from the module')\n"


def test_a_file_with_the_name_of_a_standard_module(tmp_path):
    (tmp_path / "asyncio.py").write_text("mine = True\n")  # which the server needs and a driver does not
    output = run_program(
        """
        import asyncio, rustray
        rustray.init(num_cpus=1)

        @rustray.remote
        def f():
            import asyncio
            return asyncio.mine

        print(asyncio.mine, rustray.get(f.remote()), rustray.util.ActorPool.__name__)
        """,
        folder=tmp_path,
    )
    assert output == "True True ActorPool\n"


def test_a_runtime_folder_that_is_a_link(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.setenv("RUSTRAY_RUNTIME_DIR", str(tmp_path / "link"))
    with pytest.raises(ClusterStartError, match="not a link"):
        registry.runtime_folder()


class TestPrinting:
    def test_lines_are_there_before_the_result(self, tmp_path):
        output = run_program(
            """
            import sys, rustray
            rustray.init(num_cpus=1)

            @rustray.remote
            def inner():
                print("from inside")

            @rustray.remote
            def speak(n):
                print("line", n)
                print("error line", file=sys.stderr)
                print("unfinished", end="")
                if n == 1:
                    rustray.get(inner.remote())

            for n in range(3):
                rustray.get(speak.remote(n))
                print("got", n)
            """,
            folder=tmp_path,
        )
        lines = output.splitlines()
        for n in range(3):
            at = lines.index(f"got {n}")
            since = lines[lines.index(f"got {n - 1}") + 1 if n else 0 : at]
            assert any(line.startswith("(speak pid=") and line.endswith(f") line {n}") for line in since), (
                output
            )
            assert any(line.endswith(") error line") for line in since)
            assert any(line.endswith(") unfinished") for line in since)
        assert "from inside" in output

    def test_a_closed_output_ends_no_session(self, tmp_path):
        output = run_program(
            """
            import os, sys, time, rustray
            rustray.init(num_cpus=1)

            @rustray.remote
            def speak():
                print("into nothing")
                return 1

            reader, writer = os.pipe()
            os.close(reader)
            sys.stdout = os.fdopen(writer, "w", 1)
            for _ in range(2):
                assert rustray.get([speak.remote(), speak.remote()], timeout=20) == [1, 1]
            sys.stdout = sys.__stdout__
            print("goes on")
            """,
            folder=tmp_path,
        )
        assert output.count("shown no more") == 1 and "goes on" in output

    def test_not_if_not_wanted(self, tmp_path):
        output = run_program(
            """
            import rustray
            rustray.init(num_cpus=1, log_to_driver=False)

            @rustray.remote
            def speak():
                print("not to be seen")

            rustray.get(speak.remote())
            """,
            folder=tmp_path,
        )
        assert output == ""


def test_nothing_heavy_is_imported_and_nothing_is_left(tmp_path):
    output = run_program(
        """
        import sys, rustray
        rustray.init(num_cpus=1)

        @rustray.remote
        def f():
            return [name for name in ("grpc", "asyncio", "numpy", "psutil") if name in sys.modules]

        print(rustray.get(f.remote()))
        print([name for name in ("grpc", "asyncio", "numpy", "psutil") if name in sys.modules])
        """,
        folder=tmp_path,
    )
    assert output == "[]\n[]\n"


def test_no_session_folder_is_left(tmp_path):
    script = tmp_path / "short.py"
    script.write_text("import rustray\nrustray.init(num_cpus=1)\n")
    with tempfile.TemporaryDirectory(prefix="rr-") as folder:  # short, for the path of a socket in it
        subprocess.run(
            [sys.executable, str(script)],
            env={**os.environ, "RUSTRAY_RUNTIME_DIR": folder, "PYTHONPATH": os.getcwd()},
            check=True,
            timeout=30,
        )
        assert not os.listdir(folder)
