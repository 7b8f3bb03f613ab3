"""The panels of `rustray.dashboard` for pages: which there are, their figures and their columns.

Bokeh is loaded by the first page that is opened, not when the server starts; so what is here may block.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

from rustray_jupyter.live import Columns

Query = Callable[..., Any]


def panel_names() -> list[str]:
    """All panels, in the order of a page that shows them all."""
    return ["resources"]


def chosen_panels(text: str) -> list[str]:
    """Those of "name,name" that exist, each once; [] where one does not."""
    names = list(dict.fromkeys(filter(None, text.split(","))))
    return names if set(names) <= set(panel_names()) else []


def columns(query: Query, panels: Collection[str]) -> dict[str, Columns]:
    """What the sources of these panels have now."""
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
