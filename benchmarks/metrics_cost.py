"""What collecting metrics costs: processor time of all processes of a cluster, with it and without, in turn.

    python benchmarks/metrics_cost.py                     a head, a node, two workers, 1,000 empty tasks a second
    python benchmarks/metrics_cost.py --pairs 30 --window 10 --rate 0       idle

The driver keeps one pace all the time. Collection is switched on and off in the same processes by a byte that they
share (`metrics_switch/`): each window is compared with the one right after it, so that neither the machine's other work
nor one start of a process counts for only one side. RustRay itself has no such switch.
"""

from __future__ import annotations

import argparse
import mmap
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

HERE = Path(__file__).resolve().parent
BATCH_S = 0.01
SETTLE_S = 0.6
"""Between two windows: what the last one left to be told."""


def cpu_seconds(processes: list[psutil.Process]) -> float:
    """Of all their threads, from the scheduler's own account, which counts nanoseconds."""
    return sum(_of(Path(f"/proc/{process.pid}/task")) for process in processes)


def _of(threads: Path) -> float:
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads.iterdir()) / 1e9


def paced(rate: float, seconds: float) -> Iterator[int]:
    """How many tasks to submit now, so that there are `rate` a second."""
    began = time.monotonic()
    submitted = 0
    while (passed := time.monotonic() - began) < seconds:
        due = int(passed * rate) - submitted
        submitted += due
        yield due
        time.sleep(max(0.0, BATCH_S - (time.monotonic() - began - passed)))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=float, default=1000.0, help="tasks a second")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--window", type=float, default=6.0, help="seconds")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        switch = Path(folder) / "switch"
        switch.write_bytes(b"\1")
        os.environ["RUSTRAY_METRICS_SWITCH"] = str(switch)
        os.environ["PYTHONPATH"] = os.pathsep.join(
            filter(None, (str(HERE / "metrics_switch"), os.environ.get("PYTHONPATH")))
        )
        os.environ["RUSTRAY_RUNTIME_DIR"] = folder
        sys.path.insert(0, str(HERE / "metrics_switch"))
        import sitecustomize  # this process is the driver, and has begun without it

        measure(sitecustomize.Finder.page, options.rate, options.pairs, options.window)


def measure(page: mmap.mmap, rate: float, pairs: int, window: float) -> None:
    import rustray
    from rustray.driver.current import current
    from rustray.testing import Cluster

    @rustray.remote
    def noop() -> None:
        pass

    with Cluster(heads=1, nodes=1, num_cpus=2) as cluster:
        rustray.init(cluster.address)

        def run(seconds: float) -> int:
            """How many tasks were done in so many seconds."""
            done = 0
            for count in paced(rate, seconds):
                rustray.get([noop.remote() for _ in range(count)])
                done += count
            return done

        run(3.0)
        me = psutil.Process()
        processes = [me, *me.children(recursive=True)]

        def told(since: float) -> list[object]:
            samples: list[object] = current().requests.query("metrics", since)
            return samples

        def used(collect: bool) -> tuple[float, float]:
            """(percent of a core, tasks a second) of a window."""
            page[0] = collect
            run(SETTLE_S)
            since = time.time()
            began, before = time.monotonic(), cpu_seconds(processes)
            done = run(window)
            passed = time.monotonic() - began
            assert bool(told(since)) is collect, "what is switched is what is measured"
            return 100 * (cpu_seconds(processes) - before) / passed, done / passed

        both: list[tuple[float, float]] = []
        paces = []
        for pair in range(pairs):
            first = bool(pair % 2)  # what comes first changes from pair to pair
            one, pace = used(first)
            other, _pace = used(not first)
            both.append((one, other) if first else (other, one))
            paces.append(pace)
        rustray.shutdown()
    costs = [collecting - resting for collecting, resting in both]
    low, median, high = statistics.quantiles(costs, n=4)
    with_it, without = (statistics.median(side) for side in zip(*both, strict=True))
    print(
        f"{statistics.median(paces):,.0f} tasks/s, {pairs} pairs of {window:g} s, {len(processes)} processes"
    )
    print(f"with it {with_it:.2f} %, without {without:.2f} % of a core")
    print(f"collecting costs {median:.2f} % of a core (quartiles {low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
