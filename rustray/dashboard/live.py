"""A live dashboard in a notebook: a Bokeh figure, and the thread that feeds it.

The thread asks the cluster for its newest samples and sends them over the widget's own channel, so the figure
moves while the kernel waits in `rustray.get` too. It rests while no page shows the widget, and ends with the
session and when another dashboard takes this one's place.
"""

from __future__ import annotations

import gzip
import threading
import time
from pathlib import Path
from typing import Any

import anywidget
import bokeh
import traitlets
from bokeh.embed import json_item
from bokeh.models import ColumnDataSource
from bokeh.resources import Resources

from rustray.dashboard import panels, tables
from rustray.driver.current import current
from rustray.driver.session import Session
from rustray.errors import RustRayError

UPDATE_S = 0.5


class LiveWidget(anywidget.AnyWidget):
    """What the browser has of a dashboard; `live.js` is its other half.

    `bokehjs_gz` is BokehJS, compressed: it makes the widget independent of what else the page has loaded.
    """

    _esm = Path(__file__).with_name("live.js").read_text()
    bokeh_version = traitlets.Unicode(bokeh.__version__).tag(sync=True)
    bokehjs_gz = traitlets.Bytes().tag(sync=True)
    figure = traitlets.Dict().tag(sync=True)
    columns = traitlets.Dict().tag(sync=True)
    captions = traitlets.Unicode().tag(sync=True)


class Live:
    """The dashboard of one session, shown as the value of a notebook cell.

    `widget` is what the notebook shows.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._ended = threading.Event()
        self._watched = threading.Event()
        self._watched.set()  # the first page can say so only when the kernel has nothing else to do
        self._views = 0
        source = ColumnDataSource(tables.resource_columns([]), name="samples")
        self.widget = LiveWidget(bokehjs_gz=_bokehjs(), figure=json_item(panels.resources(source)))
        self.widget.on_msg(self._on_message)
        self._update()
        session.on_end.append(self.close)
        self._thread = threading.Thread(target=self._run, name="rustray-dashboard", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop moving; the last picture stays."""
        self._ended.set()
        self._watched.set()

    def _run(self) -> None:
        while not self._ended.wait(UPDATE_S):
            self._watched.wait()
            try:
                self._update()
            except RustRayError:
                return  # the cluster is gone

    def _update(self) -> None:
        samples = self._session.requests.query("metrics", time.time() - panels.SPAN_S)
        self._captions = tables.resource_captions(samples[-1] if samples else None)
        with self.widget.hold_sync():
            self.widget.captions = panels.captions_html(self._captions)
            self.widget.columns = tables.resource_columns(samples)

    def _on_message(self, _widget: LiveWidget, message: dict[str, Any], _buffers: list[Any]) -> None:
        self._views += message["views"]
        if self._views > 0:
            self._watched.set()
        elif not self._ended.is_set():
            self._watched.clear()

    def __repr__(self) -> str:
        return f"<live dashboard: {', '.join(f'{name} {value}' for name, value, _more in self._captions)}>"

    def _repr_mimebundle_(self, **_wanted: Any) -> Any:
        shown: Any = self.widget._repr_mimebundle_()
        return {**shown[0], "text/plain": repr(self)}, shown[1]


def _bokehjs() -> bytes:
    (path,) = Resources(mode="absolute", components=["bokeh"]).js_files
    return gzip.compress(Path(path).read_bytes(), mtime=0)


_shown: Live | None = None


def show() -> Live:
    """The dashboard of the present session. One moves at a time: the newest."""
    global _shown
    session = current()
    if _shown is not None:
        _shown.close()
    _shown = Live(session)
    return _shown
