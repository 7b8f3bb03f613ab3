"""The multi-level feedback queue: how deep each level is, over the last minutes and now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rustray.dashboard.answers import Answers
from rustray.dashboard.tables.axes import axis
from rustray.dashboard.tables.words import Table, columns, legend, note, number, values
from rustray.model.colours import LEVELS, RUNNING, SUSPENDED, WAITING
from rustray.model.quantities import duration

STATES = (("running", RUNNING), ("suspended", SUSPENDED), ("waiting", WAITING))
"""Of slots, by their names in "levels"."""
SAID = {"running": "running", "suspended": "suspended", "waiting": "asked for"}
LABELS = {"running": "Slots in use", "suspended": "Suspended", "waiting": "Slots asked for"}
"""That tasks wait is said where tasks are counted: a slot may serve many, one after the other."""
NAMES = tuple(f"level{at}" for at in range(len(LEVELS)))


def tables(answers: Answers, now: float) -> Table:
    """Of "metrics" and "levels"."""
    samples, levels = answers["metrics"], answers["levels"]
    sums = {state: sum(row[state] for row in levels) for state, _color in STATES}
    most = max([1, *(_total(row) for row in levels)])
    parts = [part for row in levels for part in _parts(row, most)]
    return {
        "samples": columns(
            ("time", "ago", *NAMES, "suspended"),
            (
                (
                    round(sample["time"] * 1000),
                    round(sample["time"] - now, 2),
                    *sample["levels"],
                    sample["suspended"],
                )
                for sample in samples
            ),
        ),
        "parts": columns(("y", "left", "right", "color", "state", "count", "meant"), parts),
        "rows": columns(
            ("y", "name", "told"),
            ((row["level"], f"Level {row['level']}", _told(row)) for row in levels),
        ),
        "values": values(
            *((state, LABELS[state], number(sums[state]), "", sums[state]) for state, _color in STATES),
        ),
        "legend": legend(
            [
                *((f"level {at}", color) for at, color in enumerate(LEVELS)),
                *((SAID[state], color) for state, color in STATES),
            ]
        ),
        "note": note("" if levels else "No queues yet"),
        "set": axis("depth", (max(sum(at["levels"]), at["suspended"]) for at in samples)),
    }


def _total(row: Mapping[str, Any]) -> int:
    return sum(int(row[state]) for state, _color in STATES)


def _parts(row: Mapping[str, Any], most: int) -> list[tuple[int, float, float, str, str, int, str]]:
    left, parts = 0.0, []
    for state, color in STATES:
        if row[state]:
            right = left + row[state] / most
            parts.append((row["level"], left, right, color, SAID[state], row[state], _meant(row)))
            left = right
    return parts


def _meant(row: Mapping[str, Any]) -> str:
    quantum = row["quantum_s"]
    return f"up to {duration(quantum)}" if quantum else "what takes longer"


def _told(row: Mapping[str, Any]) -> str:
    told = [f"{number(row[state])} {SAID[state]}" for state, _color in STATES if row[state]]
    return " · ".join(told) or "empty"
