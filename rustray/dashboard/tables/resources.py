"""CPU, memory, object store, network, disk and tasks, of the cluster and of each node."""

from __future__ import annotations

from typing import Any

from rustray.dashboard.answers import Answers
from rustray.dashboard.tables.axes import BYTES, axis
from rustray.dashboard.tables.samples import cluster_columns, latest, node_columns
from rustray.dashboard.tables.words import UNKNOWN, Columns, Table, flow, legend, note, rate, values
from rustray.model.colours import DASHED, GREY
from rustray.model.quantities import byte_size


def tables(answers: Answers, now: float) -> Table:
    """Of "metrics" and "node_metrics"."""
    samples, nodes = answers["metrics"], answers["node_metrics"]
    seen = cluster_columns(samples, now)
    lines = node_columns(nodes, now, answers.node_colours)
    return {
        "samples": seen,
        "nodes": lines,
        "values": _values(latest(samples)),
        "legend": legend(
            [*_lines(lines["name"], lines["color"], len(nodes)), ("sent, written, spilled", DASHED)]
        ),
        "note": note("" if samples else "No samples yet"),
        "set": {
            **axis("memory", seen["memory_total"], ends=()),
            **axis("store", (*seen["store"], *seen["spilled"]), BYTES),
            **axis("network", (*seen["net_in"], *seen["net_out"]), BYTES),
            **axis("disk", (*seen["disk_read"], *seen["disk_write"]), BYTES),
            **axis("tasks", seen["tasks"]),
        },
    }


def _lines(names: list[str], colors: list[str], there: int) -> list[tuple[str, str]]:
    if GREY not in colors:
        return [*zip(names, colors, strict=True)]
    return [("a node each" if there == len(names) else f"a node each, the {len(names)} busiest", GREY)]


def _values(sample: Any) -> Columns:
    if sample is None:
        names = ("cpu", "CPU"), ("memory", "Memory"), ("tasks", "Tasks"), ("workers", "Workers")
        return values(*((key, label, UNKNOWN, "", None) for key, label in names))
    failed = f"{rate(sample['failed_per_s'])} failed" if sample["failed_per_s"] else ""
    spilled = f", {byte_size(sample['spilled'])} spilled" if sample["spilled"] else ""
    return values(
        ("cpu", "CPU", f"{sample['cpu']:.0f} %", f"of {sample['cpus']:.0f} cores", sample["cpu"]),
        (
            "memory",
            "Memory",
            byte_size(sample["memory"]),
            f"of {byte_size(sample['memory_total'])}",
            sample["memory"],
        ),
        (
            "store",
            "Object store",
            byte_size(sample["store"]),
            f"of {byte_size(sample['store_capacity'])}{spilled}",
            sample["store"],
        ),
        ("tasks", "Tasks", rate(sample["tasks_per_s"]), failed, sample["tasks_per_s"]),
        ("workers", "Workers", f"{sample['busy']:.0f} busy", f"of {sample['workers']:.0f}", sample["busy"]),
        (
            "network",
            "Network",
            flow(sample["net_in_per_s"] + sample["net_out_per_s"]),
            "",
            sample["net_in_per_s"] + sample["net_out_per_s"],
        ),
        (
            "disk",
            "Disk",
            flow(sample["disk_read_per_s"] + sample["disk_write_per_s"]),
            "",
            sample["disk_read_per_s"] + sample["disk_write_per_s"],
        ),
    )
