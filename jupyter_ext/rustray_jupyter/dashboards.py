"""The panels of `rustray.dashboard` for pages: which there are, their figures and their columns.

Bokeh is loaded by the first page that is opened, not when the server starts; so what is here may block.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

from rustray_jupyter import summary
from rustray_jupyter.live import Columns

Query = Callable[..., Any]


def panel_names() -> list[str]:
    """All panels, in the order of a page that shows them all."""
    return ["resources"]


def chosen(text: str, known: Collection[str]) -> list[str]:
    """Those of "name,name", each once; [] where one of them is not known."""
    names = list(dict.fromkeys(filter(None, text.split(","))))
    return names if set(names) <= set(known) else []


class Feed:
    """What the panels of one cluster show, from when somebody looks until nobody does."""

    def take(self, query: Query, panels: Collection[str]) -> dict[str, Columns]:
        """What the sources of these panels have now; `summary.NAME` is one of them here. RustRayError of `query`."""
        found = {}
        if summary.NAME in panels:
            samples = query("metrics", time.time() - summary.SPAN_S)
            found[summary.NAME] = summary.summary(samples, query("resources")[0])
        if drawn := [panel for panel in panels if panel != summary.NAME]:
            found.update(_drawn(query, drawn))
        return found


def _drawn(query: Query, panels: Collection[str]) -> dict[str, Columns]:
    from rustray.dashboard import panels as drawn
    from rustray.dashboard import tables

    samples = query("metrics", time.time() - drawn.SPAN_S)
    return {panel: {"samples": tables.resource_columns(samples)} for panel in panels}


def figures(panels: Collection[str]) -> dict[str, Any]:
    """Their Bokeh figures, as BokehJS's `embed_item` takes them, with empty sources."""
    from bokeh.embed import json_item
    from bokeh.models import ColumnDataSource

    from rustray.dashboard import panels as drawn
    from rustray.dashboard import tables

    source = ColumnDataSource(tables.resource_columns([]), name="samples")
    return {panel: json_item(drawn.resources(source)) for panel in panels}
