"""Tasks with real processes that yield their results one by one."""

from __future__ import annotations

import asyncio
import os
import signal

import numpy as np
import pytest

import rustray
from rustray.driver.current import current
from tests.integration.tasks.functions import BIG, echo
from tests.support import Gate, eventually, tick, ticks


class TestStreams:
    def test_values_come_while_the_task_runs(self, tmp_path):
        @rustray.remote
        def count(path):
            for number in range(3):
                yield number
                eventually(lambda number=number: ticks(path) > number)

        stream = count.remote(tmp_path / "taken")
        for number, ref in enumerate(stream):
            assert rustray.get(ref) == number
            tick(tmp_path / "taken")
        assert number == 2

    def test_big_values(self):
        @rustray.remote(num_returns="streaming")
        def arrays(n):
            for number in range(n):
                yield np.full(BIG, number, dtype=np.uint8)

        for number, ref in enumerate(arrays.remote(10)):
            assert rustray.get(ref)[-1] == number

    def test_an_exception_midway_comes_after_the_good_values(self):
        @rustray.remote
        def break_off():
            yield 1
            yield 2
            raise ValueError("enough")

        stream = break_off.remote()
        assert [rustray.get(next(stream)), rustray.get(next(stream))] == [1, 2]
        with pytest.raises(ValueError, match="enough"):
            rustray.get(next(stream))
        with pytest.raises(StopIteration):
            next(stream)

    def test_async_iteration(self):
        @rustray.remote
        def letters():
            yield from "abc"

        async def collect():
            return [await ref async for ref in letters.remote()]

        assert asyncio.run(collect()) == ["a", "b", "c"]

    def test_several_that_take_from_one_go_on_to_its_end(self, tmp_path):
        @rustray.remote
        def count(path):
            for number in range(4):
                yield number
                eventually(lambda number=number: ticks(path) > number)

        async def share():
            stream, ends = count.remote(tmp_path / "taken"), []

            async def take():
                async for _ref in stream:
                    tick(tmp_path / "taken")
                ends.append(ticks(tmp_path / "taken"))

            await asyncio.wait_for(asyncio.gather(take(), take(), take()), 30)
            return ends

        assert asyncio.run(share()) == [4, 4, 4]

    def test_who_waits_no_more_is_not_kept(self, tmp_path):
        gate = Gate(tmp_path / "gate")

        @rustray.remote
        def late():
            gate.wait()
            yield 1

        stream = late.remote()

        async def poll():
            for _ in range(3):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(anext(stream), 0.001)
            assert stream._stream._waiters == []
            gate.open()
            return await anext(stream)

        assert rustray.get(asyncio.run(poll())) == 1

    def test_more_values_than_a_task_can_have_results(self):
        @rustray.remote
        def many(n):
            yield from range(n)

        refs = list(many.remote(70_000))
        following = echo.remote("next")  # its id must not be that of a value
        assert len(set(refs)) == 70_000 and following not in set(refs)
        assert rustray.get(refs[65_530:65_540]) == list(range(65_530, 65_540))
        assert rustray.get(following) == "next"

    @pytest.mark.parametrize("after", [0, 1])
    def test_an_abandoned_one_ends(self, tmp_path, after):
        @rustray.remote(max_retries=0)
        def endless(path):
            tick(path)
            try:
                while True:
                    yield b"x" * 1000
            finally:
                (tmp_path / "ended").touch()

        values = endless.remote(tmp_path / "ran")
        for _ in range(after):
            next(values)
        eventually(lambda: ticks(tmp_path / "ran"))
        del values
        eventually(lambda: (tmp_path / "ended").exists())
        eventually(lambda: not current().tasks.children)

    def test_not_a_generator(self):
        with pytest.raises(TypeError, match="streaming"):
            rustray.get(next(echo.options(num_returns="streaming").remote(1)))

    def test_a_retried_stream_gives_each_value_once(self, tmp_path):
        @rustray.remote(max_retries=2)
        def unsteady(path):
            run = tick(path)
            for number in range(6):
                if run == 1 and number == 3:
                    os.kill(os.getpid(), signal.SIGKILL)
                yield np.full(BIG, number) if number % 2 else number

        values = [np.max(rustray.get(ref)) for ref in unsteady.remote(tmp_path / "runs")]
        assert values == list(range(6)) and ticks(tmp_path / "runs") == 2


