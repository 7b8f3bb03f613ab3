"""The stream of tasks: a Gantt chart by worker."""

from __future__ import annotations

from bokeh.models import FactorRange, LayoutDOM, Range1d

from rustray.dashboard.figures.style import Sources, ago_axis, bare, quiet, tips
from rustray.dashboard.task_stream import SPAN_S
from rustray.model.colours import FAILED


def draw(sources: Sources) -> LayoutDOM:
    """Bars coloured by function; a task that runs is pale, and one that failed has a frame, and a cross at its end."""
    plot = bare(
        "Worker processes",
        name="gantt",
        height=70,
        x_range=Range1d(start=-SPAN_S, end=0),
        y_range=FactorRange(name="lanes"),
        min_border_right=16,
    )
    quiet(plot)
    plot.ygrid.visible = False
    ago_axis(plot, SPAN_S)
    bars = plot.hbar(
        "lane",
        height=0.76,
        left="left",
        right="right",
        source=sources["bars"],
        fill_color="color",
        fill_alpha="alpha",
        line_color="line",
        line_width=1.5,
    )
    plot.scatter(
        "ago",
        "lane",
        source=sources["failures"],
        marker="x",
        size=8,
        line_color=FAILED,
        line_width=2.5,
    )
    told = [("", "@function"), ("took", "@took"), ("outcome", "@outcome"), ("worker", "@lane")]
    tips(plot, [bars], told)
    return plot
