"""The panels: what each is called, asks and shows. The one list that notebooks, pages and the command line go by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rustray.dashboard.answers import Answers
from rustray.dashboard.tables import heads, network, nodes, progress, queues, resources, store, tasks
from rustray.errors import OptionError
from rustray.model.option_checks import unknown_name

if TYPE_CHECKING:
    from bokeh.models import ColumnDataSource, LayoutDOM

DEFAULT = ("resources", "progress", "tasks")


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes
    ----------
    questions: what the cluster is asked, as `Session.query` knows it.
    tables: the answers and the time, in seconds since the epoch, as {source: columns}: see `tables`.
    """

    name: str
    title: str
    questions: tuple[str, ...]
    tables: Callable[[Answers, float], dict[str, Any]]

    def draw(self, sources: Mapping[str, ColumnDataSource]) -> LayoutDOM:
        """Its figure over the sources of its tables, by their names. Loads Bokeh."""
        figure: LayoutDOM = import_module(f"rustray.dashboard.figures.{self.name}").draw(sources)
        return figure


PANELS = {
    panel.name: panel
    for panel in (
        Panel("resources", "Resources", ("metrics", "node_metrics"), resources.tables),
        Panel("tasks", "Tasks", ("task_events", "function_metrics", "metrics"), tasks.tables),
        Panel("progress", "Progress", ("function_metrics",), progress.tables),
        Panel("queues", "Queues", ("metrics", "levels"), queues.tables),
        Panel("nodes", "Nodes", ("nodes", "node_metrics", "gone_nodes"), nodes.tables),
        Panel("store", "Object store", ("metrics", "objects"), store.tables),
        Panel("heads", "Heads", ("heads",), heads.tables),
        Panel("network", "Network", ("network",), network.tables),
    )
}


def check(names: Iterable[str]) -> None:
    """OptionError of a name that no panel has."""
    for name in names:
        if not isinstance(name, str):
            raise OptionError(f"{name!r} is no panel: give names, such as {DEFAULT[0]!r}.")
        if name not in PANELS:
            raise unknown_name("entry of the dashboard", name, PANELS)
