"""What an embedded server measures of itself: every question after real tasks ran."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rustray
from rustray.metrics import prometheus
from tests.integration.metrics import work
from tests.integration.metrics.work import query
from tests.support import Gate, eventually


@pytest.fixture(scope="module")
def kept() -> Iterator[list[Any]]:
    rustray.init(num_cpus=2)
    yield work.run_all()
    rustray.shutdown()


def test_functions(kept: list[Any]) -> None:
    work.check_functions(work.measured())


def test_events_tell_what_ran_when(kept: list[Any]) -> None:
    (node,) = query("nodes")
    for start, seconds, name, pid, function, outcome, task in work.events():
        assert abs(time.time() - start) < 120 and 0 <= seconds < 60
        assert name == node["name"] and pid > 0 and function and len(task) == 28
        assert outcome == ("failed" if function in ("bad", "again") else "ok")
    cursor = query("task_events", 0)["next"]
    ref = work.slow.remote()
    rustray.get(ref)

    def news() -> Any:
        return query("task_events", cursor)["events"]

    ((*_when, function, outcome, task),) = eventually(news)
    assert (function, outcome, task) == ("slow", "ok", ref.task_id())


def test_a_task_that_runs_is_told_before_it_ends(kept: list[Any], tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")

    @rustray.remote
    def held(gate: Gate) -> None:
        gate.wait()

    ref = held.remote(gate)
    ((since, node, pid, function, task),) = eventually(lambda: query("task_events", 0)["running"])
    assert abs(time.time() - since) < 60 and node == query("nodes")[0]["name"] and pid > 0
    assert function.endswith("held") and task == ref.task_id()
    gate.open()
    rustray.get(ref)
    told: dict[str, Any] = {"running": [task]}

    def is_over() -> bool:
        told.update(query("task_events", 0))
        return not told["running"]

    eventually(is_over)
    assert task in [event[-1] for event in told["events"]], "the same answer tells that it has ended"


def test_what_was_stopped_has_not_failed(kept: list[Any], tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")

    @rustray.remote(max_retries=0)
    def stopped(gate: Gate) -> None:
        gate.wait()

    began = query("metrics")[-1]["time"]
    refs = [stopped.remote(gate) for _ in range(10)]
    gate.wait_for_waiters()
    for ref in refs:
        rustray.cancel(ref, force=True)

    def told() -> Any:
        rows = [row for name, row in work.functions().items() if name.endswith("stopped")]
        return rows[0] if rows and rows[0]["cancelled"] else None

    eventually(lambda: eventually(told)["cancelled"] == len(refs))
    assert (told()["failed"], told()["finished"], told()["running"]) == (0, 0, 0)
    now = query("metrics")[-1]["time"]
    eventually(lambda: query("metrics")[-1]["time"] > now)
    assert not any(sample["failed_per_s"] for sample in query("metrics", began))


def test_how_long_a_stopped_task_ran_is_no_run_time(kept: list[Any], tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")

    @rustray.remote
    def passing(gate: Gate | None) -> None:
        if gate is not None:
            gate.wait()

    rustray.get([passing.remote(None) for _ in range(3)])
    ref = passing.remote(gate)
    gate.wait_for_waiters(1)
    rustray.cancel(ref)
    with pytest.raises(rustray.exceptions.TaskCancelledError):
        rustray.get(ref)

    def told() -> Any:
        rows = [row for name, row in work.functions().items() if name.endswith("passing")]
        return rows[0] if rows and rows[0]["cancelled"] and rows[0]["ahead"] == 0 else None

    row = eventually(told)
    assert (row["finished"], row["cancelled"], sum(row["run_histogram"]["counts"])) == (3, 1, 3)


def test_samples_of_cluster_and_node(kept: list[Any]) -> None:
    began = time.time()
    refs = [work.quick.remote() for _ in range(2000)]
    rustray.get(refs)
    eventually(lambda: any(sample["tasks_per_s"] > 100 for sample in query("metrics", began)))
    (name,) = query("node_metrics")

    def ran() -> bool:
        return any(sample["tasks_per_s"] > 100 for sample in query("node_metrics", began)[name])

    eventually(ran)
    sample = query("metrics")[-1]
    assert len(sample["levels"]) == 4 and sample["suspended"] == 0 and sample["spilled"] == 0
    assert sample["leases"] >= 1, "the actor has one"
    assert sample["store"] >= 8 << 20
    sample = query("node_metrics")[name][-1]
    assert sample["cpus"] >= 1 and 0 <= sample["cpu"] <= 100 and sample["gpus"] == []
    assert sample["workers"] >= 1 and sample["memory"] < sample["memory_total"]
    for what in ("disk_read", "disk_write", "net_in", "net_out"):
        assert sample[f"{what}_per_s"] >= 0


def test_what_runs_and_waits_now(kept: list[Any], tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")

    @rustray.remote
    def held() -> None:
        gate.wait()

    name = f"{test_what_runs_and_waits_now.__name__}.<locals>.held"
    refs = [held.remote() for _ in range(5)]
    gate.wait_for_waiters(2)
    (node,) = query("node_metrics")

    def seen() -> bool:
        rows = {(r["state"], r["node"]): r["count"] for r in query("tasks") if r["function"] == name}
        return rows == {("running", node): 2, ("waiting", ""): 3}

    eventually(seen)
    row = work.functions()[name]
    assert (row["running"], row["waiting"], row["p50_s"]) == (2, 3, None)
    levels = query("levels")
    assert [level["quantum_s"] for level in levels] == [0.02, 0.2, 2.0, None]
    assert sum(level["waiting"] for level in levels) >= 1 and sum(level["running"] for level in levels) >= 2
    gate.open()
    rustray.get(refs)
    eventually(lambda: not any(r["function"] == name for r in query("tasks")))


def test_heads_network_and_objects(kept: list[Any]) -> None:
    (head,) = query("heads")
    assert head["state"] == "leads" and head["committed"] > 0 and head["lag"] == 0
    assert query("network") == []
    (row,) = query("objects")
    assert row["used"] >= 8 << 20 and row["capacity"] > row["used"] and row["count"] >= 1
    largest = row["objects"][0]
    assert largest["id"] == kept[1].hex() and largest["size"] >= 8 << 20
    assert largest["place"] == "memory" and largest["references"] >= 1 and largest["owner_node"] == 1
    assert len(query("objects", 0)[0]["objects"]) == 0


def test_prometheus_and_timeline(kept: list[Any], tmp_path: Path) -> None:
    text = prometheus.render(query)
    assert (
        'rustray_task_finished_total{function="quick"}' in text and 'rustray_store_used_bytes{node="' in text
    )
    work.events()
    path = tmp_path / "trace.json"
    assert rustray.timeline(str(path)) is None
    names = {event["name"] for event in json.loads(path.read_text())["traceEvents"]}
    assert {"slow", "bad (failed)", "process_name", "thread_name"} <= names
    told = rustray.timeline()
    assert told is not None and sum(event["name"] == "slow" for event in told) >= work.SLOW
