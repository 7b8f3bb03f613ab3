"""All metrics as Prometheus reads them (text format 0.0.4), for any way to ask a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rustray.metrics.names import METRICS, Metric

Query = Callable[..., Any]
"""query(what, *args), as of a `Contact` or session."""
RECENT_S = 5.0
"""A node that has not been sampled for longer says nothing."""
LINKS = 1000
"""Connections that are told one by one: there may be as many as pairs of nodes."""
ALL = "(all)"
EVERY_BOUND = 2
"""Of the bounds of histograms every second one is told: two a decade are as fine as what Prometheus makes of them."""
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


def render(query: Query) -> str:
    """Ask the cluster and write what it answers. See `docs/metrics.md`.

    Raises
    ------
    RustRayError: of `query`.
    """
    answers = {what: query(what) for what in ("function_metrics", "levels", "heads")}
    answers["objects"] = query("objects", 0)  # without naming any
    answers["network"] = _links(query("network"))
    samples = query("metrics")
    answers["metrics"] = samples[-1:]
    since = samples[-1]["time"] - RECENT_S if samples else 0.0
    latest = {node: rows[-1] for node, rows in query("node_metrics", since).items() if rows}
    answers["node_metrics"] = [{"node": node, **row} for node, row in latest.items()]
    answers["gpus"] = [{"node": node, **gpu} for node, row in latest.items() for gpu in row["gpus"]]
    lines: list[str] = []
    for metric in METRICS:
        lines += _lines(metric, answers[metric.source])
    return "\n".join(lines) + "\n"


def _links(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Where there are very many, the slowest of each source, and what it sends in all, to the target ALL."""
    if len(rows) <= LINKS:
        return rows
    sources: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        sources.setdefault(row["from"], []).append(row)
    return [
        {
            "from": source,
            "to": ALL,
            "rtt_s": max((row["rtt_s"] for row in told if row["rtt_s"] is not None), default=None),
            "bytes_per_s": sum(row["bytes_per_s"] or 0.0 for row in told),
        }
        for source, told in sources.items()
    ]


def _lines(metric: Metric, rows: Iterable[Mapping[str, Any]]) -> list[str]:
    lines = [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}"]
    for row in rows:
        labels = {label: row[key] for label, key in metric.labels.items()}
        value = metric.value(row)
        if value is None:
            continue
        if metric.kind == "histogram":
            lines += _histogram(metric.name, labels, value)
        else:
            lines.append(f"{metric.name}{_labels(labels)} {_number(value)}")
    return lines


def _histogram(name: str, labels: dict[str, Any], histogram: Mapping[str, Any]) -> list[str]:
    lines, seen = [], 0
    bounds = (*histogram["bounds"], float("inf"))
    for at, (bound, count) in enumerate(zip(bounds, histogram["counts"], strict=True)):
        seen += count
        if at % EVERY_BOUND == 0 or at == len(bounds) - 1:
            lines.append(f"{name}_bucket{_labels({**labels, 'le': _number(bound)})} {seen}")
    lines.append(f"{name}_sum{_labels(labels)} {_number(histogram['sum'])}")
    lines.append(f"{name}_count{_labels(labels)} {seen}")
    return lines


def _labels(labels: Mapping[str, Any]) -> str:
    # Names may have lone surrogates, which no text on the wire has.
    texts = {name: str(value).encode("utf-8", "replace").decode() for name, value in labels.items()}
    told = ",".join(f'{name}="{text.translate(_ESCAPES)}"' for name, text in texts.items())
    return f"{{{told}}}" if told else ""


def _number(value: float) -> str:
    return (
        "+Inf" if value == float("inf") else repr(value + 0) if isinstance(value, int) else repr(float(value))
    )
