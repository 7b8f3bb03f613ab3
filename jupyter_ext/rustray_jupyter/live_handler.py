"""The WebSocket with live data: a message is {panel: {source: columns}}, one each half second or so."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from jupyter_server.auth.decorator import authorized, ws_authenticated
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado import web
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from rustray_jupyter import summary
from rustray_jupyter.clusters import Clusters
from rustray_jupyter.dashboards import chosen, no_panels, panel_names
from rustray_jupyter.handlers import RESOURCE
from rustray_jupyter.json_values import json_value
from rustray_jupyter.live import Live

GONE = 4404
"""The code that a socket is closed with when the cluster has ended."""
MAX_REASON = 120
"""Bytes of a reason that a closing frame has room for."""


class LiveHandler(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """One page that looks at panels of a cluster: the argument `panels`, names with commas between them.

    The order of the bases matters: the first one refuses other Origins than the server's own, the last one Hosts.
    """

    auth_resource = RESOURCE

    def initialize(self, clusters: Clusters, live: Live) -> None:
        self.clusters = clusters
        self.live = live
        self.panels: list[str] = []
        self._name = ""
        self._sending: asyncio.Task[None] | None = None

    def set_default_headers(self) -> None:
        """None: those of JupyterHandler are for pages."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """As JSON, like all below /rustray/api."""
        APIHandler.write_error(self, status_code, **kwargs)  # type: ignore[arg-type]

    def get_compression_options(self) -> dict[str, Any]:
        return {}  # messages are columns that differ little: compressed they are a tenth

    @ws_authenticated
    @authorized
    async def get(self, name: str) -> None:
        if await self.clusters.started(name) is None:
            raise web.HTTPError(404, f"No cluster named {name!r} runs here.")
        known = [*panel_names(), summary.NAME]
        wanted = self.get_argument("panels", "")
        panels = chosen(wanted, known)
        if not panels:
            raise web.HTTPError(400, no_panels(wanted, known))
        if self.request.headers.get("Upgrade", "").lower() != "websocket":
            raise web.HTTPError(400, "This is a WebSocket: the header Upgrade is missing.")
        self._name, self.panels = name, panels
        await super().get(name)

    def open(self, name: str) -> None:
        super().open(name)
        self.live.add(name, self)

    def on_message(self, message: str | bytes) -> None:
        """Pages have nothing to say."""

    def on_close(self) -> None:
        self.live.remove(self._name, self)

    @property
    def ready(self) -> bool:
        return self._sending is None or self._sending.done()

    def show(self, message: dict[str, Any]) -> None:
        self._sending = asyncio.create_task(self._send(json.dumps(json_value(message))))

    async def _send(self, text: str) -> None:
        try:
            await self.write_message(text)
        except WebSocketClosedError:
            pass  # on_close tells who has to know

    def end(self, why: str) -> None:
        self.close(GONE, why.encode()[:MAX_REASON].decode(errors="ignore"))
