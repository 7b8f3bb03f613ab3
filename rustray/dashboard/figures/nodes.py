"""The nodes: a map of tiles, each one unit wide and high. The page moves each to its place and makes as many columns as
there is room for, which only it knows.
"""

from __future__ import annotations

from bokeh.core.properties import value
from bokeh.models import LayoutDOM, Range1d

from rustray.dashboard.figures.style import Sources, bare, shifted, tips, words

TILE_PX = (204, 84)
"""Width that a tile needs at least, and height."""


def draw(sources: Sources) -> LayoutDOM:
    """Name and state, CPU and memory as meters, and the workers."""
    tiles, meters = sources["tiles"], sources["meters"]
    plot = bare(
        "",
        name="tiles_plot",
        height=TILE_PX[1],
        x_range=Range1d(start=0, end=1),
        y_range=Range1d(start=1, end=0),
        tags=[{"tile": TILE_PX}],
    )
    fields = plot.quad(
        left=shifted("x", 0.01),
        right=shifted("x", 0.985),
        top=shifted("y", 0.03),
        bottom=shifted("y", 0.95),
        source=tiles,
        fill_color="color",
        fill_alpha=0.14,
        line_color=None,
    )
    plot.quad(
        left=shifted("x", 0.01),
        right=shifted("x", 0.03),
        top=shifted("y", 0.03),
        bottom=shifted("y", 0.95),
        source=tiles,
        color="color",
    )
    plot.hbar("y", left="left", right="right", height=0.08, source=meters, color="color", line_color=None)
    for column, x, y, align, px in (
        ("name", 0.06, 0.2, "left", 12),
        ("state", 0.96, 0.2, "right", 11),
        ("cpu", 0.96, 0.44, "right", 11),
        ("memory", 0.96, 0.62, "right", 11),
        ("told", 0.06, 0.82, "left", 11),
        (value("CPU"), 0.06, 0.44, "left", 11),
        (value("mem"), 0.06, 0.62, "left", 11),
    ):
        words(plot, tiles, column, shifted("x", x), shifted("y", y), align, "middle", px)
    tips(plot, [fields], [("", "@name, @state"), ("", "@told"), ("", "@more")])
    return plot
