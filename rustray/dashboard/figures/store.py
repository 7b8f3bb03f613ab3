"""The object store."""

from __future__ import annotations

from bokeh.models import LayoutDOM

from rustray.dashboard.figures.style import BYTES, Sources, area, over_time, rows, side_by_side, tips
from rustray.dashboard.tables.store import AXIS_PX, ROW_PX
from rustray.model.colours import BLUE, ORANGE


def draw(sources: Sources) -> LayoutDOM:
    """Use over time, by node, and the largest objects."""
    samples = sources["samples"]
    used = over_time("In memory, and spilled dashed", "used", BYTES)
    line = area(used, samples, "store", BLUE)
    used.line("ago", "spilled", source=samples, color=ORANGE, line_width=1.6, line_dash="dashed")
    tips(used, [line], [("in memory", "@store{0.0 b}"), ("spilled", "@spilled{0.0 b}")], mode="vline")
    moved = over_time("To disk /s, and back dashed", "moved", BYTES)
    line = area(moved, samples, "spilling", ORANGE)
    moved.line("ago", "restoring", source=samples, color=BLUE, line_width=1.6, line_dash="dashed")
    told = [("spilled", "@spilling{0.0 b}/s"), ("read back", "@restoring{0.0 b}/s")]
    tips(moved, [line], told, mode="vline")
    nodes = rows(
        "By node",
        "node_bars",
        sources["node_parts"],
        sources["node_rows"],
        1,
        ROW_PX,
        [("", "@size @state")],
        axis_px=AXIS_PX,
    )
    objects = rows(
        "Largest objects",
        "object_bars",
        sources["object_parts"],
        sources["object_rows"],
        1,
        ROW_PX,
        [("", "in @place"), ("owner", "@owner"), ("references", "@references")],
        axis_px=AXIS_PX,
    )
    return side_by_side([used, moved, nodes, objects], least_px=240, most=2)
