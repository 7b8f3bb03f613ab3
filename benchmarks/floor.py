"""What two bare processes can do on this machine: the limit that a task system in Python works against.

    python benchmarks/floor.py

- `batches`: a driver and a worker on a Unix socket; 256 no-op tasks travel in one pickle, their results in
  another. Nothing else happens: no refs, no threads, no user values kept apart. No system comes near this.
- `tasks`: the same with what any system with Ray's API has to do for each task: hand out a ref whose end
  frees the result, keep the task until it is answered, let any thread submit, pickle its arguments and its
  result by themselves (they are the user's, and the reader of the socket does not look into them), and let a
  reader thread resolve the refs that the main thread waits for.
- `round trips`: one task there and back, again and again.
- `memcpy`: 100 MB into shared memory that has been written before, and into fresh pages.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import pickle
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

BATCH = 256  # tasks in one message
WINDOW = 8  # messages on their way at a time
LENGTH = struct.Struct("<I")


def noop() -> None:
    pass


FUNCTIONS: dict[str, Callable[..., Any]] = {"noop": noop}


class Ref:
    """Stands for a result, and frees it at its end."""

    __slots__ = ("number", "results")

    def __init__(self, number: int, results: dict[int, bytes]) -> None:
        self.number = number
        self.results = results

    def __del__(self) -> None:
        self.results.pop(self.number, None)


def send(connection: socket.socket, message: object) -> None:
    blob = pickle.dumps(message, protocol=5)
    connection.sendall(LENGTH.pack(len(blob)) + blob)


def messages(connection: socket.socket) -> Iterator[Any]:
    with contextlib.suppress(ConnectionError), connection.makefile("rb", buffering=1 << 18) as stream:
        while header := stream.read(LENGTH.size):
            yield pickle.loads(stream.read(LENGTH.unpack(header)[0]))


def serve_batches(connection: socket.socket) -> None:
    for batch in messages(connection):
        send(connection, [(number, FUNCTIONS[name](*arguments)) for number, name, arguments in batch])


def serve_tasks(connection: socket.socket) -> None:
    for batch in messages(connection):
        results = []
        for number, name, blob in batch:
            results.append((number, pickle.dumps(FUNCTIONS[name](*pickle.loads(blob)), protocol=5)))
        send(connection, results)


@contextlib.contextmanager
def worker(serve: Callable[[socket.socket], None]) -> Iterator[socket.socket]:
    """A forked process that serves the other end of the socket, until this end is closed."""
    here, there = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        here.close()
        try:
            serve(there)
        finally:
            os._exit(0)
    there.close()
    try:
        yield here
    finally:
        here.shutdown(socket.SHUT_RDWR)
        here.close()
        os.waitpid(pid, 0)


def batches_per_second(tasks: int) -> float:
    with worker(serve_batches) as connection:
        replies = messages(connection)
        results: dict[int, object] = {}
        started = time.perf_counter()
        on_their_way = 0
        for first in range(0, tasks, BATCH):
            if on_their_way == WINDOW:
                results.update(next(replies))
                on_their_way -= 1
            send(connection, [(number, "noop", ()) for number in range(first, min(first + BATCH, tasks))])
            on_their_way += 1
        for _ in range(on_their_way):
            results.update(next(replies))
        assert len(results) == tasks
        return tasks / (time.perf_counter() - started)


def tasks_per_second(tasks: int) -> float:
    pending: dict[int, tuple[int, str, bytes]] = {}
    results: dict[int, bytes] = {}
    submitting = threading.Lock()
    resolved = threading.Condition()
    room = threading.Semaphore(WINDOW)

    def read(connection: socket.socket) -> None:
        for batch in messages(connection):
            room.release()
            with resolved:
                for number, blob in batch:
                    del pending[number]
                    results[number] = blob
                resolved.notify()

    with worker(serve_tasks) as connection:
        reader = threading.Thread(target=read, args=(connection,))
        reader.start()
        started = time.perf_counter()
        refs: list[Ref] = []
        batch: list[tuple[int, str, bytes]] = []
        for number in range(tasks):
            task = (number, "noop", pickle.dumps((), protocol=5))
            with submitting:
                pending[number] = task
                batch.append(task)
            refs.append(Ref(number, results))
            if len(batch) == BATCH or number == tasks - 1:
                room.acquire()
                send(connection, batch)
                batch = []
        with resolved:
            resolved.wait_for(lambda: not pending)
        values = [pickle.loads(results[ref.number]) for ref in refs]
        refs.clear()
        seconds = time.perf_counter() - started
        assert values == [None] * tasks
    reader.join()
    return tasks / seconds


def round_trips_per_second(count: int) -> float:
    with worker(serve_batches) as connection:
        replies = messages(connection)
        started = time.perf_counter()
        for number in range(count):
            send(connection, [(number, "noop", ())])
            next(replies)
        return count / (time.perf_counter() - started)


def memcpy_gb_per_second(size: int, fresh: bool) -> float:
    """Copying `size` bytes into shared memory, in GB/s: the median of nine copies."""
    source = np.ones(size, dtype=np.uint8)
    rates = []
    target = None
    for _ in range(10):
        if target is None or fresh:
            descriptor = os.memfd_create("floor")
            os.ftruncate(descriptor, size)
            target = np.frombuffer(mmap.mmap(descriptor, size), dtype=np.uint8)
            os.close(descriptor)
        started = time.perf_counter()
        np.copyto(target, source)
        rates.append(size / (time.perf_counter() - started) / 1e9)
    return sorted(rates[1:])[4]


def measure(quick: bool = False) -> dict[str, float]:
    """All limits, by the names that compare.py gives to them."""
    tasks = 50_000 if quick else 200_000
    return {
        "floor_batches": batches_per_second(tasks),
        "floor_tasks": tasks_per_second(tasks),
        "floor_round_trips": round_trips_per_second(tasks // 10),
        "floor_memcpy_warm": memcpy_gb_per_second(100_000_000, fresh=False),
        "floor_memcpy_fresh": memcpy_gb_per_second(100_000_000, fresh=True),
    }


if __name__ == "__main__":
    limits = measure(quick="--quick" in sys.argv)
    if "--json" in sys.argv:
        print(json.dumps(limits))
    else:
        for name, value in limits.items():
            unit = "GB/s" if "memcpy" in name else "/s"
            print(f"{name:20} {value:12,.1f} {unit}")
