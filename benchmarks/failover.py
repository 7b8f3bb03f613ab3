"""The leading head of three is killed again and again while tasks run and facts are written.

    python benchmarks/failover.py                 20 kills
    python benchmarks/failover.py --kills 3

Printed for each kill: seconds until the next write was acknowledged, until the next lease was granted (a task of a new
function came back), and the longest pause between two results of tasks that were running. At the end: writes that
were acknowledged and are not there, tasks that were lost or came twice.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time

import rustray
from rustray.testing import Cluster


@rustray.remote
def square(number: int) -> int:
    time.sleep(0.001)
    return number * number


class Tasks(threading.Thread):
    """Keeps thousands of tasks in flight, and counts what comes back."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.over = threading.Event()
        self.done = 0
        self.wrong = 0
        self.last = time.monotonic()
        self.pause = 0.0

    def run(self) -> None:
        while not self.over.is_set():
            refs = [square.remote(number) for number in range(2000)]
            for number, ref in enumerate(refs):
                if rustray.get(ref) != number * number:
                    self.wrong += 1
                now = time.monotonic()
                self.pause = max(self.pause, now - self.last)
                self.last = now
                self.done += 1


class Writes(threading.Thread):
    """Writes one key after another."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.over = threading.Event()
        self.acknowledged: list[float] = []

    def run(self) -> None:
        while not self.over.is_set():
            number = len(self.acknowledged)
            rustray.kv.put(f"{number:08d}", str(number).encode(), namespace="failover")
            self.acknowledged.append(time.monotonic())


def first_after(writes: Writes, moment: float, patience: float = 30.0) -> float:
    """Seconds from `moment` to the first acknowledgement of a write that was asked for after it."""
    asked = len(writes.acknowledged) + 1  # the one under way may have been committed before
    deadline = moment + patience
    while len(writes.acknowledged) <= asked:
        if time.monotonic() > deadline:
            return float("inf")
        time.sleep(0.001)
    return writes.acknowledged[asked] - moment


def new_lease(number: int) -> None:
    """A task of a function that nobody has a lease for."""

    def fresh() -> int:
        return number

    assert rustray.get(rustray.remote(num_cpus=0)(fresh).remote(), timeout=60) == number


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    options = parser.parse_args()
    with Cluster(heads=3, nodes=2, num_cpus=1) as cluster:
        rustray.init(cluster.address)
        tasks, writes = Tasks(), Writes()
        tasks.start()
        writes.start()
        while len(writes.acknowledged) < 50 or tasks.done < 1000:
            time.sleep(0.01)
        to_write, to_lease = [], []
        print(f"{'kill':>4} {'write s':>8} {'lease s':>8} {'pause of tasks s':>17} {'tasks done':>11}")
        for kill in range(options.kills):
            leader = cluster.leader
            tasks.pause = 0.0
            moment = time.monotonic()
            cluster.kill_head(leader)
            new_lease(kill)
            to_lease.append(time.monotonic() - moment)
            to_write.append(first_after(writes, moment))
            row = f"{kill + 1:>4} {to_write[-1]:>8.2f} {to_lease[-1]:>8.2f} {tasks.pause:>17.2f} {tasks.done:>11}"
            print(row, flush=True)
            cluster.restart_head(leader)
        writes.over.set()
        tasks.over.set()
        writes.join(30)
        tasks.join(60)
        kept = {int(key) for key in rustray.kv.keys("", namespace="failover")}
        lost = set(range(len(writes.acknowledged))) - kept
        rustray.shutdown()
    print(
        f"\nuntil the next write: median {statistics.median(to_write):.2f} s, most {max(to_write):.2f} s; "
        f"until the next lease: median {statistics.median(to_lease):.2f} s, most {max(to_lease):.2f} s"
    )
    print(
        f"{len(writes.acknowledged)} writes acknowledged, {len(lost)} lost; "
        f"{tasks.done} tasks done, {tasks.wrong} wrong"
    )


if __name__ == "__main__":
    main()
