"""The heads: a strip each, of what it was in the last minutes."""

from __future__ import annotations

from bokeh.models import LayoutDOM, Range1d

from rustray.dashboard.figures.style import Sources, ago_axis, bare, quiet, shifted, tips, words
from rustray.dashboard.head_strips import SPAN_S
from rustray.dashboard.tables.heads import AXIS_PX, ROW_PX


def draw(sources: Sources) -> LayoutDOM:
    """A strip a head, with its address and how it is above."""
    plot = bare(
        "",
        name="strips",
        height=ROW_PX + AXIS_PX,
        x_range=Range1d(start=-SPAN_S, end=0),
        y_range=Range1d(start=0.5, end=-0.5, name="strips_y"),
        min_border_right=16,
        min_border_left=2,
    )
    quiet(plot)
    plot.yaxis.visible = False
    plot.ygrid.visible = False
    ago_axis(plot, SPAN_S)
    strips = plot.quad(
        left="left",
        right="right",
        top=shifted("y", 0.06),
        bottom=shifted("y", 0.38),
        color="color",
        source=sources["spans"],
    )
    words(plot, sources["rows"], "name", -SPAN_S, "y", "left")
    words(plot, sources["rows"], "told", 0.0, "y", "right")
    tips(plot, [strips], [("", "@state"), ("term", "@term")])
    return plot
