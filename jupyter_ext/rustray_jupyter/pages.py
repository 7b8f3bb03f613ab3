"""The dashboards as pages of the server, and the scripts that they need: nothing is fetched from elsewhere."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado import web

import rustray.dashboard
from rustray.clusters.registry import usual
from rustray_jupyter.dashboards import chosen, items, no_panels, panel_names
from rustray_jupyter.handlers import RESOURCE

HERE = Path(__file__).parent
DRAWING = Path(rustray.dashboard.__file__).with_name("feed.js")
"""The script that draws panels, here and in notebooks."""
THEMES = ("light", "dark")
YEAR_S = 365 * 24 * 3600
HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?")
"""What a policy can name: no IPv6 address."""


def script_files() -> dict[str, Path]:
    """What is served below /rustray/static, by name."""
    import bokeh.resources

    return {path.name: path for path in map(Path, bokeh.resources.Resources(mode="absolute").js_files)}


class PageHandler(JupyterHandler):
    """Panels of a cluster: the one in the path, "a,b" for several, all where there is none.

    Arguments: `cluster`, else that of $RUSTRAY_ADDRESS or the newest, also of those that will be started; `theme`,
    "light" or "dark", else what the browser prefers.
    """

    auth_resource = RESOURCE

    @web.authenticated
    @authorized
    async def get(self, path: str = "") -> None:
        panels = chosen(path, panel_names()) if path else panel_names()
        if not panels:
            there = f"No such panel. There are: {', '.join(panel_names())}"
            raise web.HTTPError(404, no_panels(path, panel_names()), reason=there)  # of a 404 pages show this only
        theme = self.get_argument("theme", "")
        cluster = self.get_argument("cluster", "")
        drawn = await asyncio.to_thread(items, panels)
        nonce = secrets.token_urlsafe(16)
        self.set_header("Cache-Control", "no-store")
        self.finish(self._page(panels, cluster, theme if theme in THEMES else "light dark", drawn, nonce))

    def _page(
        self, panels: list[str], cluster: str, theme: str, drawn: list[dict[str, Any]], nonce: str
    ) -> str:
        from bokeh import __version__ as bokeh_version

        root = url_path_join(self.base_url, "rustray")
        facts = {
            "root": root,
            "xsrf": self.xsrf_token.decode(),
            "cluster": cluster,
            "usual": usual(),
            "panels": panels,
            "items": drawn,
        }
        title = f"{cluster or 'RustRay'} · {', '.join(panels)}"
        return Template((HERE / "page.html").read_text()).substitute(
            title=escape(title),
            theme=theme,
            policy=policy(nonce, self.request.host),
            nonce=nonce,
            bokeh=escape(f"{root}/static/bokeh.min.js?v={bokeh_version}"),
            facts=json.dumps(facts).replace("<", "\\u003c"),
            script="".join(path.read_text() for path in (DRAWING, HERE / "page.js")),
        )


def policy(nonce: str, host: str) -> str:
    """What a page may load and connect to: scripts of ours, the server that it came from, nothing else.

    It is in the page and not in a header, because tabs of Lab put the page into a frame as text; there `'self'` means
    Lab's origin, which is the same. Bokeh styles its figures inline.

    Parameters
    ----------
    host: as the browser has asked for it. `'self'` means WebSockets too (CSP 3), but not in older browsers, for which
        the host stands beside it. Behind a proxy that puts a name of its own here that is of no use and does no harm;
        what X-Forwarded-Host says is not looked at, for anyone can send it.
    """
    sockets = f" ws://{host} wss://{host}" if HOST.fullmatch(host) else ""
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; img-src 'self' data: blob:; "
        f"connect-src 'self'{sockets}; base-uri 'none'; form-action 'none'"
    )


class ScriptHandler(JupyterHandler):
    """One of `script_files()`. With the argument `v` browsers keep it."""

    auth_resource = RESOURCE

    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        file = (await asyncio.to_thread(script_files)).get(name)
        if file is None:
            raise web.HTTPError(404)
        self.set_header("Content-Type", "text/javascript; charset=utf-8")
        self.set_header(
            "Cache-Control", f"private, max-age={YEAR_S}" if self.get_argument("v", "") else "no-cache"
        )
        self.finish(await asyncio.to_thread(file.read_bytes))
