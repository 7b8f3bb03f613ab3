from __future__ import annotations

import marshal
from bisect import bisect_left
from typing import Any

import pytest

from rustray.metrics.functions import (
    FUNCTIONS,
    HANDED,
    HANDED_AGAIN,
    OTHER,
    QUIET_S,
    Functions,
    Owned,
    Ran,
)
from rustray.metrics.histogram import SECONDS

NOW = 1000.0


def ran(name: str = "f", seconds: float = 0.5, count: int = 1, **more: Any) -> tuple[Any, ...]:
    runs = [(bisect_left(SECONDS, seconds), count)]
    row = Ran(name, runs, seconds * count, 0, seconds, 0.1, 1 << 20, 0)
    return tuple(row._replace(**more))


def owned(name: str = "f", **more: Any) -> tuple[Any, ...]:
    return tuple(Owned(name, 0, [], [], [], 0.0, 0, 0, 0)._replace(**more))


def test_each_number_comes_from_who_sees_it() -> None:
    functions = Functions()
    functions.ran([ran(count=9), ran(count=1, errors=1, longest=0.55, memory=5 << 20)], NOW)
    waits = [(bisect_left(SECONDS, 0.02), 10)]
    functions.owned("n1", [owned(waits=waits, waited=0.2, failed=1, retried=2, cancelled=3)], NOW)
    (row,) = functions.rows()
    assert (row["finished"], row["failed"], row["retried"], row["cancelled"]) == (9, 1, 2, 3)
    assert row["mean_s"] == pytest.approx(0.5) and row["max_s"] == 0.55
    assert row["p50_s"] <= row["p95_s"] <= row["max_s"]
    assert 0.01 <= row["wait_p50_s"] <= row["wait_p95_s"] <= 0.0316
    assert row["cpu_s"] == pytest.approx(0.2) and row["peak_memory"] == 5 << 20
    assert sum(row["run_histogram"]["counts"]) == 10
    assert len(row["run_histogram"]["counts"]) == len(row["run_histogram"]["bounds"]) + 1
    assert sum(row["memory_histogram"]["counts"]) == 2


def test_runs_that_were_stopped_are_in_no_time_and_yet_known_to_have_ended() -> None:
    functions, other = Functions(), Functions()
    functions.ran([ran(seconds=2.0, count=4), ran(count=0, runs=[], stopped=2)], NOW)
    functions.owned("n1", [owned(waits=[(0, 6)], waited=0.0, cancelled=2)], NOW)
    other.take(functions.hand())
    for row in (*functions.rows(), other.rows()[0]):
        assert (row["finished"], row["cancelled"], row["ahead"]) == (4, 2, 0)
        assert row["mean_s"] == pytest.approx(2.0) and sum(row["run_histogram"]["counts"]) == 4


def test_before_anything_ran_there_are_no_times() -> None:
    functions = Functions()
    functions.owned("n1", [owned(waiting=4)], NOW)
    (row,) = functions.rows()
    assert row["waiting"] == 4 and row["finished"] == 0
    assert row["mean_s"] is row["p95_s"] is row["max_s"] is row["wait_p50_s"] is None


def test_how_things_are_is_as_of_the_last_word_of_each_node() -> None:
    functions = Functions()
    functions.owned("n1", [owned(waiting=4, running=[(1, 2)]), owned("g", suspended=[(2, 1)])], NOW)
    functions.owned("n2", [owned(running=[(1, 1)])], NOW)
    assert functions.tasks({1: "n1", 2: "n2"}) == [
        {"function": "f", "state": "running", "node": "n1", "count": 3},
        {"function": "f", "state": "waiting", "node": "", "count": 4},
        {"function": "g", "state": "suspended", "node": "n2", "count": 1},
    ]
    functions.owned("n1", [], NOW)
    functions.forget("n2")
    assert functions.tasks({}) == []
    assert {row["name"]: row["running"] for row in functions.rows()} == {"f": 0, "g": 0}


def test_the_last_one_heard_of_is_first() -> None:
    functions = Functions()
    functions.ran([ran("f"), ran("g")], NOW)
    functions.ran([ran("f")], NOW + 1)
    assert [(row["name"], row["last"]) for row in functions.rows()] == [("f", NOW + 1), ("g", NOW)]


def test_of_many_functions_only_some_have_a_name_and_the_others_are_counted_together() -> None:
    functions = Functions()
    total, others = 0, 0
    for minute in range(200):
        now = NOW + 60 * minute
        functions.ran([ran(f"f{minute}-{at}") for at in range(500)], now)
        functions.owned("n", [owned(f"f{minute}-{at}", failed=1, waiting=1) for at in range(500)], now)
        total += 500
        rows = functions.rows()
        assert len(rows) <= FUNCTIONS + 1 and rows[-1]["name"] == OTHER
        assert sum(row["finished"] for row in rows) == total == sum(row["failed"] for row in rows)
        assert sum(row["waiting"] for row in rows) == 500
        assert sum(task["count"] for task in functions.tasks({})) == 500
        assert rows[-1]["finished"] >= others, "a counter never goes down"
        others = rows[-1]["finished"]
    assert len({task["function"] for task in functions.tasks({})}) <= FUNCTIONS + 1


def test_a_name_that_is_in_use_is_not_given_away() -> None:
    functions = Functions()
    functions.ran([ran(f"f{at}") for at in range(FUNCTIONS)], NOW)
    functions.ran([ran("f0")], NOW + QUIET_S)
    functions.ran([ran("new")], NOW + QUIET_S)
    names = {row["name"]: row["finished"] for row in functions.rows()}
    assert names["f0"] == 2 and names["new"] == 1 and names[OTHER] == 1 and "f1" not in names


def test_another_head_has_them_all_in_the_end() -> None:
    leader, late = Functions(), Functions()
    leader.ran([ran(f"f{at}", count=3, longest=0.7) for at in range(FUNCTIONS + 50)], NOW)
    leader.owned("n", [owned("f7", waits=[(3, 2)], waited=0.1, failed=1, cancelled=2, retried=3)], NOW)
    while leader._news:
        leader.hand()
    for _ in range(2 * FUNCTIONS // HANDED_AGAIN):
        handed = leader.hand()
        assert len(handed) <= HANDED + HANDED_AGAIN + 1
        late.take(marshal.loads(marshal.dumps(handed)))

    def plain(functions: Functions) -> dict[str, Any]:
        return {row["name"]: row for row in functions.rows()}

    assert plain(late) == plain(leader)
    late.lead()
    late.ran([ran("f7", count=2)], NOW + 1)
    assert plain(late)["f7"]["finished"] == 5 and plain(late)["f7"]["failed"] == 1
