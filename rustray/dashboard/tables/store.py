"""The object store: how much is used and spilled, where, and by what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rustray.dashboard.answers import Answers
from rustray.dashboard.tables.axes import BYTES, axis
from rustray.dashboard.tables.samples import cluster_columns, latest
from rustray.dashboard.tables.words import (
    Table,
    columns,
    flow,
    legend,
    note,
    number,
    of_all,
    short_node,
    values,
)
from rustray.model.colours import BLUE, DASHED, ORANGE, TRACK
from rustray.model.quantities import byte_size

NODES = 12
OBJECTS = 8
ROW_PX = 34
AXIS_PX = 48
"""For the title, and for the axis of time of the figure beside it: Bokeh gives all in a row the same borders."""

USED, SPILLED, FREE = ("in memory", BLUE), ("spilled to disk", ORANGE), ("free", TRACK)


def tables(answers: Answers, now: float) -> Table:
    """Of "metrics" and "objects"."""
    nodes = answers["objects"]
    objects = sorted(
        ((row["node"], one) for row in nodes for one in row["objects"]), key=lambda at: -at[1]["size"]
    )[:OBJECTS]
    used, capacity, spilled, count = (
        sum(row[name] for row in nodes) for name in ("used", "capacity", "spilled", "count")
    )
    seen = cluster_columns(answers["metrics"], now, ("store", "spilled", "spilling", "restoring"))
    sample = latest(answers["metrics"])
    spilling, restoring = (sample[name] if sample else 0.0 for name in ("spilled_per_s", "restored_per_s"))
    fullest = sorted(nodes, key=lambda row: -row["used"])[:NODES]
    largest = max((one["size"] for _node, one in objects), default=1)
    return {
        "samples": seen,
        "node_parts": columns(
            ("y", "left", "right", "color", "state", "size"),
            (part for at, row in enumerate(fullest) for part in _parts(at, row)),
        ),
        "node_rows": columns(
            ("y", "name", "told"), ((at, row["node"], _told(row)) for at, row in enumerate(fullest))
        ),
        "object_parts": columns(
            ("y", "left", "right", "color", "place"),
            (
                (
                    at,
                    0.0,
                    one["size"] / max(1, largest),
                    (SPILLED if _spilled(one) else USED)[1],
                    one["place"],
                )
                for at, (_node, one) in enumerate(objects)
            ),
        ),
        "object_rows": columns(
            ("y", "name", "told", "id", "owner", "references"),
            (
                (
                    at,
                    f"…{one['id'][-12:]}",
                    f"{byte_size(one['size'])} · {short_node(node, 14)}",
                    one["id"],
                    str(one["owner"]),
                    one["references"],
                )
                for at, (node, one) in enumerate(objects)
            )
            if objects
            else [(0, "None yet", "", "", "", 0)],
        ),
        "values": values(
            ("used", "Used", byte_size(used), f"of {byte_size(capacity)}", used),
            ("spilled", "Spilled", byte_size(spilled), "on disk", spilled),
            ("spilling", "To disk", flow(spilling), "", spilling),
            ("restoring", "From disk", flow(restoring), "", restoring),
            ("objects", "Objects", number(count), "", count),
            ("nodes", "Nodes", str(len(nodes)), of_all(len(fullest), len(nodes)), len(nodes)),
        ),
        "legend": legend((USED, SPILLED, FREE, ("spilled, back from disk", DASHED))),
        "note": note("" if nodes else "No nodes yet"),
        "set": {
            **axis("used", (*seen["store"], *seen["spilled"]), BYTES),
            **axis("moved", (*seen["spilling"], *seen["restoring"]), BYTES),
            "node_bars": {"height": max(1, len(fullest)) * ROW_PX + AXIS_PX},
            "node_bars_y": {"start": max(1, len(fullest)) - 0.5, "end": -0.5},
            "object_bars": {"height": max(1, len(objects)) * ROW_PX + AXIS_PX},
            "object_bars_y": {"start": max(1, len(objects)) - 0.5, "end": -0.5},
        },
    }


def _parts(at: int, row: Mapping[str, Any]) -> list[tuple[int, float, float, str, str, str]]:
    whole = max(1, row["capacity"], row["used"] + row["spilled"])
    sizes = (row["used"], row["spilled"], whole - row["used"] - row["spilled"])
    left, parts = 0.0, []
    for (state, color), size in zip((USED, SPILLED, FREE), sizes, strict=True):
        if size > 0:
            right = left + size / whole
            parts.append((at, left, right, color, state, byte_size(size)))
            left = right
    return parts


def _told(row: Mapping[str, Any]) -> str:
    spilled = f" · {byte_size(row['spilled'])} spilled" if row["spilled"] else ""
    used, capacity = byte_size(row["used"]), byte_size(row["capacity"])
    unit = f" {capacity.split()[-1]}"  # told once: there is little room
    return f"{used.removesuffix(unit)} of {capacity}{spilled}"


def _spilled(one: Mapping[str, Any]) -> bool:
    return bool(one["place"] == "disk")
