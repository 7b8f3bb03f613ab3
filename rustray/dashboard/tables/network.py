"""The network: how long a message takes there and back, and how much is sent, from each to each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
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
    short_node,
    values,
)
from rustray.model.colours import HEAT, heat
from rustray.model.quantities import byte_size, duration

PLACES = 16
"""Rows and columns of a matrix."""
LABEL = 10
"""Characters of a name for which there is room above a matrix, and beside it."""
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
    called = labels(names)
    slowest = max((row["rtt_s"] for row in timed), default=None)
    total = sum(row["bytes_per_s"] for row in sending)
    return {
        "latency": columns(
            FIELDS,
            (
                _field(
                    row,
                    called,
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
                    row, called, row["bytes_per_s"], LITTLE, MUCH, byte_size(row["bytes_per_s"]), _told(row)
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
            **_ranges("latency", timed, called),
            **_ranges("traffic", sending, called),
            "traffic_title": {"text": TRAFFIC if sending else NO_TRAFFIC},
        },
    }


def _ranges(matrix: str, rows: list[dict[str, Any]], called: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Of a matrix; with the height of its figure. Heads that follow measure nothing, and the one that leads is measured
    by none: such have no row, or no column."""
    above = [called[name] for name in called if any(row["to"] == name for row in rows)]
    beside = [called[name] for name in called if any(row["from"] == name for row in rows)]
    return {
        f"{matrix}_x": {"factors": above},
        f"{matrix}_y": {"factors": beside[::-1]},
        f"{matrix}_plot": {"height": max(1, len(beside)) * CELL_PX + AXIS_PX},
    }


def _steps(low: float, high: float, written: Callable[[float], str]) -> list[str]:
    """Where each colour begins."""
    return [written(float(f"{low * (high / low) ** (at / len(HEAT)):.1g}")) for at in range(len(HEAT))]


def labels(names: list[str]) -> dict[str, str]:
    """What each place is called beside the matrices: at most `LABEL` characters, and no two alike."""
    hosts = {name.rpartition(":")[0] for name in names if ":" in name}
    found: dict[str, str] = {}
    alike = names
    for short in (partial(_shortest, one_host=len(hosts) == 1), _both_ends, _end):
        found.update({name: short(name) for name in alike})
        count = Counter(found.values())
        alike = [name for name in names if count[found[name]] > 1]
    found.update({name: f"{name[: LABEL - 3]}…{at}" for at, name in enumerate(alike, 1)})
    return found


def _shortest(name: str, one_host: bool) -> str:
    """Of a head its port where all are of one host, else its host; of a node what `node_label` has."""
    host, _colon, port = name.rpartition(":")
    if not host:
        return node_label(name)
    if one_host:
        return f":{port}"
    return short_node(host, LABEL) if host[-1].isalpha() else _end(host)  # of an IP address the end


def _end(name: str) -> str:
    return name if len(name) <= LABEL else f"…{name[1 - LABEL :]}"


def _both_ends(name: str) -> str:
    name = name.partition(".")[0]
    return name if len(name) <= LABEL else f"{name[:4]}…{name[5 - LABEL :]}"


def _field(
    row: dict[str, Any], called: dict[str, str], value: float, low: float, high: float, text: str, told: str
) -> tuple[object, ...]:
    share = log10(max(value, low) / low) / log10(high / low)
    color, ink = heat(share)
    return (called[row["to"]], called[row["from"]], color, ink, text, row["from"], row["to"], told)


def _told(row: dict[str, Any]) -> str:
    told = [] if row["rtt_s"] is None else [f"{duration(row['rtt_s'])} there and back"]
    if row["bytes_per_s"] is not None:
        told.append(flow(row["bytes_per_s"]))
    return ", ".join(told)
