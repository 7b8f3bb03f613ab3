"""One session in forked processes and in many threads."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os

import numpy as np

import rustray
from rustray.exceptions import SessionError
from tests.integration.sessions.functions import double
from tests.support import Gate, eventually, run_program, threads_in_get


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

    def test_that_wait_for_the_same_object(self, cluster, tmp_path):
        @rustray.remote
        def held(gate, x):
            gate.wait()
            return x

        for again in range(3):
            gate = Gate(tmp_path / f"gate-{again}")
            ref = held.remote(gate, "value")
            with concurrent.futures.ThreadPoolExecutor(16) as pool:
                values = pool.map(lambda _n, ref=ref: rustray.get(ref, timeout=20), range(16))
                eventually(lambda: threads_in_get() == 16)
                gate.open()
                assert list(values) == ["value"] * 16
