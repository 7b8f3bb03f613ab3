"""Samples of the cluster as the columns that panels draw, and as the words above them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

GIB, MIB = 2.0**30, 2.0**20

Columns = dict[str, list[float]]


def resource_columns(samples: Sequence[dict[str, Any]]) -> Columns:
    """One row a sample of `node.monitor`.

    "time" (milliseconds since the epoch, as Bokeh counts), "cpu" (percent), "memory" (GiB), "tasks" (a second),
    "workers" and "busy" (processes).
    """
    return {
        "time": [sample["time"] * 1000.0 for sample in samples],
        "cpu": [sample["cpu"] for sample in samples],
        "memory": [sample["memory"] / GIB for sample in samples],
        "tasks": [sample["tasks_per_s"] for sample in samples],
        "workers": [float(sample["workers"]) for sample in samples],
        "busy": [float(sample["busy"]) for sample in samples],
    }


def resource_captions(sample: dict[str, Any] | None) -> list[tuple[str, str, str]]:
    """(name, value, what goes with it) of each panel, from the latest sample; None before the first."""
    if sample is None:
        return [("CPU", "–", ""), ("Memory", "–", ""), ("Tasks", "–", ""), ("Workers", "–", "")]
    store = sample["store"]
    stored = f"store {store / GIB:.1f} GiB" if store >= GIB else f"store {store / MIB:.0f} MiB"
    failed = f"{sample['failed_per_s']:,.0f}/s failed" if sample["failed_per_s"] else ""
    return [
        ("CPU", f"{sample['cpu']:.0f} %", ""),
        ("Memory", f"{sample['memory'] / GIB:.1f} GiB", f"of {sample['memory_total'] / GIB:.1f}, {stored}"),
        ("Tasks", f"{sample['tasks_per_s']:,.0f}/s", failed),
        ("Workers", f"{sample['busy']} busy", f"of {sample['workers']}"),
    ]
