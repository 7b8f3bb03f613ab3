"""The panels: each function draws one figure from the columns of `tables`.

Colours are middle tones and backgrounds are left out, so that the panels suit light and dark pages alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from bokeh.models import (
    BasicTicker,
    ColumnDataSource,
    DataRange1d,
    DatetimeTicker,
    DatetimeTickFormatter,
    LayoutDOM,
    NumeralTickFormatter,
    Range,
    Range1d,
)
from bokeh.plotting import figure, row

SPAN_S = 120
"""Seconds that the time axis shows."""
HEIGHT = 130
GREY = "#8a8a8a"
BLUE, GREEN, ORANGE, VIOLET = "#3b82d0", "#2f9e63", "#d97a26", "#9063cd"


def resources(source: ColumnDataSource) -> LayoutDOM:
    """CPU, memory, tasks a second and workers, side by side."""
    return row(
        cpu(source), memory(source), tasks(source), workers(source), sizing_mode="stretch_width", spacing=12
    )


def cpu(source: ColumnDataSource) -> figure:
    """Percent of the machine's cores in use."""
    plot = _over_time(Range1d(start=0, end=100))
    _area(plot, source, "cpu", BLUE)
    return plot


def memory(source: ColumnDataSource) -> figure:
    """GiB of the machine's memory in use."""
    plot = _over_time()
    _area(plot, source, "memory", GREEN)
    return plot


def tasks(source: ColumnDataSource) -> figure:
    """Tasks finished a second."""
    plot = _over_time()
    plot.yaxis.formatter = NumeralTickFormatter(format="0a")
    _area(plot, source, "tasks", ORANGE)
    return plot


def workers(source: ColumnDataSource) -> figure:
    """Worker processes, and above them in full colour those that are busy."""
    plot = _over_time()
    plot.step("time", "workers", source=source, color=GREY, line_dash="dotted", mode="after")
    _area(plot, source, "busy", VIOLET)
    return plot


def captions_html(told: Sequence[tuple[str, str, str]]) -> str:
    """A heading over each panel of a row, as HTML: name, value, and what goes with it."""
    parts = [
        f'<div style="flex:1;min-width:0;white-space:nowrap;overflow:hidden">{escape(name)} '
        f'<b class="rustray-{name.lower()}">{escape(value)}</b> <small>{escape(more)}</small></div>'
        for name, value, more in told
    ]
    return (
        '<div style="display:flex;gap:12px;padding-left:4px;color:var(--jp-ui-font-color1,currentColor);'
        f'font-family:var(--jp-ui-font-family,sans-serif)">{"".join(parts)}</div>'
    )


def _over_time(values: Range | None = None) -> figure:
    plot = figure(
        height=HEIGHT,
        sizing_mode="stretch_width",
        x_axis_type="datetime",
        # The newest sample is at the right edge, whether or not there are two minutes of them yet.
        x_range=DataRange1d(follow="end", follow_interval=SPAN_S * 1000, range_padding=0),
        y_range=values or DataRange1d(start=0, min_interval=1),
        toolbar_location=None,
        tools="",
        background_fill_alpha=0,
        border_fill_alpha=0,
        outline_line_color=None,
        min_border_left=38,
        min_border_right=8,
    )
    plot.xaxis.ticker = DatetimeTicker(desired_num_ticks=3)
    plot.yaxis.ticker = BasicTicker(desired_num_ticks=3)
    plot.xaxis.formatter = DatetimeTickFormatter(seconds="%H:%M:%S", minsec="%H:%M:%S", minutes="%H:%M")
    for axis in plot.axis:
        axis.axis_line_color = axis.major_tick_line_color = GREY
        axis.minor_tick_line_color = None
        axis.major_label_text_color = GREY
    plot.xgrid.grid_line_color = None
    plot.ygrid.grid_line_color = GREY
    plot.ygrid.grid_line_alpha = 0.25
    return plot


def _area(plot: figure, source: ColumnDataSource, column: str, color: str) -> None:
    plot.varea("time", y1=0, y2=column, source=source, color=color, alpha=0.25)
    plot.line("time", column, source=source, color=color, line_width=1.5)
