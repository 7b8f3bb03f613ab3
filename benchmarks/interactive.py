"""How long a quick task waits while every slot runs long ones, on RustRay and on Ray, in turn, in one run.

    python benchmarks/interactive.py                 5 s tasks in the background, 20 quick ones, a stream of 500
    python benchmarks/interactive.py --long 20 --quick-tasks 50 --stream 2000 --only rustray

For each system: two workers are kept busy by one driver with tasks that compute for `--long` seconds, and the same
driver submits quick tasks of another function, one after another: some now and then that do nothing, and then a steady
stream of such as take 10 ms, 40 ms apart: a quarter of a slot. What is told is how much longer than that they took.
Then, for RustRay, what quick tasks cost the batch (`batch_loss.py`), in `--pairs` pairs of windows with and without.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import batch_loss
from systems import system

HERE = Path(__file__).resolve().parent
WORKERS = 2
PAUSE_S = batch_loss.PAUSE_S
STREAM_TASK_S, STREAM_PAUSE_S = 0.01, 0.03


def compute(seconds: float) -> int:
    """Compute for so many seconds of this process's own time; returns how many rounds were done."""
    end = time.process_time() + seconds
    rounds = 0
    while time.process_time() < end:
        for _ in range(1000):
            rounds += 1
    return rounds


def quick(seconds: float) -> None:
    if seconds:
        time.sleep(seconds)


def wait_for_quick_tasks(
    name: str, long: float, count: int, patience: float, task: float, pause: float
) -> list[float]:
    """Seconds from submission to result of each quick task, less the `task` seconds that it takes."""
    api = system(name)
    api.start(WORKERS)
    try:
        api.get(api.submitter(quick)(task))
        # Enough that no slot is idle before the last quick task: they run two at a time.
        enough = int(2 * WORKERS + WORKERS * patience / long)
        background = api.submit_many(compute, [(long,)] * enough)
        time.sleep(min(1.0, long / 4))
        submit = api.submitter(quick)
        waits = []
        over = time.perf_counter() + patience
        for _ in range(count):
            start = time.perf_counter()
            if start > over:
                break
            api.get(submit(task))
            waits.append(time.perf_counter() - start - task)
            time.sleep(pause)
        del background
        return waits
    finally:
        api.stop()


def batch(pairs: int, window: float) -> batch_loss.Loss:
    api = system("rustray")
    api.start(WORKERS)
    try:
        return batch_loss.measure(api, WORKERS, pairs, window)
    finally:
        api.stop()


def in_own_process(*arguments: str) -> Any:
    environment = dict(os.environ, RAY_USAGE_STATS_ENABLED="0")
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")])
    )
    command = [sys.executable, __file__, "--inner", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def percentile(values: list[float], share: float) -> float:
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--long", type=float, default=5.0, help="seconds that a background task computes")
    parser.add_argument("--quick-tasks", type=int, default=20, help="how many quick tasks to time")
    parser.add_argument("--stream", type=int, default=500, help="how many of a stream to time; 0: none")
    parser.add_argument(
        "--patience", type=float, default=60.0, help="seconds for the quick tasks of one system"
    )
    parser.add_argument("--pairs", type=int, default=16, help="pairs of windows of the batch; 0: none")
    parser.add_argument("--window", type=float, default=2.5, help="seconds of such a window")
    parser.add_argument("--only", default="rustray,ray", help="systems, separated by commas")
    parser.add_argument("--inner", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inner:
        what, *rest = options.inner
        if what == "batch":
            print(json.dumps(batch(int(rest[0]), float(rest[1]))))
        else:
            long, count, patience, task, pause = map(float, rest)
            print(json.dumps(wait_for_quick_tasks(what, long, int(count), patience, task, pause)))
        return
    print(
        f"A quick task beside {options.long:g} s tasks on all of {WORKERS} slots, seconds until its result:\n"
    )
    print(f"{'':18}{'median':>10}{'p95':>10}{'most':>10}{'timed':>8}")
    kinds = [
        ("", options.quick_tasks, 0.0, PAUSE_S),
        (" stream", options.stream, STREAM_TASK_S, STREAM_PAUSE_S),
    ]
    for kind, count, task, pause in kinds:
        for name in options.only.split(",") if count else ():
            waits = in_own_process(name, *map(str, (options.long, count, options.patience, task, pause)))
            row = (statistics.median(waits), percentile(waits, 0.95), max(waits))
            told = "".join(f"{value:10.4f}" for value in row)
            print(f"{name + kind:18}{told}{len(waits):8}", flush=True)
    if "rustray" in options.only.split(",") and options.pairs:
        loss = batch_loss.Loss(*in_own_process("batch", str(options.pairs), str(options.window)))
        print(f"\n{loss.told()}")


if __name__ == "__main__":
    main()
