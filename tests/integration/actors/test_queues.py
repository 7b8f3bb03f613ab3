"""Queues that tasks and programs share, and results as they come."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import threading

import numpy as np
import pytest

import rustray
from rustray.util.queue import Empty, Full, Queue
from tests.support import eventually, threads_in_get, tick, ticks


@pytest.fixture(scope="module")
def shared():
    shared = Queue(maxsize=3)
    yield shared
    shared.shutdown()


@pytest.fixture
def items(shared):
    """The queue of this file, empty."""
    yield shared
    shared.get_nowait_batch(shared.size())


def interrupted(call, *args, **kwargs):
    """Ctrl-C while `call` waits in a queue."""

    def press():
        eventually(threads_in_get)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        call(*args, **kwargs)
    thread.join()


class TestQueue:
    def test_items_come_in_their_order(self, items):
        assert items.empty() and len(items) == items.qsize() == 0
        items.put("a")
        items.put_nowait(None)
        items.put_nowait_batch(iter([np.arange(100_000)]))
        assert items.full() and items.size() == 3
        assert items.get() == "a" and items.get_nowait() is None and items.get(timeout=1)[-1] == 99_999

    def test_there_is_none_or_no_room(self, items):
        for call in (items.get_nowait, lambda: items.get(timeout=0.01), lambda: items.get_nowait_batch(1)):
            with pytest.raises(Empty) as empty:
                call()
            assert isinstance(empty.value, queue.Empty) and empty.value.__cause__ is None
        items.put_nowait_batch([1, 2])
        with pytest.raises(Full, match="room for 1 more"):
            items.put_nowait_batch([3, 4])
        items.put(3)
        for call in (lambda: items.put_nowait(4), lambda: items.put(4, timeout=0.01)):
            with pytest.raises(Full) as full:
                call()
            assert isinstance(full.value, queue.Full)
        assert items.get_nowait_batch(3) == [1, 2, 3]

    def test_what_is_not_allowed(self, items):
        for call in (
            lambda: items.get(timeout=-1),
            lambda: items.put(1, timeout=-1),
            lambda: items.get_nowait_batch(-1),
        ):
            with pytest.raises(ValueError):
                call()
        for call in (lambda: items.put_nowait_batch(1), lambda: items.get_nowait_batch("a")):
            with pytest.raises(TypeError):
                call()

    def test_it_is_shared_with_tasks(self, items):
        @rustray.remote
        def produce(to, count):
            for number in range(count):
                to.put(number)

        @rustray.remote
        def consume(of, count):
            return [of.get() for _ in range(count)]

        refs = [consume.remote(items, 10), produce.remote(items, 20), consume.remote(items, 10)]
        first, _none, second = rustray.get(refs)
        assert sorted(first + second) == list(range(20))

    def test_async(self, items):
        async def scene():
            with pytest.raises(Empty):
                await items.get_async(timeout=0.01)
            waits = asyncio.create_task(items.get_async())
            await items.put_async("a")
            assert await waits == "a"
            for number in range(3):
                await items.put_async(number)
            with pytest.raises(Full):
                await items.put_async(3, block=False)
            return [await items.get_async() for _ in range(3)]

        assert asyncio.run(scene()) == [0, 1, 2]

    def test_who_is_interrupted_takes_nothing(self, items):
        interrupted(items.get)
        items.put("kept")
        assert items.get_nowait() == "kept"

    def test_what_was_taken_for_who_is_interrupted_comes_back(self, items, monkeypatch):
        def interrupt(ref, timeout=None):
            rustray.get(ref)  # the answer is there
            raise KeyboardInterrupt

        items.put_nowait_batch(["first", "second"])
        with monkeypatch.context() as patch:
            patch.setattr("rustray.util.queue.get", interrupt)
            patch.setattr(
                "rustray.util.queue.cancel", lambda ref: patch.undo()
            )  # `get` works again from here on
            with pytest.raises(KeyboardInterrupt):
                items.get()
        assert items.get_nowait_batch(2) == ["first", "second"]

    def test_who_is_interrupted_while_there_is_no_room_leaves_nothing(self, items):
        items.put_nowait_batch([1, 2, 3])
        interrupted(items.put, 4)
        assert items.get_nowait_batch(3) == [1, 2, 3]
        assert items.empty()

    def test_who_no_longer_awaits_takes_nothing(self, items):
        async def scene():
            for _ in range(3):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(items.get_async(), 0.01)
            await items.put_async("kept")

        asyncio.run(scene())
        assert items.get(timeout=30) == "kept"

    def test_a_task_that_is_cancelled_while_it_waits_takes_nothing(self, items, tmp_path):
        @rustray.remote
        def consume(of):
            tick(tmp_path / "waits")
            return of.get()

        ref = consume.remote(items)
        eventually(lambda: ticks(tmp_path / "waits"))
        rustray.cancel(ref)
        with pytest.raises(rustray.exceptions.TaskCancelledError):
            rustray.get(ref)
        items.put("kept")
        assert items.get(timeout=30) == "kept"

    def test_after_its_end(self):
        lost = Queue(actor_options={"name": "lost"})
        lost.put(1)
        same = Queue(actor_options={"name": "lost", "get_if_exists": True})
        assert same.get() == 1
        lost.shutdown()
        lost.shutdown(force=True)
        with pytest.raises(rustray.exceptions.ActorDiedError, match="shut down"):
            lost.get()
        with pytest.raises(rustray.exceptions.ActorDiedError):
            same.get()
        same.shutdown(force=True)

    def test_who_waits_does_not_keep_its_end_up(self):
        ends = Queue()
        got = []

        def take():
            try:
                got.append(ends.get())
            except rustray.exceptions.ActorDiedError as error:
                got.append(error)

        thread = threading.Thread(target=take)
        thread.start()
        eventually(threads_in_get)
        ends.shutdown(grace_period_s=0.1)
        thread.join(30)
        assert len(got) == 1 and isinstance(got[0], rustray.exceptions.ActorDiedError)


class TestAsTheyCome:
    def test_those_that_are_ready_first(self, tmp_path):
        @rustray.remote(num_cpus=0)
        def after(number, gate):
            if gate is not None:
                eventually(lambda: os.path.exists(gate))
            return number

        gate = str(tmp_path / "gate")
        refs = [after.remote(0, gate), after.remote(1, None), after.remote(2, None)]
        values = rustray.util.as_completed(refs, chunk_size=1)
        assert {next(values), next(values)} == {1, 2}
        open(gate, "w").close()
        assert list(values) == [0]
        assert set(rustray.util.as_completed(refs, yield_obj_refs=True)) == set(refs)

    def test_a_function_of_many(self):
        @rustray.remote
        def double(x):
            return 2 * x

        taken = []

        def numbers():
            for number in range(20):
                taken.append(number)
                yield number

        values = rustray.util.map_unordered(double, numbers(), backpressure_size=4, chunk_size=2)
        next(values)
        assert len(taken) == 4
        assert sorted([*values, 0])[-1] == 38 and len(taken) == 20
        for wrong in ({"chunk_size": 0}, {"backpressure_size": 0}, {"num_returns": 1}):
            with pytest.raises(ValueError):
                next(rustray.util.map_unordered(double, [1], **wrong))
