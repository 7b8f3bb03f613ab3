"""Live panels as a widget in a notebook, and the thread that feeds all widgets of a session.

The thread sends tables over the widget's own channel, so panels move while the kernel waits in `rustray.get` too. It
asks the cluster only for panels that somebody looks at, and rests while there are none.
"""

from __future__ import annotations

import gzip
import logging
import threading
import time
from functools import cache
from pathlib import Path
from typing import Any

import anywidget
import bokeh
import traitlets
from bokeh.resources import Resources

from rustray.clusters import registry
from rustray.dashboard.feed import Feed
from rustray.dashboard.figures import items
from rustray.dashboard.watch import Watch
from rustray.driver import registry as processes
from rustray.driver.cells import kernel_shell
from rustray.driver.current import current
from rustray.driver.session import Session, no_fate
from rustray.errors import RustRayError

log = logging.getLogger(__name__)

UPDATE_S = 0.5
SCRIPTS = "".join(Path(__file__).with_name(name).read_text() for name in ("feed.js", "widget.js"))

ENDED = "This notebook has ended its cluster."
LEFT = "This notebook has left the cluster, which goes on."
LOST = "The cluster has ended, or cannot be reached any more."


class PanelsWidget(anywidget.AnyWidget):
    """What the browser has of it; `widget.js` is its other half.

    `bokehjs_gz` is BokehJS, compressed: it makes the widget independent of what else the page has loaded. `trouble`
    says why nothing comes just now, `ended` why nothing will come any more; "" where that is not so. `cluster` is the
    name by which the Jupyter server knows the cluster: it is asked when the kernel has gone. "" if it has none here.
    """

    _esm = SCRIPTS
    bokeh_version = traitlets.Unicode(bokeh.__version__).tag(sync=True)
    bokehjs_gz = traitlets.Bytes().tag(sync=True)
    items: traitlets.List[Any] = traitlets.List().tag(sync=True)
    tables = traitlets.Dict().tag(sync=True)
    trouble = traitlets.Unicode().tag(sync=True)
    ended = traitlets.Unicode().tag(sync=True)
    cluster = traitlets.Unicode().tag(sync=True)


class Dashboard:
    """Panels of one session, shown as the value of a notebook cell.

    Attributes
    ----------
    panels: their names. widget: what the notebook shows.
    """

    def __init__(
        self, panels: list[str], tables: dict[str, Any], feeder: _Feeder, in_cell: bool, cluster: str = ""
    ) -> None:
        self.panels = panels
        self.watch = Watch(time.monotonic(), in_cell)
        self.widget = PanelsWidget(bokehjs_gz=_bokehjs(), items=items(panels), tables=tables, cluster=cluster)
        self.widget.on_msg(lambda _widget, _message, _buffers: feeder.looked(self))

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
    """The dashboards of one session that somebody looks at, and the thread that feeds them until the session ends."""

    def __init__(self, session: Session) -> None:
        self._dashboards: set[Dashboard] = set()
        self._wake = threading.Event()
        self._session = session
        self._told = ""
        self._feed = Feed(time.time)
        self._ended = threading.Event()
        at = session.info["folder"]
        facts = next((facts for facts in processes.clusters() if facts["folder"] == at), {})
        self._is_own = session.fate is not no_fate and not facts.get("heads")
        session.on_end.append(self._end)
        self._shell = kernel_shell()
        if self._shell is not None:
            self._shell.events.register("pre_run_cell", self._on_cell)
            self._shell.events.register("post_run_cell", self._on_cell_ended)
        threading.Thread(target=self._run, name="rustray-dashboard", daemon=True).start()

    def add(self, panels: list[str]) -> Dashboard:
        """A new one."""
        tables = self._feed.take(self._session.requests.query, panels)
        dashboard = Dashboard(panels, tables, self, self._shell is not None, _name_of(self._session))
        self._dashboards.add(dashboard)
        self._wake.set()
        return dashboard

    def looked(self, dashboard: Dashboard) -> None:
        """Somebody looks at it."""
        dashboard.watch.looked(time.monotonic())
        self._dashboards.add(dashboard)
        self._wake.set()
        if self._ended.is_set():
            dashboard.widget.ended = self._why_ended()

    def _why_ended(self) -> str:
        if not self._session.was_left:
            return LOST
        return ENDED if self._is_own else LEFT

    def _end(self) -> None:
        self._ended.set()
        self._wake.set()
        if self._shell is not None:
            self._shell.events.unregister("pre_run_cell", self._on_cell)
            self._shell.events.unregister("post_run_cell", self._on_cell_ended)

    def _on_cell(self, _info: Any) -> None:
        for dashboard in list(self._dashboards):
            dashboard.watch.cell_begins(time.monotonic())

    def _on_cell_ended(self, _result: Any) -> None:
        for dashboard in list(self._dashboards):
            dashboard.watch.cell_ends(time.monotonic())

    def _run(self) -> None:
        while not self._ended.is_set():
            self._wake.clear()
            if self._update():
                self._ended.wait(UPDATE_S)
            else:
                self._wake.wait()
        for dashboard in list(self._dashboards):
            dashboard.widget.ended = self._why_ended()

    def _update(self) -> bool:
        """Move what is watched; whether there is any."""
        known, now = list(self._dashboards), time.monotonic()
        watched = [one for one in known if one.watch.on(now)]
        self._dashboards.difference_update(set(known) - set(watched))  # these come again when somebody looks
        panels = {panel for dashboard in watched for panel in dashboard.panels}
        if not watched:
            return False
        trouble, tables = "", {}
        try:
            tables = self._feed.take(self._session.requests.query, panels)
        except RustRayError as error:  # the heads choose a new leader, say
            trouble = f"Not connected: {error}"
            if self._session.ended is not None:
                self._ended.set()
        except Exception as error:
            # A defect in one panel or answer: the notebook goes on, and so does this thread, for it may pass.
            trouble = f"Not connected: {type(error).__name__}: {error}"
            if trouble != self._told:
                log.exception("the dashboard could not be moved")
        self._told = trouble
        for dashboard in watched:
            self._show(dashboard, trouble, tables)
        return True

    def _show(self, dashboard: Dashboard, trouble: str, tables: dict[str, Any]) -> None:
        try:
            dashboard.widget.trouble = trouble.partition("\n")[0]
            if tables:
                dashboard.widget.tables = {panel: tables[panel] for panel in dashboard.panels}
        except Exception:
            # Its comm is broken; others need not suffer.
            log.exception("a dashboard is left alone: its page cannot be reached")
            self._dashboards.discard(dashboard)


_feeder: _Feeder | None = None
_feeder_of: Session | None = None


def show(panels: list[str]) -> Dashboard:
    """These panels of the present session. SessionError where there is none."""
    global _feeder, _feeder_of
    session = current()
    if _feeder is None or _feeder_of is not session:
        _feeder, _feeder_of = _Feeder(session), session
    return _feeder.add(panels)


def _name_of(session: Session) -> str:
    """Under which its cluster is in the registry, "" for none."""
    folder = session.info.get("folder")
    named = (file.name for file in registry.files() if folder in {one.folder for one in file.processes})
    return next(named, "")


@cache
def _bokehjs() -> bytes:
    (path,) = Resources(mode="absolute", components=["bokeh"]).js_files
    return gzip.compress(Path(path).read_bytes(), mtime=0)