class TestWaitingForStreams:
    def test_it_is_ready_when_the_next_is_there(self, tmp_path):
        gates = [Gate(tmp_path / name) for name in ("first", "end")]

        @rustray.remote
        def guarded(gates):
            gates[0].wait()
            yield 1
            gates[1].wait()

        stream, other = guarded.remote(gates), echo.remote(1)
        assert not stream.next_ready() and not stream.is_finished()
        assert rustray.wait([stream, other]) == ([other], [stream])
        assert rustray.wait([stream], timeout=0) == ([], [stream])
        gates[0].open()
        assert rustray.wait([stream, other], num_returns=2) == ([stream, other], [])
        assert stream.next_ready() and rustray.get(next(stream)) == 1
        assert not stream.next_ready() and not stream.is_finished()
        whole = stream.completed()
        assert rustray.wait([whole, stream], timeout=0) == ([], [whole, stream])
        gates[1].open()
        assert rustray.wait([stream]) == ([stream], [])
        assert rustray.get(whole) is None and rustray.get(stream.completed()) is None
        assert stream.is_finished() and not stream.next_ready()

    def test_with_its_task_it_is_completed(self, tmp_path):
        @rustray.remote(max_retries=0)
        def fails(how):
            yield 1
            if how == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError(how)

        stream = fails.remote("raises")
        assert rustray.get(stream.completed()) is None and not stream.is_finished()
        with pytest.raises(ValueError, match="raises"):
            rustray.get(stream)
        assert stream.is_finished()
        stream = fails.remote("dies")
        whole = stream.completed()
        assert stream.completed() == whole and whole.task_id() == next(stream).task_id()
        with pytest.raises(rustray.exceptions.WorkerCrashedError):
            rustray.get(whole)
        stream = fails.remote("dies")
        assert rustray.get(next(stream)) == 1 and rustray.wait([stream]) == ([stream], [])
        for _ in range(2):  # also who asks only when it is over
            with pytest.raises(rustray.exceptions.WorkerCrashedError):
                rustray.get(stream.completed())

    def test_its_end_can_be_told_again_and_to_others(self):
        @rustray.remote
        def one():
            yield 1

        stream = one.remote()
        assert rustray.get(echo.remote([stream.completed()]))[0] == stream.completed()
        for _ in range(3):
            assert rustray.get(rustray.get(echo.remote([stream.completed()]))[0]) is None
            current().objects.settle_drops()


class TestDynamic:
    @staticmethod
    @rustray.remote(num_returns="dynamic", max_retries=0)
    def count(n, fails=False, gate=None):
        for number in range(n):
            yield np.full(BIG, number) if number % 2 else number
        if gate is not None:
            gate.wait()
        if fails:
            raise ValueError("enough")

    def test_the_value_is_the_refs_of_all(self):
        ref = self.count.remote(5)
        assert isinstance(ref, rustray.ObjectRef)
        refs = rustray.get(ref)
        assert isinstance(refs, rustray.DynamicObjectRefGenerator) and len(refs) == 5
        assert [int(np.max(rustray.get(one))) for one in refs] == list(range(5)) and len(refs) == 0
        assert len(rustray.get(ref)) == 5

    def test_others_get_the_refs_too(self):
        @rustray.remote
        def total(refs):
            return sum(int(np.max(rustray.get(one))) for one in refs)

        assert rustray.get(total.remote(self.count.remote(5))) == 10
        assert len(rustray.get(rustray.get(echo.remote([self.count.remote(3)]))[0])) == 3

    def test_an_exception_is_that_of_the_last(self):
        *good, bad = rustray.get(self.count.remote(2, True))
        assert [int(np.max(rustray.get(one))) for one in good] == [0, 1]
        with pytest.raises(ValueError, match="enough"):
            rustray.get(bad)

    def test_it_is_cancelled_as_a_task_with_one_result(self, tmp_path):
        gate = Gate(tmp_path / "gate")
        ref = self.count.remote(1, False, gate)
        gate.wait_for_waiters()
        assert rustray.explain(ref).state == "running" and rustray.wait([ref], timeout=0)[0] == []
        rustray.cancel(ref)
        with pytest.raises(rustray.exceptions.TaskCancelledError):
            rustray.get(ref)

    def test_nothing_is_left_of_one_that_nobody_wants(self, tmp_path):
        objects, gate = current().objects, Gate(tmp_path / "gate")

        def count():
            objects.settle_drops()
            return len(objects)

        before = count()
        ref = self.count.remote(3, False, gate)
        gate.wait_for_waiters()
        task = ref._entry.task
        del ref
        gate.open()
        eventually(lambda: task.ended)
        eventually(lambda: count() <= before)
