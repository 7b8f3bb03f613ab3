"""The object store."""

from __future__ import annotations

from bokeh.models import LayoutDOM
from bokeh.plotting import column

from rustray.dashboard.colours import BLUE, ORANGE
from rustray.dashboard.figures.style import BYTES, Sources, area, over_time, rows, side_by_side, tips
from rustray.dashboard.tables.store import ROW_PX


def draw(sources: Sources) -> LayoutDOM:
    """Use over time, by node, and the largest objects."""
    samples = sources["samples"]
    used = over_time("Used, and spilled dashed", BYTES, height=150)
    line = area(used, samples, "store", BLUE)
    used.line("ago", "spilled", source=samples, color=ORANGE, line_width=1.6, line_dash="dashed")
    tips(used, [line], [("in memory", "@store{0.0 ib}"), ("spilled", "@spilled{0.0 ib}")], mode="vline")
    moved = over_time("To disk /s, and back dashed", BYTES)
    line = area(moved, samples, "spilling", ORANGE)
    moved.line("ago", "restoring", source=samples, color=BLUE, line_width=1.6, line_dash="dashed")
    told = [("spilled", "@spilling{0.0 ib}/s"), ("read back", "@restoring{0.0 ib}/s")]
    tips(moved, [line], told, mode="vline")
    nodes = rows(
        "By node",
        "node_bars",
        sources["node_parts"],
        sources["node_rows"],
        1,
        ROW_PX,
        [("", "@size @state")],
        axis_px=26,
    )
    objects = rows(
        "Largest objects",
        "object_bars",
        sources["object_parts"],
        sources["object_rows"],
        1,
        ROW_PX,
        [("", "in @place"), ("owner", "@owner"), ("references", "@references")],
        axis_px=26,
    )
    return side_by_side([column(used, moved, nodes, sizing_mode="stretch_width"), objects], least_px=280, most=2)
