"""What all figures have in common: quiet axes, no frame, no tool bar, and a width that follows the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from bokeh.core.properties import value
from bokeh.models import (
    ColumnDataSource,
    FactorRange,
    FixedTicker,
    HoverTool,
    InlineStyleSheet,
    LayoutDOM,
    NumeralTickFormatter,
    Range1d,
)
from bokeh.models.annotations import Title
from bokeh.plotting import figure, row
from bokeh.transform import dodge

from rustray.dashboard.tables.samples import SPAN_S
from rustray.model.colours import GREY

FONT = "system-ui, sans-serif"
BYTES = "0[.]0 b"
INK = "ink"
"""The tag of text that the page gives its own colour."""
Source = ColumnDataSource
Sources = Mapping[str, ColumnDataSource]
Tips = Sequence[tuple[str, str]]


def bare(title: str, title_name: str | None = None, **more: Any) -> figure:
    """A figure without axes."""
    plot = figure(
        **{
            "height": 120,
            "sizing_mode": "stretch_width",
            "toolbar_location": None,
            "tools": "",
            "background_fill_alpha": 0,
            "border_fill_alpha": 0,
            "outline_line_color": None,
            "min_border": 0,
            "min_width": 0,
            **more,
        }
    )
    if title:
        plot.title = Title(
            text=title,
            name=title_name,
            text_font=FONT,
            text_font_size="12px",
            text_font_style="normal",
            text_color=GREY,
        )
    plot.axis.visible = False
    plot.grid.visible = False
    return plot


def quiet(plot: figure) -> None:
    """Axes that are there to be read, not looked at."""
    for axis in plot.axis:
        axis.visible = True
        axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = None
        axis.major_label_text_color = GREY
        axis.major_label_text_font = FONT
        axis.major_label_text_font_size = "11px"
        axis.major_label_standoff = 4
        axis.major_tick_in = axis.major_tick_out = 0
    plot.ygrid.visible = True
    plot.ygrid.grid_line_color = GREY
    plot.ygrid.grid_line_alpha = 0.25


def ago_axis(plot: figure, span: float) -> None:
    """Time in seconds before now, which is at the right edge."""
    plot.xaxis.ticker = FixedTicker(ticks=[-span, -span / 2, 0])
    half = f"{span / 120:g} min" if span > 60 else f"{span / 2:g} s"
    plot.xaxis.major_label_overrides = {
        -span: f"−{span / 60:g} min",
        -span / 2: f"−{half}",
        0: "now",
    }


def over_time(title: str, name: str, unit: str = "0[.]0a", end: float = 2.0, height: int = 130) -> figure:
    """An empty figure of something over the last SPAN_S seconds.

    Parameters
    ----------
    name: of its axis of values, which `tables.axes` sets.
    unit: how the axis of values is written, as of `NumeralTickFormatter`; BYTES where it is bytes.
    """
    plot = bare(
        title,
        height=height,
        x_range=Range1d(start=-SPAN_S, end=0),
        y_range=Range1d(start=0, end=end, name=f"{name}_y"),
        min_border_left=50,
        min_border_right=16,
    )
    quiet(plot)
    ago_axis(plot, SPAN_S)
    ticker = FixedTicker(ticks=[0.0, end / 2, end], name=f"{name}_ticks")
    plot.yaxis.ticker = ticker
    plot.ygrid.ticker = ticker
    plot.yaxis.formatter = NumeralTickFormatter(format=unit)
    return plot


def area(plot: figure, source: Source, column: str, color: str) -> Any:
    """A line with what is below it filled."""
    plot.varea("ago", y1=0, y2=column, source=source, color=color, alpha=0.2)
    return plot.line("ago", column, source=source, color=color, line_width=1.6)


def tips(
    plot: figure, renderers: Sequence[Any], told: Tips, mode: Literal["mouse", "vline"] = "mouse"
) -> None:
    """What the pointer shows."""
    plot.add_tools(HoverTool(renderers=list(renderers), tooltips=list(told), mode=mode))


def rows(
    title: str,
    name: str,
    parts: Source,
    told: Source,
    count: int,
    row_px: int,
    part_tips: Tips,
    axis_px: int = 0,
) -> figure:
    """A thin bar a row, from 0 to 1, with a name above it at the left and what goes with it at the right. The page cuts
    names for which there is no room.

    Parameters
    ----------
    name: of the figure, for "set"; its range of rows is called NAME_y.
    parts: "y", "left", "right", "color" and what the tips want. told: "y", "name", "told".
    count, row_px: rows at first, and pixels of each.
    """
    plot = bare(
        title,
        name=name,
        height=count * row_px + axis_px,
        x_range=Range1d(start=0, end=1),
        y_range=Range1d(start=count - 0.5, end=-0.5, name=f"{name}_y"),
        min_border_left=2,
        min_border_right=2,
        tags=[{"rows": told.name}],
    )
    bars = plot.quad(
        left="left",
        right="right",
        top=shifted("y", 0.14),
        bottom=shifted("y", 0.40),
        color="color",
        line_color=None,
        source=parts,
    )
    words(plot, told, "name", 0.0, shifted("y", 0.06), "left")
    words(plot, told, "told", 1.0, shifted("y", 0.06), "right")
    tips(plot, [bars], part_tips)
    return plot


def shifted(column: str, by: float) -> Any:
    """A column with a number added to it."""
    return dodge(column, by)


def words(
    plot: figure,
    source: Source,
    column: Any,
    x: Any,
    y: Any,
    align: str,
    baseline: str = "bottom",
    px: int = 12,
) -> None:
    """A column of text in the page's colour."""
    text = plot.text(
        x,
        y,
        text=column,
        source=source,
        text_align=align,
        text_baseline=baseline,
        text_font=value(FONT),
        text_font_size=f"{px}px",
        text_color=GREY,
    )
    text.glyph.tags = [INK]


def matrix(title: str, name: str, source: Source, tip: Tips) -> figure:
    """Coloured fields, from the names at the left to those above. The page writes on them where there is room."""
    plot = bare(
        title,
        f"{name}_title",
        name=f"{name}_plot",
        x_range=FactorRange(name=f"{name}_x"),
        y_range=FactorRange(name=f"{name}_y"),
        x_axis_location="above",
        min_border_right=44,
        tags=[{"fields": source.name}],
    )
    quiet(plot)
    plot.grid.visible = False
    plot.xaxis.major_label_orientation = 0.6
    fields = plot.rect("x", "y", 0.96, 0.92, source=source, fill_color="color", line_color=None)
    plot.text(
        "x",
        "y",
        text="text",
        source=source,
        text_color="ink",
        text_align="center",
        text_baseline="middle",
        text_font=value(FONT),
        text_font_size="11px",
    )
    tips(plot, [fields], tip)
    return plot


def side_by_side(figures: Sequence[LayoutDOM], least_px: int, most: int) -> LayoutDOM:
    """As many beside each other as there is room for.

    Parameters
    ----------
    least_px: width that each needs. most: so many beside each other at most.
    """
    share = 100 // most - 3
    style = (
        ":host { display: grid !important; gap: 8px 12px; grid-template-columns: "
        f"repeat(auto-fit, minmax(min(100%, max({least_px}px, {share}%)), 1fr)) !important; }}"
    )
    return row(list(figures), sizing_mode="stretch_width", stylesheets=[InlineStyleSheet(css=style)])
