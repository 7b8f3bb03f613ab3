"""Progress by function: one bar each, of what is done, failed, stopped, running and waiting."""

from __future__ import annotations

from rustray.dashboard.answers import Answers
from rustray.dashboard.progress import Row
from rustray.dashboard.tables.words import (
    Table,
    columns,
    legend,
    note,
    number,
    of_all,
    rate,
    values,
)
from rustray.model.colours import CANCELLED, DONE, FAILED, RUNNING, WAITING
from rustray.model.quantities import duration, lapse

ROWS = 12
ROW_PX = 34
STATES = (
    ("done", DONE),
    ("failed", FAILED),
    ("stopped", CANCELLED),
    ("running", RUNNING),
    ("waiting", WAITING),
)


def tables(answers: Answers, now: float) -> Table:
    """Of the progress that "function_metrics" tell."""
    rows: list[Row] = answers["function_metrics"]
    known = [row for row in rows if row.total]
    shown = known[:ROWS]
    parts = [part for at, row in enumerate(shown) for part in _parts(at, row)]
    done, failed, stopped, running, waiting = (
        sum(getattr(row, state) for row in rows) for state, _color in STATES
    )
    return {
        "parts": columns(("y", "left", "right", "color", "state", "count", "function"), parts),
        "rows": columns(
            ("y", "name", "told", "mean", "color"),
            (
                (at, row.name, _told(row), _mean(row), answers.colours[row.name])
                for at, row in enumerate(shown)
            ),
        ),
        "values": values(
            ("functions", "Functions", str(len(known)), of_all(len(shown), len(known)), len(known)),
            ("done", "Done", number(done), "", done),
            ("running", "Running", number(running), "", running),
            ("waiting", "Waiting", number(waiting), "", waiting),
            ("failed", "Failed", number(failed), "", failed),
            ("stopped", "Stopped", number(stopped), "", stopped),
        ),
        "legend": legend(STATES),
        "note": note("" if shown else "No tasks yet"),
        "set": {
            "bars": {"height": max(2, len(shown)) * ROW_PX + 4},
            "bars_y": {"start": max(2, len(shown)) - 0.5, "end": -0.5},
        },
    }


def _parts(at: int, row: Row) -> list[tuple[int, float, float, str, str, str, str]]:
    left, parts = 0.0, []
    for state, color in STATES:
        count = getattr(row, state)
        if count:
            right = left + count / row.total
            parts.append((at, left, right, color, state, f"{count:,}", row.name))
            left = right
    return parts


def _told(row: Row) -> str:
    """As "120/300 · 52/s · 4 s left"."""
    told = [f"{number(row.done)}/{number(row.total)}"]
    if row.failed:
        told.append(f"{number(row.failed)} failed")
    if row.stopped:
        told.append(f"{number(row.stopped)} stopped")
    if row.rate and row.active:
        told.append(rate(row.rate))
    if row.remaining_s is not None:
        told.append(f"{lapse(row.remaining_s)} left")
    return " · ".join(told)


def _mean(row: Row) -> str:
    return "" if row.mean_s is None else f"{duration(row.mean_s)} a task"
