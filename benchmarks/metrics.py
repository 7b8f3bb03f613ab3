"""What is measured, and how: the same work on every system.

A measurement runs its work once to warm up, and then for at least a second, again and again; it gives the
mean rate of that time. `ready` and `idle` are measured by session.py, since they need the process to be
new.
"""

from __future__ import annotations

import gc
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from functions import Counter, make_megabyte, noop, one_megabyte, small_arguments, wait_for_file
from systems import System


@dataclass(frozen=True)
class Metric:
    title: str
    unit: str
    less_is_better: bool = False
    at_least: float | None = None  # the ratio to Ray that the project has set itself, and what it aims for
    aim: float | None = None


METRICS = {
    "ready": Metric("ready to first result", "s", True, 6, 12),
    "idle": Metric("idle memory, 2 workers", "MiB", True, 4, 6),
    "sync": Metric("tasks, one at a time", "/s", False, 8, 15),
    "async": Metric("tasks, no arguments", "/s", False, 25, 60),
    "async_args": Metric("tasks, small arguments", "/s", False, 25, 60),
    "nested": Metric("nested tasks, 4 x 250", "/s", False, 10, 30),
    "actor_sync": Metric("actor calls, one at a time", "/s", False, 8, 15),
    "actor_async": Metric("actor calls", "/s", False, 10, 25),
    "put_small": Metric("put of a small value", "/s", False, 20, 50),
    "get_small": Metric("get of a small value", "/s", False, 20, 50),
    "put_first": Metric("put of the first ten 100 MB arrays", "GB/s"),
    "put_large": Metric("put of 100 MB arrays, steady state", "GB/s", False, 2.5),
    "results_1mb": Metric("results of 1 MB", "/s", False, 5, 15),
}
# Not part of a run of all systems: a million tasks would keep the slower ones busy for a quarter of an hour.
MILLION = {
    "million": Metric("a million tasks queued at once", "/s"),
    "million_bytes": Metric("... driver memory for each", "bytes", True),
}
FLOOR = {
    "floor_batches": Metric("bare processes: pickled batches", "/s"),
    "floor_tasks": Metric("bare processes: tasks with refs", "/s"),
    "floor_round_trips": Metric("bare processes: round trips", "/s"),
    "floor_memcpy_warm": Metric("memcpy into warm shared memory", "GB/s"),
    "floor_memcpy_fresh": Metric("memcpy into fresh shared memory", "GB/s"),
}


@dataclass(frozen=True)
class Effort:
    """How much work a measurement does."""

    seconds: float = 1.0
    batch: int = 4000
    puts: int = 100
    million: int = 1_000_000


QUICK = Effort(seconds=0.3, batch=1000, puts=20, million=100_000)


def rate(work: Callable[[], Any], amount: float, effort: Effort, right: Callable[[Any], object]) -> float:
    """How much of `amount` gets done a second; a call of `work` does it once and gives the `right` values."""
    assert right(work())
    gc.collect()
    started = time.perf_counter()
    calls = 0
    while (elapsed := time.perf_counter() - started) < effort.seconds:
        work()
        calls += 1
    return calls * amount / elapsed


def consecutive(counts: list[int]) -> bool:
    """Whether each call counted once. Not in which order: Dask promises none."""
    return sorted(counts) == list(range(min(counts), min(counts) + len(counts)))


def measure_sync(system: System, effort: Effort) -> float:
    submit = system.submitter(noop)
    return rate(
        lambda: [system.get(submit()) for _ in range(50)], 50, effort, lambda values: values == [None] * 50
    )


def measure_async(system: System, effort: Effort) -> float:
    nothing: list[tuple[()]] = [()] * effort.batch
    return rate(
        lambda: system.get_many(system.submit_many(noop, nothing)),
        effort.batch,
        effort,
        lambda values: values == [None] * effort.batch,
    )


