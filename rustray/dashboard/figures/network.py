"""The network: two matrices."""

from __future__ import annotations

from bokeh.models import LayoutDOM

from rustray.dashboard.figures.style import Sources, matrix, side_by_side
from rustray.dashboard.tables.network import TRAFFIC

TOLD = [("from", "@from"), ("to", "@to"), ("", "@told")]


def draw(sources: Sources) -> LayoutDOM:
    """Round trips, and bytes a second, from the names at the left to those above."""
    latency = matrix("There and back, as above", "latency", sources["latency"], TOLD)
    traffic = matrix(TRAFFIC, "traffic", sources["traffic"], TOLD)
    return side_by_side([latency, traffic], least_px=400, most=2)
