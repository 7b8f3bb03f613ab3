"""Live panels as a widget in a notebook, and the thread that feeds all widgets of a session.

The thread sends tables over the widget's own channel, so panels move while the kernel waits in `rustray.get` too. It
asks the cluster only for panels that somebody looks at, and rests while there are none.
"""

from __future__ import annotations

import gzip
import threading
import time
from functools import cache
from pathlib import Path
from typing import Any

import anywidget
import bokeh
import traitlets
from bokeh.resources import Resources

from rustray.dashboard.feed import Feed
from rustray.dashboard.figures import items
from rustray.dashboard.watch import Watch
from rustray.driver.cells import kernel_shell
from rustray.driver.current import current
from rustray.driver.session import Session
from rustray.errors import RustRayError

UPDATE_S = 0.5
SCRIPTS = "".join(Path(__file__).with_name(name).read_text() for name in ("feed.js", "widget.js"))
ENDED = "The cluster has ended, or this notebook has left it."


class PanelsWidget(anywidget.AnyWidget):
    """What the browser has of it; `widget.js` is its other half.

    `bokehjs_gz` is BokehJS, compressed: it makes the widget independent of what else the page has loaded. `ended` says
    why nothing will come any more, "" before that.
    """

    _esm = SCRIPTS
    bokeh_version = traitlets.Unicode(bokeh.__version__).tag(sync=True)
    bokehjs_gz = traitlets.Bytes().tag(sync=True)
    items: traitlets.List[Any] = traitlets.List().tag(sync=True)
    tables = traitlets.Dict().tag(sync=True)
    ended = traitlets.Unicode().tag(sync=True)


class Dashboard:
    """Panels of one session, shown as the value of a notebook cell.

    Attributes
    ----------
    panels: their names. widget: what the notebook shows.
    """

    def __init__(self, panels: list[str], tables: dict[str, Any], watch: Watch) -> None:
        self.panels = panels
        self.watch = watch
        self.widget = PanelsWidget(bokehjs_gz=_bokehjs(), items=items(panels), tables=tables)
        self.widget.on_msg(lambda _widget, _message, _buffers: _looked(self))

    def values(self) -> dict[str, Any]:
        """The numbers above the panels as they were shown last: {"panel.key": number}."""
        return {
            f"{panel}.{key}": number
            for panel, table in self.widget.tables.items()
            for key, number in zip(table["values"]["key"], table["values"]["number"], strict=True)
        }

    def __repr__(self) -> str:
        told = self.widget.tables[self.panels[0]]["values"]
        shown = ", ".join(f"{label} {text}" for label, text in zip(told["label"], told["text"], strict=True))
        return f"<live dashboard of {', '.join(self.panels)}: {shown}>"

    def _repr_mimebundle_(self, **_wanted: Any) -> Any:
        shown: Any = self.widget._repr_mimebundle_()
        return {**shown[0], "text/plain": repr(self)}, shown[1]


class _Feeder:
    """The dashboards of one session, and the thread that feeds them until the session ends."""

    def __init__(self, session: Session) -> None:
        self.dashboards: list[Dashboard] = []
        self.wake = threading.Event()
        self._session = session
        self._feed = Feed(time.time)
        self._ended = threading.Event()
        session.on_end.append(self._end)
        self._shell = kernel_shell()
        if self._shell is not None:
            self._shell.events.register("pre_run_cell", self._on_cell)
            self._shell.events.register("post_run_cell", self._on_cell_ended)
        threading.Thread(target=self._run, name="rustray-dashboard", daemon=True).start()

    def add(self, panels: list[str]) -> Dashboard:
        """A new one."""
        tables = self._feed.take(self._session.requests.query, panels)
        dashboard = Dashboard(panels, tables, Watch(time.monotonic(), self._shell is not None))
        self.dashboards.append(dashboard)
        self.wake.set()
        return dashboard

    def _end(self) -> None:
        self._ended.set()
        self.wake.set()
        if self._shell is not None:
            self._shell.events.unregister("pre_run_cell", self._on_cell)
            self._shell.events.unregister("post_run_cell", self._on_cell_ended)

    def _on_cell(self, _info: Any) -> None:
        for dashboard in self.dashboards:
            dashboard.watch.cell_begins(time.monotonic())

    def _on_cell_ended(self, _result: Any) -> None:
        for dashboard in self.dashboards:
            dashboard.watch.cell_ends(time.monotonic())

    def _run(self) -> None:
        while not self._ended.is_set():
            self.wake.clear()
            watched = [one for one in list(self.dashboards) if one.watch.on(time.monotonic())]
            if watched:
                self._update(watched)
                self._ended.wait(UPDATE_S)
            else:
                self.wake.wait()
        for dashboard in self.dashboards:
            dashboard.widget.ended = ENDED

    def _update(self, watched: list[Dashboard]) -> None:
        panels = {panel for dashboard in watched for panel in dashboard.panels}
        try:
            tables = self._feed.take(self._session.requests.query, panels)
        except RustRayError:
            # The heads choose a new leader, say: the page tells that nothing comes, and we ask again.
            if self._session.ended is not None:
                self._ended.set()
            return
        for dashboard in watched:
            dashboard.widget.tables = {panel: tables[panel] for panel in dashboard.panels}


_feeder: _Feeder | None = None
_feeder_of: Session | None = None


def show(panels: list[str]) -> Dashboard:
    """These panels of the present session. SessionError where there is none."""
    global _feeder, _feeder_of
    session = current()
    if _feeder is None or _feeder_of is not session:
        _feeder, _feeder_of = _Feeder(session), session
    return _feeder.add(panels)


def _looked(dashboard: Dashboard) -> None:
    dashboard.watch.looked(time.monotonic())
    if _feeder is not None:
        _feeder.wake.set()


@cache
def _bokehjs() -> bytes:
    (path,) = Resources(mode="absolute", components=["bokeh"]).js_files
    return gzip.compress(Path(path).read_bytes(), mtime=0)
