"""What the sidebar's sparklines show of a cluster: live data without a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rustray_jupyter.live import Columns

NAME = "summary"
"""Among the panels of the WebSocket."""
SPAN_S = 60


def summary(samples: Sequence[Mapping[str, Any]], resources: Mapping[str, float]) -> Columns:
    """The sources "samples", a row each: "time" (milliseconds since the epoch), "cpu" (percent), "memory" and
    "memory_total" (bytes), "tasks" (a second); and "cluster", one row: "cpus".

    Parameters
    ----------
    samples: of the last `SPAN_S` seconds, as the question "metrics" gives them. resources: all that the cluster has.
    """
    return {
        "samples": {
            "time": [sample["time"] * 1000.0 for sample in samples],
            "cpu": [sample["cpu"] for sample in samples],
            "memory": [sample["memory"] for sample in samples],
            "memory_total": [sample["memory_total"] for sample in samples],
            "tasks": [sample["tasks_per_s"] for sample in samples],
        },
        "cluster": {"cpus": [resources.get("CPU", 0.0)]},
    }
