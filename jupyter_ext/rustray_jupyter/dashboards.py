"""The panels of `rustray.dashboard` for pages: which there are, their figures and what they show.

Bokeh is loaded by the first page that is opened, not when the server starts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

import rustray.dashboard
from rustray.dashboard.feed import Feed as PanelFeed
from rustray_jupyter import summary
from rustray_jupyter.live import Columns

Query = Callable[..., Any]


def panel_names() -> list[str]:
    """All panels, in the order of a page that shows them all."""
    return list(rustray.dashboard.PANELS)


def chosen(text: str, known: Collection[str]) -> list[str]:
    """Those of "name,name", each once; [] where one of them is not known."""
    names = list(dict.fromkeys(filter(None, text.split(","))))
    return names if set(names) <= set(known) else []


def no_panels(text: str, known: Collection[str]) -> str:
    """The error of who has named what `chosen` does not know."""
    return f"{text!r} does not name panels. Give some of these, with commas between them: {', '.join(known)}."


def items(panels: Collection[str]) -> list[dict[str, Any]]:
    """What `feed.js` draws them from. Takes a while."""
    from rustray.dashboard import figures

    return figures.items(list(panels))


class Feed:
    """What the panels of one cluster show, from when somebody looks until nobody does."""

    def __init__(self) -> None:
        self._panels = PanelFeed(time.time)

    def take(self, query: Query, panels: Collection[str]) -> dict[str, Columns]:
        """The tables of these panels as they are now; `summary.NAME` is one of them here. RustRayError of `query`."""
        found = self._panels.take(query, [panel for panel in panels if panel != summary.NAME])
        if summary.NAME in panels:
            samples = query("metrics", time.time() - summary.SPAN_S)
            found[summary.NAME] = summary.summary(samples, query("resources")[0])
        return found
