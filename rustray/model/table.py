"""Rows for people and programs: a list of dicts that a terminal and a notebook show as a table.

The HTML has no colours of its own, so that it suits light and dark pages alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import Any, NamedTuple

SHOWN = 50
"""Rows that are shown; the list has all."""


class Column(NamedTuple):
    """How one field is shown: under which heading, and its value as text."""

    heading: str
    show: Callable[[Any], str] = str


class Row(dict[str, Any]):
    """The fields of one row, as items and as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"This row has no {name!r}; it has {', '.join(self)}.") from None


class Table(list[Row]):
    """Rows, all of the same fields.

    Parameters
    ----------
    columns: the fields that are shown, in their order.
    nothing: what is shown where there are no rows.
    """

    def __init__(
        self,
        rows: Iterable[Mapping[str, Any]],
        columns: Mapping[str, Column],
        nothing: str = "There are none.",
    ) -> None:
        super().__init__(map(Row, rows))
        self._columns = columns
        self._nothing = nothing

    def _cells(self) -> list[list[str]]:
        return [
            ["" if row[field] is None else column.show(row[field]) for field, column in self._columns.items()]
            for row in self[:SHOWN]
        ]

    def _more(self) -> str:
        return f"and {len(self) - SHOWN:,} more" if len(self) > SHOWN else ""

    def __repr__(self) -> str:
        if not self:
            return self._nothing
        lines = [[column.heading for column in self._columns.values()], *self._cells()]
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        text = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        return "\n".join(filter(None, (*text, self._more())))

    def _repr_html_(self) -> str:
        if not self:
            return f"<em>{escape(self._nothing)}</em>"
        head = [column.heading for column in self._columns.values()]
        return html_table(head, self._cells()) + (f"<div>{self._more()}</div>" if self._more() else "")


def html_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of plain text."""
    headings = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{headings}</tr></thead><tbody>{body}</tbody></table>"
