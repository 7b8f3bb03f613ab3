"""``python -m tests.simulation SEED [SEED...]``, or FIRST-LAST: run seeds, and tell which fail and why."""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import Any

if os.environ.get("PYTHONHASHSEED") != "0":
    # Sets are in the order of hashes: another one would be another history.
    os.environ["PYTHONHASHSEED"] = "0"
    os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])

from tests.simulation.cluster import Failed, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("seeds", nargs="+", help="a seed, or FIRST-LAST")
    parser.add_argument("--trace", action="store_true", help="print everything that happens")
    parser.add_argument("--strict", action="store_true", help="check the scheduler's book after each step")
    parser.add_argument("--keep-going", action="store_true", help="run the other seeds when one has failed")
    options = parser.parse_args()
    started, count, steps, failed = time.perf_counter(), 0, 0, []
    for seed in _seeds(options.seeds):
        try:
            cluster = run(seed, options.strict, _print if options.trace else None)
            steps += cluster.clock.steps
        except Failed as error:
            failed.append(seed)
            print(f"FAILED {error}", flush=True)
            if not options.keep_going:
                break
        count += 1
    seconds = time.perf_counter() - started
    print(
        f"{count} seeds, {steps} steps, {seconds:.1f} s, {count / seconds:.1f} seeds/s; failed: {failed or 'none'}"
    )
    return 1 if failed else 0


def _seeds(words: list[str]) -> Any:
    for word in words:
        first, _dash, last = word.partition("-")
        yield from range(int(first), int(last or first) + 1)


def _print(now: float, *fields: Any) -> None:
    print(f"{now:10.4f}", *fields)


if __name__ == "__main__":
    sys.exit(main())
