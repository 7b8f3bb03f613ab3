"""Results awaited with asyncio, and as futures of concurrent.futures."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading

import numpy as np
import pytest

import rustray
from rustray.driver.current import current
from tests.integration.sessions.functions import double
from tests.support import Gate, eventually, run_program


class TestAsyncio:
    def test_await_and_gather(self, cluster):
        async def main():
            assert await double.remote(2) == 4
            with pytest.raises(TypeError):
                await double.remote(None)
            return await asyncio.gather(*(double.remote(n) for n in range(1000)))

        assert asyncio.run(main()) == [2 * n for n in range(1000)]

    def test_wait_for_with_a_timeout(self, cluster, tmp_path):
        gate = Gate(tmp_path / "gate")

        @rustray.remote
        def held():
            gate.wait()
            return "late"

        async def main():
            ref = held.remote()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(ref, 0.05)
            gate.open()
            return await ref

        assert asyncio.run(main()) == "late"

    def test_who_waits_no_more_is_not_kept(self, cluster, tmp_path):
        gate = Gate(tmp_path / "gate")

        @rustray.remote
        def held():
            gate.wait()

        async def main():
            ref = held.remote()
            for _ in range(3):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(ref, 0.001)
            assert not ref._entry.waiters
            gate.open()
            return await ref

        assert asyncio.run(main()) is None

    def test_one_that_is_pending_when_the_session_ends(self, tmp_path):
        code = """
            import asyncio, rustray
            rustray.init(num_cpus=1)

            async def main():
                ref = rustray.put(bytes(1_000_000))
                while ref._entry.reading:  # until the store may move it
                    await asyncio.sleep(0.01)
                waiting = ref.as_future(asyncio.get_running_loop())
                rustray.shutdown()
                try:
                    await asyncio.wait_for(waiting, 20)
                except rustray.exceptions.SessionError as error:
                    print(type(error).__name__)

            asyncio.run(main())
            """
        assert run_program(code, folder=tmp_path) == "SessionError\n"

    @pytest.mark.parametrize("size", [1, 1_000_000])
    def test_what_only_its_await_refers_to_is_kept(self, cluster, tmp_path, size):
        gate = Gate(tmp_path / "gate")

        @rustray.remote
        def held():
            gate.wait()
            return np.ones(size)

        async def value():
            return await held.remote()

        async def main():
            waiting = asyncio.ensure_future(value())
            await asyncio.sleep(0)  # until it awaits: its reference is gone
            current().objects.settle_drops()
            gate.open()
            return await asyncio.wait_for(waiting, 20)

        assert asyncio.run(main()).shape == (size,)

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
                time.sleep(30)  # longer than the interpreter lives

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
