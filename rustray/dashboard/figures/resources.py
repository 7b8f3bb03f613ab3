"""Resources: one small figure each."""

from __future__ import annotations

from bokeh.models import LayoutDOM
from bokeh.plotting import figure

from rustray.dashboard.figures.style import BYTES, Source, Sources, area, over_time, side_by_side, tips
from rustray.model.colours import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY


def draw(sources: Sources) -> LayoutDOM:
    """CPU, memory, object store, network, disk and tasks; a thin line a node where there are several."""
    samples, nodes = sources["samples"], sources["nodes"]
    cpu = over_time("CPU, %", "cpu", "0", 100.0)
    _nodes(cpu, nodes, "cpu")
    _area(cpu, samples, "cpu", BLUE, "@cpu{0} %")
    memory = over_time("Memory", "memory", BYTES)
    _area(memory, samples, "memory", GREEN, "@memory{0.0 b} of @memory_total{0.0 b}")
    _nodes(memory, nodes, "memory")
    store = over_time("Object store", "store", BYTES)
    _area(store, samples, "store", PURPLE, "@store{0.0 b}, @spilled{0.0 b} spilled")
    store.line("ago", "spilled", source=samples, color=ORANGE, line_width=1.4, line_dash="dashed")
    _nodes(store, nodes, "store")
    network = over_time("Network /s", "network", BYTES)
    _pair(network, samples, "net_in", "net_out", SKY, "in", "out")
    disk = over_time("Disk /s", "disk", BYTES)
    _pair(disk, samples, "disk_read", "disk_write", GREY, "read", "written")
    tasks = over_time("Tasks /s", "tasks")
    _area(tasks, samples, "tasks", ORANGE, "@tasks{0[.]0a}/s, @busy of @workers workers busy")
    return side_by_side([cpu, memory, tasks, store, network, disk], least_px=150, most=3)


def _area(plot: figure, source: Source, column: str, color: str, told: str) -> None:
    tips(plot, [area(plot, source, column, color)], [("", told)], mode="vline")


def _pair(plot: figure, source: Source, first: str, second: str, color: str, one: str, other: str) -> None:
    line = area(plot, source, first, color)
    plot.line("ago", second, source=source, color=color, line_width=1.4, line_dash="dashed")
    told = [(one, f"@{first}{{0.0 b}}/s"), (other, f"@{second}{{0.0 b}}/s")]
    tips(plot, [line], told, mode="vline")


def _nodes(plot: figure, nodes: Source, column: str) -> None:
    plot.multi_line("ago", column, source=nodes, color="color", line_width=1, line_alpha=0.8)
