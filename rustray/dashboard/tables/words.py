"""Values above a panel, and numbers as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rustray.model.quantities import byte_size

Columns = dict[str, list[Any]]
Table = dict[str, Any]
Value = tuple[str, str, str, str, float | None]
"""(key for programs, label, text, what goes with it, the plain number)"""
UNKNOWN = "–"


def values(*rows: Value) -> Columns:
    """The source "values"."""
    keys = ("key", "label", "text", "more", "number")
    return {key: [row[at] for row in rows] for at, key in enumerate(keys)}


def legend(rows: Iterable[tuple[str, str]]) -> Columns:
    """The source "legend", of (label, colour)."""
    kept = list(rows)
    return {"label": [label for label, _color in kept], "color": [color for _label, color in kept]}


def note(text: str) -> Columns:
    """The source "note"; nothing of ""."""
    return {"text": [text] if text else []}


def columns(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> Columns:
    """Rows as columns of these names."""
    kept = list(rows)
    return {name: [row[at] for row in kept] for at, name in enumerate(names)}


def number(count: float) -> str:
    """As "950", "12.3k", "1.2M"; below ten with a decimal where it has one."""
    for unit, size in (("M", 1e6), ("k", 1e4)):
        if count >= size:
            return f"{count / (1e3 if unit == 'k' else size):.1f}".removesuffix(".0") + unit
    if count < 9.95 and count != int(count):
        return f"{count:.1f}".removesuffix(".0")
    return f"{count:,.0f}"


def rate(count: float) -> str:
    """As "52/s"."""
    return f"{number(count)}/s"


def flow(count: float) -> str:
    """Bytes a second, as "1.5 GiB/s"."""
    return f"{byte_size(count)}/s"


def short(name: str, length: int = 28) -> str:
    """A function's name that is not too long: without its packages, or with the end, which says most."""
    while len(name) > length and name.count(".") > 1:
        name = name.partition(".")[2]
    return name if len(name) <= length else f"…{name[1 - length :]}"


def short_node(name: str, length: int) -> str:
    """A node's name that is not too long: without its domain, or with the end, where numbers are."""
    if len(name) > length:
        name = name.partition(".")[0]
    return name if len(name) <= length else f"…{name[1 - length :]}"


def node_label(name: str) -> str:
    """A node's name where there is little room: without the "node-" that those begin with that were given none."""
    return short_node(name.removeprefix("node-"), 10)


def of_all(shown: int, there: int) -> str:
    """What goes with the number of all there are, where not all are shown."""
    return f"{shown} shown" if shown < there else ""
