"""The network: how long a message takes there and back, and how much is sent, from each to each."""

from __future__ import annotations

from collections.abc import Callable
from math import log10
from typing import Any

from rustray.dashboard.answers import Answers
from rustray.dashboard.tables.words import (
    UNKNOWN,
    Table,
    columns,
    flow,
    legend,
    node_label,
    note,
    of_all,
    values,
)
from rustray.model.colours import HEAT, heat
from rustray.model.quantities import byte_size, duration

PLACES = 16
"""Rows and columns of a matrix."""
CELL_PX, AXIS_PX = 30, 84
FAST_S, SLOW_S = 1e-4, 1e-1
"""Round trips that have the lightest and the darkest colour."""
LITTLE, MUCH = 2.0**10, 2.0**30
"""Bytes a second, likewise."""
TRAFFIC = f"Sent a second, {byte_size(LITTLE)} to {byte_size(MUCH)}"
NO_TRAFFIC = "Nothing is sent between nodes"
FIELDS = ("x", "y", "color", "ink", "text", "from", "to", "told")


def tables(answers: Answers, now: float) -> Table:
    """Of "network"."""
    rows = answers["network"]
    known = list(dict.fromkeys(name for row in rows for name in (row["from"], row["to"])))
    names = known[:PLACES]
    shown = [row for row in rows if row["from"] in names and row["to"] in names]
    timed = [row for row in shown if row["rtt_s"] is not None]
    sending = [row for row in shown if row["bytes_per_s"] is not None]
    labels = _labels(names)
    factors = {"factors": list(labels.values())}
    slowest = max((row["rtt_s"] for row in timed), default=None)
    total = sum(row["bytes_per_s"] for row in sending)
    height = {"height": max(1, len(names)) * CELL_PX + AXIS_PX}
    return {
        "latency": columns(
            FIELDS,
            (
                _field(
                    row,
                    labels,
                    row["rtt_s"],
                    FAST_S,
                    SLOW_S,
                    duration(float(f"{row['rtt_s']:.2g}")),
                    _told(row),
                )
                for row in timed
            ),
        ),
        "traffic": columns(
            FIELDS,
            (
                _field(
                    row, labels, row["bytes_per_s"], LITTLE, MUCH, byte_size(row["bytes_per_s"]), _told(row)
                )
                for row in sending
            ),
        ),
        "values": values(
            (
                "slowest",
                "Slowest",
                UNKNOWN if slowest is None else duration(slowest),
                "there and back",
                None if slowest is None else slowest * 1e3,
            ),
            ("sent", "Sent", flow(total), "between nodes", total),
            ("places", "Nodes and heads", str(len(known)), of_all(len(names), len(known)), len(known)),
        ),
        "legend": legend([*zip(_steps(FAST_S, SLOW_S, duration), HEAT, strict=True)]),
        "note": note("" if shown else "No two nodes or heads are linked"),
        "set": {
            "latency_x": factors,
            "latency_y": {"factors": factors["factors"][::-1]},
            "traffic_x": factors if sending else {"factors": []},
            "traffic_y": {"factors": factors["factors"][::-1] if sending else []},
            "traffic_title": {"text": TRAFFIC if sending else NO_TRAFFIC},
            "latency_plot": height,
            "traffic_plot": height,
        },
    }


def _steps(low: float, high: float, written: Callable[[float], str]) -> list[str]:
    """Where each colour begins."""
    return [written(float(f"{low * (high / low) ** (at / len(HEAT)):.1g}")) for at in range(len(HEAT))]


def _labels(names: list[str]) -> dict[str, str]:
    """As short as they tell the places apart: heads of one host by their ports."""
    hosts = {name.rpartition(":")[0] for name in names if ":" in name}
    found = {
        name: f":{name.rpartition(':')[2]}" if ":" in name and len(hosts) == 1 else node_label(name)
        for name in names
    }
    return found if len(set(found.values())) == len(names) else {name: name for name in names}


def _field(
    row: dict[str, Any], labels: dict[str, str], value: float, low: float, high: float, text: str, told: str
) -> tuple[object, ...]:
    share = log10(max(value, low) / low) / log10(high / low)
    color, ink = heat(share)
    return (labels[row["to"]], labels[row["from"]], color, ink, text, row["from"], row["to"], told)


def _told(row: dict[str, Any]) -> str:
    told = [] if row["rtt_s"] is None else [f"{duration(row['rtt_s'])} there and back"]
    if row["bytes_per_s"] is not None:
        told.append(flow(row["bytes_per_s"]))
    return ", ".join(told)