def measure_async_args(system: System, effort: Effort) -> float:
    arguments = [(number, 1.5, "some text") for number in range(effort.batch)]
    return rate(
        lambda: system.get_many(system.submit_many(small_arguments, arguments)),
        effort.batch,
        effort,
        lambda values: values == [number * 1.5 for number in range(effort.batch)],
    )


def measure_nested(system: System, effort: Effort) -> float:
    return rate(lambda: system.nested(4, 250), 4 * 250, effort, lambda counts: counts == [250] * 4)


def measure_actor_sync(system: System, effort: Effort) -> float:
    call = system.actor_method(Counter, "increment")
    return rate(lambda: [system.get(call()) for _ in range(50)], 50, effort, consecutive)


def measure_actor_async(system: System, effort: Effort) -> float:
    call = system.actor_method(Counter, "increment")
    return rate(
        lambda: system.get_many([call() for _ in range(effort.batch)]), effort.batch, effort, consecutive
    )


def measure_put_small(system: System, effort: Effort) -> float:
    def work() -> Any:
        for _ in range(200):
            ref = system.put(7)
        return ref

    return rate(work, 200, effort, lambda ref: system.get(ref) == 7)


def measure_get_small(system: System, effort: Effort) -> float:
    ref = system.put(7)
    return rate(lambda: [system.get(ref) for _ in range(200)], 200, effort, lambda values: {*values} == {7})


def put_rate(system: System, puts: int) -> float:
    """GB/s of so many puts of an array of 100 MB; each lets go of the one before."""
    import numpy as np

    array = np.arange(12_500_000, dtype=np.float64)
    started = time.perf_counter()
    for _ in range(puts):
        ref = system.put(array)
    seconds = time.perf_counter() - started
    assert np.array_equal(system.get(ref), array)
    return puts * array.nbytes / 1e9 / seconds


def measure_put_first(system: System, effort: Effort) -> float:
    """Into a store that is new: no warm-up."""
    return put_rate(system, 10)


def measure_put_large(system: System, effort: Effort) -> float:
    """A fixed number, and many: a store may be slow now and then, where it takes fresh pages."""
    put_rate(system, 20)
    return put_rate(system, effort.puts)


def measure_results_1mb(system: System, effort: Effort) -> float:
    nothing: list[tuple[()]] = [()] * 50
    return rate(
        lambda: system.get_many(system.submit_many(make_megabyte, nothing)),
        50,
        effort,
        lambda arrays: all((array == one_megabyte()).all() for array in arrays),
    )


MEASURE: dict[str, Callable[[System, Effort], float]] = {
    "sync": measure_sync,
    "async": measure_async,
    "async_args": measure_async_args,
    "nested": measure_nested,
    "actor_sync": measure_actor_sync,
    "actor_async": measure_actor_async,
    "put_small": measure_put_small,
    "get_small": measure_get_small,
    "put_first": measure_put_first,
    "put_large": measure_put_large,
    "results_1mb": measure_results_1mb,
}


def measure_million(system: System, workers: int, effort: Effort) -> dict[str, float]:
    """Queue the tasks behind others that hold every worker, then let them run; the driver's peak memory."""
    import psutil

    submit = system.submitter(noop)
    system.get_many([submit() for _ in range(effort.batch)])
    gc.collect()
    with tempfile.TemporaryDirectory() as folder:
        gate = os.path.join(folder, "open")
        gates = system.submit_many(wait_for_file, [(gate,)] * workers)
        before = psutil.Process().memory_info().rss
        forget_peak_memory()
        started = time.perf_counter()
        refs = [submit() for _ in range(effort.million)]
        with open(gate, "w"):
            pass
        system.get_many(gates)
        for first in range(0, len(refs), 10_000):
            assert not any(system.get_many(refs[first : first + 10_000]))
        seconds = time.perf_counter() - started
        memory = peak_memory() - before
    return {"million": effort.million / seconds, "million_bytes": memory / effort.million}


def forget_peak_memory() -> None:
    """Let the kernel count this process's peak memory (VmHWM) from now on: proc(5), clear_refs."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def peak_memory() -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
