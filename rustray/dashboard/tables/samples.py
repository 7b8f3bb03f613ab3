"""Samples over time, as columns that figures of several panels have."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rustray.dashboard.tables.words import Columns, short_node
from rustray.model.colours import FUNCTIONS, GREY, Colours

SPAN_S = 120.0
"""Seconds that the axes of time show."""
NODES = 16
"""Nodes with a line of their own: the busiest ones."""
NODE_POINTS = 60
"""Points of such a line."""

OF_CLUSTER = (
    ("cpu", "cpu"),
    ("memory", "memory"),
    ("memory_total", "memory_total"),
    ("store", "store"),
    ("capacity", "store_capacity"),
    ("spilled", "spilled"),
    ("spilling", "spilled_per_s"),
    ("restoring", "restored_per_s"),
    ("net_in", "net_in_per_s"),
    ("net_out", "net_out_per_s"),
    ("disk_read", "disk_read_per_s"),
    ("disk_write", "disk_write_per_s"),
    ("tasks", "tasks_per_s"),
    ("workers", "workers"),
    ("busy", "busy"),
    ("suspended", "suspended"),
)
OF_NODE = ("cpu", "memory", "store")


def cluster_columns(
    samples: Sequence[Mapping[str, Any]], now: float, wanted: Collection[str] | None = None
) -> Columns:
    """One row a sample: "time" (milliseconds since the epoch), "ago" (seconds, 0 is now), and what OF_CLUSTER has,
    in the units of the samples; or only those `wanted`."""
    found: Columns = {
        "time": [round(sample["time"] * 1000) for sample in samples],
        "ago": [round(sample["time"] - now, 2) for sample in samples],
    }
    for column, name in OF_CLUSTER:
        if wanted is None or column in wanted:
            found[column] = [round(sample[name], 2) for sample in samples]
    return found


def node_columns(nodes: Mapping[str, Sequence[Mapping[str, Any]]], now: float, colours: Colours) -> Columns:
    """One row a node, "name" and "color", and a list of points in each of "ago", "cpu", "memory" and "store"; none
    where there is but one node: its line would be that of the cluster. Where there are more than colours they are grey.
    """
    found: Columns = {name: [] for name in ("name", "color", "ago", *OF_NODE)}
    if len(nodes) < 2:
        return found
    busiest = sorted(nodes, key=lambda name: -nodes[name][-1]["cpu"] if nodes[name] else 0.0)[:NODES]
    for name in sorted(busiest):
        samples = nodes[name]
        kept = samples[:: max(1, len(samples) // NODE_POINTS)]
        found["name"].append(short_node(name, 18))
        found["color"].append(colours[name] if len(busiest) <= len(FUNCTIONS) else GREY)
        found["ago"].append([round(sample["time"] - now, 1) for sample in kept])
        for column in OF_NODE:
            found[column].append([round(sample[column], 1) for sample in kept])
    return found


def latest(samples: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The last one."""
    return samples[-1] if samples else None
