"""Progress by function."""

from __future__ import annotations

from bokeh.models import LayoutDOM

from rustray.dashboard.figures.style import Sources, rows
from rustray.dashboard.tables.progress import ROW_PX


def draw(sources: Sources) -> LayoutDOM:
    """A bar a function."""
    told = [("", "@function"), ("", "@count @state")]
    return rows("", "bars", sources["parts"], sources["rows"], 2, ROW_PX, told, axis_px=4)
