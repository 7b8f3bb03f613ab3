"""Rows for people and programs: a list of dicts that a terminal and a notebook show as a table.

The HTML has no colours of its own, so that it suits light and dark pages alike. In a terminal a table is as wide as
that at most, for lines that are wrapped cannot be read; elsewhere as wide as it takes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from html import escape
from typing import Any, NamedTuple

SHOWN = 50
"""Rows that are shown; the list has all."""
NARROWEST = 6
"""Characters that are left of a cell at least."""
BETWEEN = "  "


class Column(NamedTuple):
    """How one field is shown: under which heading, its value as text, and whether only to who asks for details."""

    heading: str
    show: Callable[[Any], str] = str
    detail: bool = False


class _Shown(NamedTuple):
    """A column as it is shown: whether it has numbers, which end below each other; its heading, then its cells."""

    number: bool
    cells: list[str]

    def padded(self) -> list[str]:
        width = max(map(len, self.cells))
        return [cell.rjust(width) if self.number else cell.ljust(width) for cell in self.cells]


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
    columns: the fields that are shown, in their order; those of which no row has anything to show are left out.
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

    def _shown(self) -> list[_Shown]:
        rows = self[:SHOWN]
        found = []
        for field, column in self._columns.items():
            values = [row[field] for row in rows]
            cells = ["" if value is None else column.show(value) for value in values]
            if any(cells):
                number = all(value is None or _is_number(value) for value in values)
                found.append(_Shown(number, [column.heading, *cells]))
        return found

    def _more(self) -> str:
        return f"and {len(self) - SHOWN:,} more" if len(self) > SHOWN else ""

    def __repr__(self) -> str:
        if not self:
            return self._nothing
        columns = [column.padded() for column in _fitted(self._shown(), _terminal_width())]
        lines = [BETWEEN.join(line).rstrip() for line in zip(*columns, strict=True)]
        return "\n".join(filter(None, (*lines, self._more())))

    def _repr_html_(self) -> str:
        if not self:
            return f"<em>{escape(self._nothing)}</em>"
        shown = self._shown()
        head, *rows = zip(*(column.cells for column in shown), strict=True)
        numbers = [at for at, column in enumerate(shown) if column.number]
        return html_table(head, rows, numbers) + (f"<div>{self._more()}</div>" if self._more() else "")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _terminal_width() -> int:
    """Characters of the terminal that is printed to; 0 where it is none."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns if sys.stdout.isatty() else 0
    except (AttributeError, OSError, ValueError):
        return 0  # something else than a file, or closed


def _fitted(columns: list[_Shown], width: int) -> list[_Shown]:
    """The same in `width` characters, 0 for as many as it takes: the longest cells lose of their middle.

    Of an id both ends tell something: the beginning who made it, the end which one it is. Cells that differ do so
    still, even where the table gets too wide by that.
    """
    widths = [max(map(len, column.cells)) for column in columns]
    least = [_narrowest(column.cells) for column in columns] if width else widths
    while sum(widths) + len(BETWEEN) * (len(widths) - 1) > width:
        spare = [has if has > needs else 0 for has, needs in zip(widths, least, strict=True)]
        if not any(spare):
            break
        widths[spare.index(max(spare))] -= 1
    return [
        column._replace(cells=[_cut(cell, room) for cell in column.cells])
        for column, room in zip(columns, widths, strict=True)
    ]


def _narrowest(cells: list[str]) -> int:
    """Characters in which all of them can be told apart."""
    widest = max(map(len, cells))
    for width in range(NARROWEST, widest):
        if len({_cut(cell, width) for cell in cells}) == len(set(cells)):
            return width
    return widest


def _cut(text: str, width: int) -> str:
    if len(text) <= width:
        return text
    end = (width - 1) * 2 // 3
    return f"{text[: width - 1 - end]}…{text[-end:]}"


def html_table(head: Iterable[str], rows: Iterable[Iterable[str]], numbers: Collection[int] = ()) -> str:
    """A table of plain text.

    Parameters
    ----------
    numbers: which columns have such, and end below each other; else notebooks would have all columns so.
    """

    def line(cells: Iterable[str], tag: str) -> str:
        aligned = (
            f'<{tag} style="text-align:{"right" if at in numbers else "left"}">{escape(cell)}</{tag}>'
            for at, cell in enumerate(cells)
        )
        return f"<tr>{''.join(aligned)}</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f"<table><thead>{line(head, 'th')}</thead><tbody>{body}</tbody></table>"
