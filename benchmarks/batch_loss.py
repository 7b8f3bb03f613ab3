"""What a stream of quick tasks costs the batch that they pass.

Two separate runs differ by more than the effect on any machine that does something else besides. So both are measured
in one batch, in windows of some seconds, pair by pair: one window with a quick task every `PAUSE_S`, one without, which
of them comes first being drawn. Each task of the batch writes the rounds that it has computed to a cell of a shared
file as it goes, so the driver reads the progress at the edges of a window, by microseconds and not by whole tasks.
What others do on the machine changes both windows of a pair alike, or shows in the spread of the ratios.

Where others keep the processors busy, that spread is larger than the effect. So the loss is also accounted for, by what
others hardly change. Each task says when it began, ended, and how long it was suspended (its handler of SIGCONT sees
for how long it has not computed), so the time that slots had no batch work is known; and the kernel tells what the
driver, the head and the node computed (CPU seconds). Of both counts what is more with quick tasks than without.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import statistics
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil

PAUSE_S = 0.2
TASK_S = 1.0
SETTLES_S = 0.1
"""Between two windows: what the last quick task passed goes on."""
CELL = struct.Struct("<qdddd")


class Cell(NamedTuple):
    """What a task of the batch tells. Parameters: process: 0 before it begins. begun, ended: on the monotonic clock, in
    seconds, 0 before that. stopped: seconds. rounds: of computing."""

    process: int
    begun: float
    ended: float
    stopped: float
    rounds: float


class Loss(NamedTuple):
    """Parameters: ratios: of the batch's progress in a window with quick tasks to that in the one without, by pair.
    empty, cluster: by pair, of the time of all slots: how much more of it was without batch work, and was computed by
    the driver and the cluster's processes besides workers. own: what the quick tasks computed themselves, which is no
    loss. waits: seconds from submission to result of each quick task."""

    ratios: list[float]
    empty: list[float]
    cluster: list[float]
    own: float
    waits: list[float]

    def told(self) -> str:
        first, middle, third = statistics.quantiles(self.ratios, n=4)
        lost = statistics.quantiles(map(sum, zip(self.empty, self.cluster, strict=True)), n=4)
        return (
            f"The batch beside a quick task every {PAUSE_S:g} s: {middle:.1%} of its throughput alone"
            f" (quartiles {first:.1%} and {third:.1%} of {len(self.ratios)} pairs of windows).\n"
            f"Accounted for: {lost[1]:.1%} lost (quartiles {lost[0]:.1%} and {lost[2]:.1%}):"
            f" {statistics.median(self.empty):.1%} as slots without batch work,"
            f" {statistics.median(self.cluster):.1%} computed by driver, head and node.\n"
            f"The quick tasks themselves computed {self.own:.4%} of the slots' time; they took"
            f" {1e3 * statistics.median(self.waits):.1f} ms in the median there ({len(self.waits)} timed)."
        )


class Window(NamedTuple):
    """Parameters: speed: rounds a second. used: slots that had batch work, in the mean. cluster: seconds that driver
    and cluster computed, workers not counted, a second of the window."""

    speed: float
    used: float
    cluster: float


def work(path: str, cell: int, seconds: float) -> None:
    """Compute for so many seconds of this process's own time, and tell how far it is all the while."""
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as cells:
        begun = last = time.monotonic()
        rounds = stopped = 0.0

        def went_on(*_: object) -> None:
            nonlocal stopped
            stopped += time.monotonic() - last

        before = signal.signal(signal.SIGCONT, went_on)
        process, end = os.getpid(), time.process_time() + seconds
        while time.process_time() < end:
            for _ in range(1000):
                rounds += 1
            last = time.monotonic()
            CELL.pack_into(cells, cell * CELL.size, process, begun, 0.0, stopped, rounds)
        signal.signal(signal.SIGCONT, before)
        CELL.pack_into(cells, cell * CELL.size, process, begun, time.monotonic(), stopped, rounds)


def quick() -> tuple[float, int]:
    """Nothing; returns the CPU seconds that it took, and its process."""
    begun = time.thread_time()
    return time.thread_time() - begun, os.getpid()


def measure(api: Any, workers: int, pairs: int, window: float) -> Loss:
    """Keep all slots of a started system busy with a batch, and compare its progress window by window."""
    submit = api.submitter(quick)
    api.get(submit())
    seconds = TASK_S + pairs * 2 * (window + 2 * SETTLES_S)
    enough = workers * (2 + int(seconds / TASK_S))
    ratios: list[float] = []
    empty: list[float] = []
    cluster: list[float] = []
    own: list[float] = []
    waits: list[float] = []
    quick_workers: set[int] = set()

    def stream(end: float) -> None:
        while time.perf_counter() < end - PAUSE_S:
            start = time.perf_counter()
            computed, process = api.get(submit())
            waits.append(time.perf_counter() - start)
            own.append(computed)
            quick_workers.add(process)
            time.sleep(PAUSE_S)
        wait(end)

    with _cells(enough) as (path, read):
        batch = api.submit_many(work, [(path, cell, TASK_S) for cell in range(enough)])
        time.sleep(TASK_S)
        for _ in range(pairs):
            seen = {}
            for fill in random.sample((stream, wait), 2):
                seen[fill] = _look(read, quick_workers, fill, window)
                time.sleep(SETTLES_S)
            beside, alone = seen[stream], seen[wait]
            ratios.append(beside.speed / alone.speed)
            empty.append((alone.used - beside.used) / workers)
            cluster.append((beside.cluster - alone.cluster) / workers)
        del batch
    return Loss(ratios, empty, cluster, sum(own) / (pairs * window * workers), waits)


def wait(end: float) -> None:
    time.sleep(max(0.0, end - time.perf_counter()))


def _look(read: Cells, quick_workers: set[int], fill: Callable[[float], None], window: float) -> Window:
    """What happens while `fill` passes the time."""
    computed, before, begun = _computed(), read(), time.monotonic()
    fill(time.perf_counter() + window)
    after, ended, computed_after = read(), time.monotonic(), _computed()
    workers = {cell.process for cell in after} | quick_workers
    cluster = sum(
        seconds - computed.get(process, 0.0)
        for process, seconds in computed_after.items()
        if process not in workers
    )
    rounds = sum(cell.rounds for cell in after) - sum(cell.rounds for cell in before)
    used = _used(after, ended) - _used(before, begun)
    return Window(rounds / (ended - begun), used / (ended - begun), cluster / (ended - begun))


def _used(cells: list[Cell], now: float) -> float:
    """Seconds of slots until now in which they had batch work."""
    return sum((cell.ended or now) - cell.begun - cell.stopped for cell in cells)


def _computed() -> dict[int, float]:
    """CPU seconds of this process and all below it."""
    found = {}
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):  # it has just ended
            own = process.cpu_times()
            found[process.pid] = own.user + own.system
    return found


Cells = Callable[[], list[Cell]]


@contextmanager
def _cells(count: int) -> Iterator[tuple[str, Cells]]:
    """A file with a cell for each task, and what reads the cells of those that have begun."""
    with tempfile.TemporaryDirectory(prefix="batch-loss-") as folder:
        path = Path(folder) / "rounds"
        path.write_bytes(bytes(count * CELL.size))
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as shared:
            yield (
                str(path),
                lambda: [cell for cell in map(Cell._make, CELL.iter_unpack(shared)) if cell.process],
            )
