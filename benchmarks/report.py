"""The tables of compare.py: for the terminal, and as benchmarks/RESULTS.md."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import psutil
from metrics import FLOOR, METRICS, MILLION, Metric

Medians = dict[str, dict[str, float]]  # by system ("floor" is one of them), by metric
TITLES = {"rustray": "RustRay", "ray": "Ray", "dask": "Dask", "pool": "process pool"}
PACKAGES = {"rustray": "rustray", "ray": "ray", "dask": "distributed"}


def number(value: float | None) -> str:
    """Three significant digits, and thousands apart."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def times_better(metric: Metric, ours: float | None, theirs: float | None) -> float | None:
    if not ours or not theirs:
        return None
    return theirs / ours if metric.less_is_better else ours / theirs


def comparison(results: Medians, names: list[str]) -> list[list[str]]:
    """A heading and a row for each metric: the medians, and how many times better than Ray RustRay is."""
    with_ratio = {"rustray", "ray"} <= {*names}
    rows = [["", "unit", *(TITLES[name] for name in names)]]
    rows[0] += ["RustRay to Ray", "at least", "aim"] * with_ratio
    for key, metric in (METRICS | MILLION).items():
        values = {name: results.get(name, {}).get(key) for name in names}
        if not any(values.values()):
            continue
        row = [metric.title, metric.unit, *(number(values[name]) for name in names)]
        if with_ratio:
            ratio = times_better(metric, values["rustray"], values["ray"])
            row += [f"{value:.3g}x" if value else "" for value in (ratio, metric.at_least, metric.aim)]
        rows.append(row)
    return rows


def limits(results: Medians) -> list[str]:
    """What this machine can do at best, and how near RustRay comes to it."""
    floor, ours = results.get("floor", {}), results.get("rustray", {})
    lines = [f"{FLOOR[key].title}: {number(value)} {FLOOR[key].unit}" for key, value in floor.items()]
    for what, key, limit in (
        ("Tasks without arguments", "async", "floor_tasks"),
        ("Tasks, one at a time", "sync", "floor_round_trips"),
        ("Puts of 100 MB arrays", "put_large", "floor_memcpy_warm"),
    ):
        if key in ours and limit in floor:
            lines.append(f"{what}: RustRay reaches {ours[key] / floor[limit]:.0%} of {FLOOR[limit].title}")
    return lines


def machine() -> str:
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "?")
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def versions(names: list[str]) -> str:
    found = []
    for name in names:
        try:
            found.append(f"{TITLES[name]} {version(PACKAGES[name])}")
        except (KeyError, PackageNotFoundError):  # part of Python, or used from its source
            continue
    return ", ".join(found)


def as_text(results: Medians, names: list[str]) -> str:
    rows = comparison(results, names)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([machine(), versions(names), "", *lines, "", *limits(results)])


def as_markdown(results: Medians, names: list[str], rounds: int) -> str:
    heading, *rows = comparison(results, names)
    table = [heading, ["---", "---", *["---:"] * (len(heading) - 2)], *rows]
    return "\n".join(
        [
            "# Benchmark results",
            "",
            "Written by `python benchmarks/compare.py`. Each system ran the same work in its own process,",
            f"one after another, {rounds} times; these are the medians. All have two workers. Byte code was",
            "compiled before. Idle memory is the sum of the unique set sizes of all processes, the driver",
            "among them. A ratio says how many times better RustRay is than Ray.",
            "",
            f"Machine: {machine()}.",
            f"Versions: {versions(names)}.",
            "",
            *("| " + " | ".join(row) + " |" for row in table),
            "",
            "## The limits of this machine (`benchmarks/floor.py`)",
            "",
            *(f"- {line}" for line in limits(results)),
            "",
        ]
    )
