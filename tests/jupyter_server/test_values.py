"""Plain values as JSON, what counts as work, and what the sidebar shows."""

from __future__ import annotations

import json
from typing import Any

from rustray_jupyter.activity import last_work
from rustray_jupyter.dashboards import chosen
from rustray_jupyter.json_values import json_value
from rustray_jupyter.summary import summary


def test_what_json_lacks_is_said_otherwise() -> None:
    value = {
        "id": b"\x01\xff",
        "rate": float("nan"),
        "most": float("inf"),
        "of": {3},
        b"\x02": (1, 2.5),
        7: None,
    }
    assert json.loads(json.dumps(json_value(value), allow_nan=False)) == {
        "id": "01ff",
        "rate": None,
        "most": None,
        "of": [3],
        "02": [1, 2.5],
        "7": None,
    }


def sample(time: float, busy: int = 0, tasks_per_s: float = 0.0) -> dict[str, Any]:
    return {"time": time, "busy": busy, "tasks_per_s": tasks_per_s}


def test_work_is_a_busy_worker_or_a_task_that_has_ended() -> None:
    assert last_work([]) is None
    assert last_work([sample(1.0), sample(2.0)]) is None
    assert last_work([sample(1.0, busy=1), sample(2.0)]) == 1.0
    assert last_work([sample(1.0, busy=1), sample(2.0, tasks_per_s=4.0), sample(3.0)]) == 2.0


def test_panels_are_named_with_commas_and_all_must_be_known() -> None:
    assert chosen("b,a,,b", ("a", "b")) == ["b", "a"]
    assert chosen("a,c", ("a", "b")) == chosen("", ("a", "b")) == []


def test_the_summary_has_columns_of_samples_and_the_size_of_the_cluster() -> None:
    samples = [{**sample(2.0, tasks_per_s=7.0), "cpu": 50.0, "memory": 3, "memory_total": 4}]
    assert summary(samples, {"CPU": 2.0}) == {
        "samples": {"time": [2000.0], "cpu": [50.0], "memory": [3], "memory_total": [4], "tasks": [7.0]},
        "cluster": {"cpus": [2.0]},
    }
    assert summary([], {})["cluster"] == {"cpus": [0.0]}
