"""The same work on RustRay, Ray, Dask distributed and a process pool, in turn, in one run.

    python benchmarks/compare.py                                    everything; writes benchmarks/RESULTS.md
    python benchmarks/compare.py --only rustray,ray --metrics sync,async --rounds 1 --quick

Every round runs each system once, in a process of its own, one after another, and so do the limits of
floor.py. What is printed is the median of the rounds. `pip install -e .[bench]` brings the other systems.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import uuid
from collections import defaultdict
from pathlib import Path

import psutil
from metrics import METRICS
from report import Medians, as_markdown, as_text
from systems import NAMES

HERE = Path(__file__).resolve().parent
WORKERS = 2
MARK = "RUSTRAY_BENCHMARK"  # every process of a session inherits it, and is found by it
SETTLE = 2.0  # seconds after the warm-up until memory is measured

PATIENCE = 900.0  # seconds that one session may take
RESULTS = HERE / "RESULTS.md"


def fair_environment() -> dict[str, str]:
    environment = dict(os.environ, RAY_USAGE_STATS_ENABLED="0")
    # Where this is set, a library without byte code is compiled at each start, and looks slower than it is.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")])
    )
    return environment


def compile_everything() -> None:
    for folder in (sysconfig.get_path("purelib"), str(HERE.parent / "rustray"), str(HERE)):
        compileall.compile_dir(folder, quiet=2, workers=0)


def processes_of(session: psutil.Process, mark: str) -> list[psutil.Process]:
    """The session and all that it started, whether they are still its children or not."""
    found = {session, *session.children(recursive=True)} if session.is_running() else set()
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                found.add(process)
        except psutil.Error:  # it has ended, or it is another user's
            continue
    return list(found)


def unique_memory(processes: list[psutil.Process]) -> float:
    """MiB that would be free if these processes ended: the sum of their unique set sizes."""
    total = 0
    for process in processes:
        try:
            total += process.memory_full_info().uss
        except psutil.Error:  # it has ended since
            continue
    return total / 2**20


def run_session(name: str, metrics: list[str], quick: bool) -> dict[str, float | None]:
    """One system in a process of its own. What it could not measure is None, or missing where it failed."""
    mark = uuid.uuid4().hex
    command = [sys.executable, str(HERE / "session.py"), name, str(WORKERS), ",".join(metrics)]
    values: dict[str, float | None] = {}
    with tempfile.TemporaryFile("w+") as log:
        session = subprocess.Popen(
            command + ["--quick"] * quick,
            env={**fair_environment(), MARK: mark},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert session.stdin and session.stdout
        process = psutil.Process(session.pid)
        too_long = threading.Timer(PATIENCE, session.kill)
        too_long.start()
        for line in session.stdout:
            values.update(json.loads(line))
            if values.get("idle", 0) is None:
                time.sleep(SETTLE)
                values["idle"] = unique_memory(processes_of(process, mark))
                session.stdin.write("\n")
                session.stdin.flush()
        status = session.wait()
        too_long.cancel()
        if status != 0:
            log.seek(0)
            print(f"{name} ended with status {status}:\n{log.read()[-3000:]}", file=sys.stderr)
    end_processes(process, mark, name)
    return values


def end_processes(session: psutil.Process, mark: str, name: str) -> None:
    """Wait until all that the session started has ended, so that it does not disturb the next."""
    deadline = time.monotonic() + 20
    while (left := processes_of(session, mark)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for process in left:
        print(f"{name} left {process.pid} {process.name()} running; killed", file=sys.stderr)
        process.kill()


def run_floor(quick: bool) -> dict[str, float | None]:
    command = [sys.executable, str(HERE / "floor.py"), "--json"] + ["--quick"] * quick
    limits: dict[str, float | None] = json.loads(
        subprocess.check_output(command, env=fair_environment(), text=True)
    )
    return limits


def medians(samples: dict[str, dict[str, list[float]]]) -> Medians:
    return {
        name: {metric: statistics.median(values) for metric, values in by_metric.items()}
        for name, by_metric in samples.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare RustRay with Ray, Dask and a process pool.")
    parser.add_argument("--only", default=",".join(NAMES), help="systems (default: all)")
    parser.add_argument("--metrics", default=",".join(METRICS), help=f"of {', '.join(METRICS)}, million")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each system (default 3)")
    parser.add_argument(
        "--quick", action="store_true", help="less work for each measurement, for a first look"
    )
    parser.add_argument(
        "--output", type=Path, help="where to write the table (default: RESULTS.md for a full run)"
    )
    args = parser.parse_args()
    names, metrics = args.only.split(","), args.metrics.split(",")
    if unknown := {*names} - {*NAMES} | {*metrics} - {*METRICS, "million"}:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    complete = names == [*NAMES] and metrics == [*METRICS] and not args.quick

    compile_everything()
    samples: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number in range(1, args.rounds + 1):
        for name in ["floor", *names]:
            print(f"round {number} of {args.rounds}: {name}", file=sys.stderr, flush=True)
            values = run_floor(args.quick) if name == "floor" else run_session(name, metrics, args.quick)
            for metric, value in values.items():
                if value is not None:
                    samples[name][metric].append(value)
    if complete and "rustray" in samples:
        print("a million tasks: rustray", file=sys.stderr, flush=True)
        for metric, value in run_session("rustray", ["million"], quick=False).items():
            if value is not None:
                samples["rustray"][metric].append(value)

    results = medians(samples)
    print(as_text(results, names))
    output = args.output or (RESULTS if complete else None)
    if output:
        output.write_text(as_markdown(results, names, args.rounds))


if __name__ == "__main__":
    main()
