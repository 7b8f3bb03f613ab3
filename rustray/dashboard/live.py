"""A live dashboard in a notebook: a Bokeh figure, and the thread that feeds it.

The thread asks the cluster for what is new and streams it into the figure over the widget's own channel, so the
figure moves while the kernel waits in `rustray.get` too. It ends with the session, with the widget, when
another dashboard takes its place, and when no browser is there to see it.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from rustray.dashboard import tables
from rustray.driver import session as session_module
from rustray.driver.session import Session
from rustray.errors import RustRayError, SessionError

UPDATE_S = 0.5


class Live:
    """The dashboard of one session.

    `figure` is the Bokeh layout, `widget` what a notebook shows of it.
    """

    def __init__(self, session: Session) -> None:
        from bokeh.layouts import column
        from bokeh.models import ColumnDataSource
        from jupyter_bokeh.widgets import BokehModel

        from rustray.dashboard import panels

        self._session = session
        self._ended = threading.Event()
        first = session.query("metrics", time.time() - panels.SPAN_S)
        self._newest = first[-1]["time"] if first else 0.0
        self._rollover = round(panels.SPAN_S / UPDATE_S)
        self._captions_html = panels.captions_html
        self.source = ColumnDataSource(tables.resource_columns(first))
        self._told = tables.resource_captions(first[-1] if first else None)
        self.captions = panels.captions(self._told)
        self.figure = column(self.captions, panels.resources(self.source), sizing_mode="stretch_width")
        self.widget = BokehModel(self.figure)
        session.on_end.append(self.close)
        self._thread = threading.Thread(target=self._run, name="rustray-dashboard", daemon=True)

    def start(self) -> None:
        """Show what happens from now on."""
        self._thread.start()

    def close(self) -> None:
        """Stop moving; what is shown stays."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(UPDATE_S):
            try:
                samples = self._session.query("metrics", self._newest)
            except RustRayError:
                return  # the cluster is gone: the last picture stays
            if samples and not self._ended.is_set():
                self._newest = samples[-1]["time"]
                self.source.stream(tables.resource_columns(samples), self._rollover)
                self._told = tables.resource_captions(samples[-1])
                self.captions.text = self._captions_html(self._told)

    def __repr__(self) -> str:
        told = ", ".join(f"{name} {value}" for name, value, _more in self._told)
        return f"<live dashboard: {told}>"

    def _repr_mimebundle_(self, **_wanted: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = self.widget._repr_mimebundle_()
        return {**bundle, "text/plain": repr(self)}  # for whom the widget is nothing, as on a terminal


_shown: Live | None = None


def show() -> Live:
    """The live dashboard of this session, as the value of a notebook cell. One moves at a time: the newest.

    Raises SessionError when there is no cluster, and when Bokeh or its widget is not installed.
    """
    global _shown
    session = session_module.current()
    if _shown is not None:
        _shown.close()
    try:
        live = Live(session)
    except ImportError as error:
        raise SessionError(
            f"The dashboard needs {error.name}: pip install 'rustray[jupyter]', then restart the kernel."
        ) from error
    live.start()
    _shown = live
    return live
