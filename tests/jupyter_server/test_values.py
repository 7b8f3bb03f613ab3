"""Plain values as JSON, and what counts as work."""

from __future__ import annotations

import json
from typing import Any

from rustray_jupyter.activity import last_work
from rustray_jupyter.json_values import json_value


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
