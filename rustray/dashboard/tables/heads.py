"""The heads: who leads, in which term, how far the others are behind; and who led in the last minutes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rustray.dashboard.answers import Answers
from rustray.dashboard.head_strips import HeadStrips
from rustray.dashboard.tables.words import UNKNOWN, Table, columns, legend, note, number, values
from rustray.model.colours import FAILED, GREEN, SKY

COLOURS = {"leads": GREEN, "follows": SKY, "does not answer": FAILED}
EMBEDDED = "in the kernel's own server"
ROW_PX, AXIS_PX = 44, 26


def tables(answers: Answers, now: float) -> Table:
    """Of the strips that "heads" make."""
    strips: HeadStrips = answers["heads"]
    rows = strips.rows
    leader = next((row for row in rows if row["state"] == "leads"), None)
    at = {row["address"]: index for index, row in enumerate(rows)}
    spans = [
        (
            at[address],
            round(span.start - now, 2),
            round(span.end - now, 2),
            COLOURS.get(span.state, FAILED),
            span.state,
            span.term,
        )
        for address, of_head in strips.spans.items()
        if address in at
        for span in of_head
    ]
    lag = max((row["lag"] for row in rows if row["lag"] is not None), default=None)
    return {
        "spans": columns(("y", "left", "right", "color", "state", "term"), spans),
        "rows": columns(
            ("y", "name", "told"),
            ((index, row["address"] or EMBEDDED, _told(row)) for index, row in enumerate(rows)),
        ),
        "values": values(
            ("leader", "Leader", (leader["address"] or "embedded") if leader else "none", "", None),
            (
                "term",
                "Term",
                str(leader["term"]) if leader else UNKNOWN,
                "",
                leader["term"] if leader else None,
            ),
            (
                "committed",
                "Committed",
                number(leader["committed"]) if leader else UNKNOWN,
                "entries",
                leader["committed"] if leader else None,
            ),
            ("lag", "Lag", UNKNOWN if lag is None else number(lag), "entries at most", lag),
            ("heads", "Heads", str(len(rows)), _silent(rows), len(rows)),
        ),
        "legend": legend(COLOURS.items()),
        "note": note("" if rows else "No head answers"),
        "set": {
            "strips": {"height": max(1, len(rows)) * ROW_PX + AXIS_PX},
            "strips_y": {"start": max(1, len(rows)) - 0.5, "end": -0.5},
        },
    }


def _silent(rows: list[Mapping[str, Any]]) -> str:
    silent = sum(row["state"] not in ("leads", "follows") for row in rows)
    return f"{silent} not answering" if silent else ""


def _told(row: Mapping[str, Any]) -> str:
    told = [str(row["state"])]
    if row["term"] is not None:
        told.append(f"term {row['term']}")
    if row["lag"] is not None and row["state"] != "leads":
        told.append(f"lag {number(row['lag'])}")
    return " · ".join(told)
