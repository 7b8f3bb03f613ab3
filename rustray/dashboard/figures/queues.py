"""The queues: their depth over time, and what each level has now."""

from __future__ import annotations

from bokeh.models import LayoutDOM

from rustray.dashboard.figures.style import Sources, over_time, rows, side_by_side, tips
from rustray.dashboard.tables.queues import NAMES
from rustray.dashboard.tables.store import AXIS_PX, ROW_PX
from rustray.model.colours import LEVELS, SUSPENDED


def draw(sources: Sources) -> LayoutDOM:
    """Levels stacked, the most urgent below; beside it a bar a level."""
    samples = sources["samples"]
    depth = over_time("Slots asked for and not given, by level", "depth", height=162)
    depth.varea_stack(list(NAMES), x="ago", source=samples, color=list(LEVELS), alpha=0.85)
    line = depth.line("ago", "suspended", source=samples, color=SUSPENDED, line_width=2, line_dash="dashed")
    told = [(f"level {at}", f"@{name}") for at, name in enumerate(NAMES)] + [("suspended", "@suspended")]
    tips(depth, [line], told, mode="vline")
    now = rows(
        "Now, by level",
        "levels_now",
        sources["parts"],
        sources["rows"],
        len(NAMES),
        ROW_PX,
        [("", "@count @state"), ("tasks", "@meant")],
        axis_px=AXIS_PX,
    )
    return side_by_side([depth, now], least_px=300, most=2)
