"""The stream of tasks: a lane a worker, a bar a task."""

from __future__ import annotations

from heapq import nlargest

from rustray.dashboard.answers import Answers
from rustray.dashboard.progress import Row
from rustray.dashboard.tables.samples import latest
from rustray.dashboard.tables.words import (
    UNKNOWN,
    Table,
    columns,
    legend,
    node_label,
    note,
    number,
    of_all,
    rate,
    short,
    values,
)
from rustray.dashboard.task_stream import RUNNING, SPAN_S, Bar, TaskStream
from rustray.model.colours import CANCELLED, FAILED, GREY
from rustray.model.quantities import counted, duration

LANES = 32
"""Workers that are shown; of more, those that were busiest."""
BARS = 1500
LEGEND = 6
OPEN_ALPHA = 0.4
"""Of a task that runs: its bar is pale, and framed in its colour."""
LANE_PX, AXIS_PX = 17, 30


def tables(answers: Answers, now: float) -> Table:
    """Of "metrics", the progress that "function_metrics" tell, and the stream of "task_events"."""
    stream: TaskStream = answers["task_events"]
    busiest = nlargest(
        LANES,
        {**stream.workers, **stream.running},
        key=lambda worker: sum(min(bar.busy, SPAN_S) for bar in stream.of(worker)),
    )
    lanes = sorted(busiest)
    several = len({node for node, _pid in lanes}) > 1
    names = [f"{node_label(node)} {pid}" if several else str(pid) for node, pid in lanes]
    if len(set(names)) < len(names):
        names = [f"{node} {pid}" for node, pid in lanes]
    bars = [(lane, bar) for lane, worker in enumerate(lanes) for bar in stream.of(worker)]
    bars = sorted(
        nlargest(BARS, bars, key=lambda one: one[1].end - one[1].start), key=lambda one: one[1].start
    )
    running = bool(stream.running)
    failed = [(lane, bar) for lane, bar in bars if bar.outcome == "failed"]
    stopped = any(bar.outcome == "cancelled" for _lane, bar in bars)
    return {
        "bars": columns(
            ("lane", "left", "right", "color", "alpha", "line", "function", "took", "outcome"),
            (
                (
                    names[lane],
                    round(bar.start - now, 2),
                    round(bar.end - now, 2),
                    answers.colours[bar.function],
                    OPEN_ALPHA if bar.outcome == RUNNING else 1.0,
                    _line(bar, answers),
                    bar.function,
                    _took(bar),
                    bar.outcome,
                )
                for lane, bar in bars
            ),
        ),
        "failures": columns(
            ("lane", "ago"), ((names[lane], round(min(0.0, bar.end - now), 2)) for lane, bar in failed)
        ),
        "values": _values(answers, stream),
        "legend": legend(
            [
                *_functions(answers, stream),
                *([("runs now: pale", GREY)] if running else ()),
                *([("failed: framed, with a cross", FAILED)] if failed else ()),
                *([("stopped: framed", CANCELLED)] if stopped else ()),
            ]
        ),
        "note": note("" if bars else f"No tasks in the last {SPAN_S:.0f} s"),
        "set": {
            "gantt": {"height": max(2, len(lanes)) * LANE_PX + AXIS_PX},
            "lanes": {"factors": names[::-1]},
        },
    }


def _functions(answers: Answers, stream: TaskStream) -> list[tuple[str, str]]:
    """Those of which most is seen; of several with the same colour one."""
    by_colour: dict[str, str] = {}
    for function, _count in stream.functions().most_common():
        by_colour.setdefault(answers.colours[function], function)
        if len(by_colour) == LEGEND:
            break
    return [(short(function), colour) for colour, function in by_colour.items()]


def _line(bar: Bar, answers: Answers) -> str | None:
    if bar.outcome == RUNNING:
        return answers.colours[bar.function]
    return {"failed": FAILED, "cancelled": CANCELLED}.get(bar.outcome)


def _took(bar: Bar) -> str:
    if bar.outcome == RUNNING:
        return f"{duration(bar.busy)} so far"
    if bar.tasks == 1:
        return duration(bar.busy)
    return f"{number(bar.tasks)} tasks, {duration(bar.busy / bar.tasks)} each"


def _values(answers: Answers, stream: TaskStream) -> dict[str, list[object]]:
    rows: list[Row] = answers["function_metrics"]
    running, waiting = sum(row.running for row in rows), sum(row.waiting for row in rows)
    sample = latest(answers["metrics"])
    ended, failed = (sample["tasks_per_s"], sample["failed_per_s"]) if sample is not None else (None, None)
    counts = stream.outcomes()
    workers = len({*stream.workers, *stream.running})
    undrawn = f"{counted(stream.skipped, 'more task')} not drawn" if stream.skipped else ""
    return values(
        ("tasks", "Tasks", UNKNOWN if ended is None else rate(ended), undrawn, ended),
        ("workers", "Workers", str(workers), of_all(min(LANES, workers), workers), workers),
        ("running", "Running", number(running), "", running),
        ("waiting", "Waiting", number(waiting), "", waiting),
        (
            "failed",
            "Failed",
            number(counts["failed"]),
            f"in {SPAN_S:.0f} s" + (f", {rate(failed)} now" if failed else ""),
            counts["failed"],
        ),
    )
