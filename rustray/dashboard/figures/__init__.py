"""What panels look like: one module a panel, each a function of its sources. Text is coloured by the page, which knows
whether it is light or dark: see `feed.js`.
"""

from __future__ import annotations

from typing import Any

from bokeh.embed import json_item
from bokeh.models import ColumnDataSource

from rustray.dashboard.feed import empty_tables
from rustray.dashboard.panels import PANELS

WRITTEN = ("values", "legend", "note", "set")
"""What a table has for the page rather than for a figure."""


def sources(table: dict[str, Any]) -> dict[str, ColumnDataSource]:
    """The sources of a panel's figure."""
    return {
        name: ColumnDataSource(columns, name=name) for name, columns in table.items() if name not in WRITTEN
    }


def items(names: list[str]) -> list[dict[str, Any]]:
    """One a panel: "name", "title", and "figure" with empty sources, as BokehJS's `embed_item` takes it."""
    return [
        {
            "name": name,
            "title": PANELS[name].title,
            "figure": json_item(PANELS[name].draw(sources(empty_tables(name)))),
        }
        for name in names
    ]
