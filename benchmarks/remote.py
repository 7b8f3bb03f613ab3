"""Tasks and objects on a second node beside the same on the driver's own, in turn, in one run.

    python benchmarks/remote.py
    python benchmarks/remote.py --rounds 3 --tasks 5000

Heads and nodes are separate processes on this machine that talk gRPC over the loopback interface, so both nodes share
its processors: what a second machine adds is not in these numbers, what the way to it costs is.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import rustray
from rustray.testing import Cluster
from rustray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

MB = 1_000_000


@rustray.remote
def nothing() -> None:
    pass


@rustray.remote
def make(size: int) -> Any:
    return np.ones(size, dtype=np.uint8)


@rustray.remote
class Counter:
    def __init__(self) -> None:
        self.value = 0

    def inc(self) -> int:
        self.value += 1
        return self.value


def timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


class Place:
    """The measurements, on one node."""

    def __init__(self, node: str) -> None:
        strategy = NodeAffinitySchedulingStrategy(node, soft=False)
        self.task = nothing.options(scheduling_strategy=strategy)
        self.make = make.options(scheduling_strategy=strategy)
        self.counter: Any = Counter.options(num_cpus=0, scheduling_strategy=strategy).remote()  # type: ignore[attr-defined]
        rustray.get([self.task.remote() for _ in range(200)])
        rustray.get(self.counter.inc.remote())

    def asynchronous(self, tasks: int) -> float:
        """Tasks a second, submitted all at once."""
        return tasks / timed(lambda: rustray.get([self.task.remote() for _ in range(tasks)]))

    def one_by_one(self, tasks: int) -> float:
        def work() -> None:
            for _ in range(tasks):
                rustray.get(self.task.remote())

        return tasks / timed(work)

    def calls(self, calls: int) -> float:
        return calls / timed(lambda: rustray.get([self.counter.inc.remote() for _ in range(calls)]))

    def calls_one_by_one(self, calls: int) -> float:
        def work() -> None:
            for _ in range(calls):
                rustray.get(self.counter.inc.remote())

        return calls / timed(work)

    def bytes_a_second(self, size: int) -> float:
        """GB/s of an object that was made there, from its being made to its being readable here."""
        ref = self.make.remote(size)
        rustray.wait([ref], fetch_local=False)
        return size / timed(lambda: rustray.get(ref)) / 1e9


SEND = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    connection.recv(1)
    connection.sendall(bytes(int(sys.argv[2])))
"""


def bare_bytes_a_second(size: int) -> float:
    """GB/s of as many bytes between two processes that do nothing else: what the loopback interface gives now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        arguments = [sys.executable, "-c", SEND, str(server.getsockname()[1]), str(size)]
        with subprocess.Popen(arguments) as sender, server.accept()[0] as connection:
            buffer = bytearray(1 << 20)

            def work() -> None:
                connection.send(b"!")
                while connection.recv_into(buffer):
                    pass

            taken = timed(work)
            sender.wait()
    return size / taken / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=200 * MB, help="bytes of the object that is moved")
    options = parser.parse_args()
    rows: dict[str, Callable[[Place], float]] = {
        "tasks/s, all at once": lambda place: place.asynchronous(options.tasks),
        "tasks/s, one by one": lambda place: place.one_by_one(options.tasks // 20),
        "actor calls/s, all at once": lambda place: place.calls(options.tasks),
        "actor calls/s, one by one": lambda place: place.calls_one_by_one(options.tasks // 20),
        "GB/s of an object": lambda place: place.bytes_a_second(options.size),
    }
    with Cluster(heads=1, nodes=2, num_cpus=2, object_store_memory=4 * options.size) as cluster:
        rustray.init(cluster.nodes[0].address)
        here, there = (Place(node.name) for node in cluster.nodes)
        print(f"{'':28}{'own node':>12}{'other node':>12}{'ratio':>8}")
        for name, measure in rows.items():
            local, remote = [], []
            for _ in range(options.rounds):
                local.append(measure(here))
                remote.append(measure(there))
            one, other = statistics.median(local), statistics.median(remote)
            print(f"{name:28}{one:>12,.5g}{other:>12,.5g}{other / one:>8.0%}", flush=True)
        bare = statistics.median(bare_bytes_a_second(options.size) for _round in range(options.rounds))
        print(f"{'GB/s of a bare socket':40}{bare:>12,.5g}")
        rustray.shutdown()


if __name__ == "__main__":
    main()
