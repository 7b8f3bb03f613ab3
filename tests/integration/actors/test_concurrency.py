"""Actors that do several calls at once, by threads, coroutines and groups, and how calls are cancelled."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import rustray
from rustray.errors import OptionError, TaskCancelledError
from tests.integration.actors.classes import Async, Counter, add_ten
from tests.support import Gate, eventually, ticks


def test_threads_run_at_once() -> None:
    @rustray.remote(max_concurrency=4)
    class Meeting:
        def __init__(self) -> None:
            self.barrier = threading.Barrier(4)

        def meet(self, x: int) -> int:
            self.barrier.wait(10)
            return x

        def nested(self, x: int) -> int:
            return rustray.get(add_ten.remote(Counter.remote(x)))[-1]

        def stream(self, n: int) -> Iterator[int]:
            yield from range(n)

    meeting = Meeting.remote()
    assert rustray.get([meeting.meet.remote(i) for i in range(8)]) == list(range(8))
    assert rustray.get([meeting.nested.remote(i) for i in range(4)]) == [10, 11, 12, 13]
    assert [rustray.get(ref) for ref in meeting.stream.remote(3)] == [0, 1, 2]


def test_coroutines() -> None:
    actor = Async.remote()
    start = time.monotonic()
    assert rustray.get([actor.nap.remote(0.2, i) for i in range(1000)]) == list(range(1000))
    assert time.monotonic() - start < 20  # one after another they would take 200 s
    refs = [rustray.put(1), Counter.remote().add.remote()]
    assert rustray.get(actor.rely.remote(refs)) == [1, [1, 1]]
    assert [rustray.get(ref) for ref in actor.count.remote(4)] == [0, 1, 2, 3]
    assert rustray.get(actor.plain.remote()) == []
    with pytest.raises(KeyError, match="async"):
        rustray.get(actor.fail.remote())
    array = np.ones(200_000)
    assert (
        rustray.get(actor.big.remote(array)).sum() == rustray.get(actor.big.remote(rustray.put(array))).sum()
    )


def test_concurrency_groups() -> None:
    @rustray.remote(concurrency_groups={"io": 2})
    class Grouped:
        def __init__(self) -> None:
            self.barrier = threading.Barrier(2)

        @rustray.method(concurrency_group="io")
        def meet(self) -> str:
            self.barrier.wait(10)
            return threading.current_thread().name

        def own(self) -> str:
            return threading.current_thread().name

    actor = Grouped.remote()
    assert all("io" in name for name in rustray.get([actor.meet.remote() for _ in range(4)]))
    assert "io" not in rustray.get(actor.own.remote())
    assert "io" in rustray.get(actor.own.options(concurrency_group="io").remote())
    with pytest.raises(OptionError, match="io"):
        Grouped.options(concurrency_groups={}).remote()

    @rustray.remote(concurrency_groups={"one": 1})
    class GroupedAsync:
        running = 0

        @rustray.method(concurrency_group="one")
        async def alone(self) -> int:
            self.running += 1
            await asyncio.sleep(0.01)  # another one would run meanwhile
            self.running -= 1
            return self.running

    grouped = GroupedAsync.remote()
    assert rustray.get([grouped.alone.remote() for _ in range(3)]) == [0, 0, 0]


def test_cancelling_calls(tmp_path: Path) -> None:
    @rustray.remote
    class Busy:
        done = 0

        def wait(self, gate: Gate, until_cancelled: bool = False) -> bool:
            gate.wait()
            self.done += 1
            if until_cancelled:  # word of it may come after the gate has been opened
                eventually(lambda: rustray.get_runtime_context().is_canceled())
            return rustray.get_runtime_context().is_canceled()

        def finished(self) -> int:
            return self.done

    for concurrency in (1, 2):
        gates = [Gate(tmp_path / f"gate-{concurrency}-{i}") for i in range(concurrency)]
        busy = Busy.options(max_concurrency=concurrency).remote()
        running = [busy.wait.remote(gate, gate is gates[0]) for gate in gates]
        queued = busy.wait.remote(gates[0])
        for gate in gates:
            gate.wait_for_waiters()
        for ref in (queued, running[0]):
            rustray.cancel(ref)
        with pytest.raises(TaskCancelledError):
            rustray.get(queued)
        for gate in gates:
            gate.open()
        with pytest.raises(TaskCancelledError):
            rustray.get(running[0])
        assert rustray.get(running[1:]) == [False] * (concurrency - 1)
        # It was not interrupted.
        assert rustray.get(busy.finished.remote()) == concurrency


def test_cancelling_coroutines(tmp_path: Path) -> None:
    actor = Async.options(max_concurrency=2).remote()
    rustray.get(actor.plain.remote())
    first, second, third = (actor.nap.remote(300, begun=tmp_path / "begun") for _ in range(3))
    eventually(lambda: ticks(tmp_path / "begun") == 2)
    quick = actor.plain.remote()
    for ref in (third, first):
        rustray.cancel(ref)
        with pytest.raises(TaskCancelledError):
            rustray.get(ref)
    rustray.get(quick)
    rustray.cancel(second)
    with pytest.raises(TaskCancelledError):
        rustray.get(second)
    assert rustray.get(actor.plain.remote()) == ["cancelled"] * 2
