"""Work that leaves something to be measured, and how to ask for it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

import rustray
from rustray.driver.current import current
from tests.support import eventually

QUICK, SLOW, SLOW_S, SLOW_CPU_S = 300, 4, 0.2, 0.05


def query(what: str, *args: Any) -> Any:
    return current().requests.query(what, *args)


@rustray.remote
def quick() -> None:
    pass


@rustray.remote
def slow() -> None:
    """Takes SLOW_S, and SLOW_CPU_S of processor time of it, or longer where others have the processors."""
    end, used = time.monotonic() + SLOW_S, time.thread_time() + SLOW_CPU_S
    while time.thread_time() < used:
        pass
    time.sleep(max(0.0, end - time.monotonic()))


@rustray.remote(max_retries=0)
def bad() -> None:
    raise ValueError("bad")


@rustray.remote(max_retries=1, retry_exceptions=True)
def again() -> None:
    raise ValueError("again")


@rustray.remote
class Counter:
    def __init__(self) -> None:
        self.value = 0

    def inc(self) -> int:
        self.value += 1
        return self.value


def run_all() -> list[Any]:
    """Run tasks of each kind to their end; what is to be kept: an actor, and a big object."""
    rustray.get([quick.remote() for _ in range(QUICK)])
    rustray.get([slow.remote() for _ in range(SLOW)])
    for function in (bad, again):
        try:
            rustray.get(function.remote())
        except ValueError:
            continue
        raise AssertionError("it should have failed")
    counter = Counter.remote()
    assert rustray.get([counter.inc.remote() for _ in range(10)])[-1] == 10
    return [counter, rustray.put(np.ones(1 << 20))]


def functions() -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in query("function_metrics")}


def measured() -> dict[str, dict[str, Any]]:
    """What functions took, when all of `run_all` has been told."""

    def told() -> dict[str, dict[str, Any]] | None:
        rows = functions()
        all_there = (
            rows.get("quick", {}).get("finished") == QUICK
            and rows.get("slow", {}).get("finished") == SLOW
            and rows.get("Counter.inc", {}).get("finished") == 10
            and rows.get("again", {}).get("failed") == 1
            and rows.get("slow", {}).get("wait_p50_s") is not None
        )
        return rows if all_there else None

    return eventually(told) or {}


def check_functions(rows: dict[str, dict[str, Any]]) -> None:
    """Numbers of `run_all`, whatever cluster it ran on."""
    slow_row = rows["slow"]
    assert SLOW_S <= slow_row["mean_s"] and slow_row["p50_s"] <= slow_row["p95_s"] <= slow_row["max_s"]
    assert 0.95 * SLOW * SLOW_CPU_S < slow_row["cpu_s"] <= SLOW * slow_row["max_s"] + 0.5
    assert 5 << 20 < slow_row["peak_memory"] < 4 << 30
    assert sum(slow_row["run_histogram"]["counts"]) == SLOW
    assert rows["quick"]["p50_s"] < 0.05 and sum(rows["quick"]["wait_histogram"]["counts"]) == QUICK
    assert (rows["bad"]["finished"], rows["bad"]["failed"], rows["bad"]["retried"]) == (0, 1, 0)
    assert (rows["again"]["failed"], rows["again"]["retried"]) == (1, 1)
    assert rows["Counter.inc"]["failed"] == 0


def events() -> list[tuple[Any, ...]]:
    """All task events, when the last of `run_all` is among them."""

    def told() -> list[tuple[Any, ...]] | None:
        found = query("task_events", 0)["events"]
        names = [event[4] for event in found]
        return found if names.count("slow") >= SLOW and "again" in names and "bad" in names else None

    return eventually(told) or []
