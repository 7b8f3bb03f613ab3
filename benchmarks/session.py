"""Measures one system in a process of its own. compare.py starts it and reads what it prints.

    python benchmarks/session.py SYSTEM WORKERS METRIC,METRIC,... [--quick]

Each line on its standard output is a JSON object {metric: value}. After {"idle": null} it waits for a line
on its standard input, so that compare.py can measure the memory of all its processes from outside.
"""

from __future__ import annotations

import json
import os
import sys
import time

from systems import system


def tell(values: dict[str, float | None]) -> None:
    os.write(results, json.dumps(values).encode() + b"\n")


def main() -> None:
    from functions import nap, noop  # before the clock runs: a user's own module would be there as well

    name, workers, metrics = sys.argv[1], int(sys.argv[2]), sys.argv[3].split(",")
    measured = system(name)
    started = time.perf_counter()
    measured.start(workers)
    measured.get(measured.submitter(noop)())
    ready = time.perf_counter() - started
    if "ready" in metrics:
        tell({"ready": ready})
    # Long enough for all workers to be there, and to have run something.
    measured.get_many(measured.submit_many(nap, [(0.3,)] * workers * 2))
    if "idle" in metrics:
        tell({"idle": None})
        sys.stdin.readline()

    from metrics import (
        MEASURE,
        QUICK,
        Effort,
        measure_million,
    )  # numpy only now: it would count as idle memory

    effort = QUICK if "--quick" in sys.argv else Effort()
    for metric in metrics:
        if metric == "million":
            tell({**measure_million(measured, workers, effort)})
        elif metric in MEASURE:
            try:
                tell({metric: MEASURE[metric](measured, effort)})
            except NotImplementedError:
                tell({metric: None})
    measured.stop()


if __name__ == "__main__":
    # What libraries print goes to the standard error, so that the results stand alone on the standard output.
    results = os.dup(1)
    os.dup2(2, 1)
    main()
