from __future__ import annotations

from typing import Any

import pytest

from rustray.metrics.functions import FUNCTIONS, Functions, Owned, Ran
from rustray.metrics.histogram import SECONDS, bucket


def ran(name: str = "f", seconds: float = 0.5, count: int = 1, **more: Any) -> tuple[Any, ...]:
    runs = [(bucket(SECONDS, seconds), count)]
    row = Ran(name, runs, seconds * count, 0, seconds, 0.1, 1 << 20)
    return tuple(row._replace(**more))


def owned(name: str = "f", **more: Any) -> tuple[Any, ...]:
    return tuple(Owned(name, 0, [], [], [], 0.0, 0, 0, 0)._replace(**more))


def test_each_number_comes_from_who_sees_it() -> None:
    functions = Functions()
    functions.ran([ran(count=9), ran(count=1, errors=1, longest=0.55, memory=5 << 20)])
    waits = [(bucket(SECONDS, 0.02), 10)]
    functions.owned("n1", [owned(waits=waits, waited=0.2, failed=1, retried=2, cancelled=3)])
    (row,) = functions.rows()
    assert (row["finished"], row["failed"], row["retried"], row["cancelled"]) == (9, 1, 2, 3)
    assert row["mean_s"] == pytest.approx(0.5) and row["max_s"] == 0.55
    assert row["p50_s"] <= row["p95_s"] <= row["max_s"]
    assert 0.01 <= row["wait_p50_s"] <= row["wait_p95_s"] <= 0.0316
    assert row["cpu_s"] == pytest.approx(0.2) and row["peak_memory"] == 5 << 20
    assert sum(row["run_histogram"]["counts"]) == 10
    assert len(row["run_histogram"]["counts"]) == len(row["run_histogram"]["bounds"]) + 1
    assert sum(row["memory_histogram"]["counts"]) == 2


def test_before_anything_ran_there_are_no_times() -> None:
    functions = Functions()
    functions.owned("n1", [owned(waiting=4)])
    (row,) = functions.rows()
    assert row["waiting"] == 4 and row["finished"] == 0
    assert row["mean_s"] is row["p95_s"] is row["max_s"] is row["wait_p50_s"] is None


def test_how_things_are_is_as_of_the_last_word_of_each_node() -> None:
    functions = Functions()
    functions.owned("n1", [owned(waiting=4, running=[(1, 2)]), owned("g", suspended=[(2, 1)])])
    functions.owned("n2", [owned(running=[(1, 1)])])
    assert functions.tasks({1: "n1", 2: "n2"}) == [
        {"function": "f", "state": "running", "node": "n1", "count": 3},
        {"function": "f", "state": "waiting", "node": "", "count": 4},
        {"function": "g", "state": "suspended", "node": "n2", "count": 1},
    ]
    functions.owned("n1", [])
    functions.forget("n2")
    assert functions.tasks({}) == []
    assert {row["name"]: row["running"] for row in functions.rows()} == {"f": 0, "g": 0}


def test_the_last_one_heard_of_is_first_and_few_are_remembered() -> None:
    functions = Functions()
    functions.ran([ran(f"f{at}") for at in range(FUNCTIONS + 5)])
    functions.ran([ran("f100")])
    rows = functions.rows()
    assert len(rows) == FUNCTIONS and rows[0]["name"] == "f100"
    assert "f0" not in {row["name"] for row in rows}
