"""Resources: one small figure each."""

from __future__ import annotations

from bokeh.models import LayoutDOM, Range1d
from bokeh.plotting import figure

from rustray.dashboard.colours import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY
from rustray.dashboard.figures.style import BYTES, Source, Sources, area, over_time, side_by_side, tips


def draw(sources: Sources) -> LayoutDOM:
    """CPU, memory, object store, network, disk and tasks; a thin line a node where there are several."""
    samples, nodes = sources["samples"], sources["nodes"]
    cpu = over_time("CPU, %", "0", Range1d(start=0, end=100))
    _area(cpu, samples, "cpu", BLUE, "@cpu{0} %")
    _nodes(cpu, nodes, "cpu")
    memory = over_time("Memory", BYTES)
    _area(memory, samples, "memory", GREEN, "@memory{0.0 ib} of @memory_total{0.0 ib}")
    _nodes(memory, nodes, "memory")
    store = over_time("Object store", BYTES)
    _area(store, samples, "store", PURPLE, "@store{0.0 ib}, @spilled{0.0 ib} spilled")
    store.line("ago", "spilled", source=samples, color=ORANGE, line_width=1.4, line_dash="dashed")
    _nodes(store, nodes, "store")
    network = over_time("Network /s", BYTES)
    _pair(network, samples, "net_in", "net_out", SKY, "in", "out")
    disk = over_time("Disk /s", BYTES)
    _pair(disk, samples, "disk_read", "disk_write", GREY, "read", "written")
    tasks = over_time("Tasks /s")
    _area(tasks, samples, "tasks", ORANGE, "@tasks{0[.]0a}/s, @busy of @workers workers busy")
    return side_by_side([cpu, memory, tasks, store, network, disk], least_px=150, most=3)


def _area(plot: figure, source: Source, column: str, color: str, told: str) -> None:
    tips(plot, [area(plot, source, column, color)], [("", told)], mode="vline")


def _pair(plot: figure, source: Source, first: str, second: str, color: str, one: str, other: str) -> None:
    line = area(plot, source, first, color)
    plot.line("ago", second, source=source, color=color, line_width=1.4, line_dash="dashed")
    told = [(one, f"@{first}{{0.0 ib}}/s"), (other, f"@{second}{{0.0 ib}}/s")]
    tips(plot, [line], told, mode="vline")


def _nodes(plot: figure, nodes: Source, column: str) -> None:
    plot.multi_line("ago", column, source=nodes, color="color", line_width=1, line_alpha=0.8)
