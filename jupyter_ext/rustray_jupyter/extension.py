"""The extension: its settings, its routes, and what it does now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime

from jupyter_server.extension.application import ExtensionApp
from tornado.ioloop import PeriodicCallback
from traitlets import Float

from rustray.errors import RustRayError
from rustray_jupyter import dashboards
from rustray_jupyter.activity import last_work
from rustray_jupyter.clusters import QUESTIONS, Clusters, connect
from rustray_jupyter.contacts import Contacts
from rustray_jupyter.handlers import (
    ClusterHandler,
    ClustersHandler,
    LogsHandler,
    MetricsHandler,
    NoRouteHandler,
    QuestionHandler,
    ScaleHandler,
)
from rustray_jupyter.live import Columns, Fetch, Live
from rustray_jupyter.live_handler import LiveHandler
from rustray_jupyter.pages import PageHandler, ScriptHandler

NAME = r"(?P<name>[^/]+)"


class RustRayExtension(ExtensionApp):
    """RustRay's part of a Jupyter server."""

    name = "rustray_jupyter"
    extension_url = "/rustray/dashboard"
    load_other_extensions = True

    update_interval = Float(0.5, min=0.05, help="Seconds between two messages of live data.").tag(config=True)
    activity_interval = Float(
        30.0,
        min=0.0,
        help="Seconds between two looks whether tasks run, which keeps the server from being culled as idle; "
        "0 never looks.",
    ).tag(config=True)
    query_timeout = Float(
        10.0, min=0.1, help="Seconds that a request waits for a cluster's answer."
    ).tag(config=True)
    idle_timeout = Float(
        20.0, min=1.0, help="Seconds after which a connection to a cluster that nobody asks is closed."
    ).tag(config=True)

    def initialize_settings(self) -> None:
        self.contacts = Contacts(connect, self.query_timeout, self.idle_timeout)
        self.clusters = Clusters(self.contacts)
        self.live = Live(self._source, self.clusters.started, self.update_interval, self.log)
        self._repeated: list[PeriodicCallback] = []
        self._repeat(self.contacts.close_idle, self.idle_timeout / 4)
        if self.activity_interval:
            self._repeat(self.note_activity, self.activity_interval)

    def initialize_handlers(self) -> None:
        clusters = {"clusters": self.clusters}
        api = r"/rustray/api/clusters"
        self.handlers.extend(
            [
                (api, ClustersHandler, clusters),
                (rf"{api}/{NAME}", ClusterHandler, clusters),
                (rf"{api}/{NAME}/scale", ScaleHandler, clusters),
                (rf"{api}/{NAME}/logs", LogsHandler, clusters),
                (rf"{api}/{NAME}/live", LiveHandler, {**clusters, "live": self.live}),
                (rf"{api}/{NAME}/(?P<what>{'|'.join(QUESTIONS)})", QuestionHandler, clusters),
                (r"/rustray/api(?P<path>/.*|)", NoRouteHandler, clusters),
                (r"/rustray/metrics", MetricsHandler, clusters),
                (r"/rustray/dashboard", PageHandler),
                (r"/rustray/dashboard/(?P<path>[^/]+)", PageHandler),
                (r"/rustray/static/(?P<name>[^/]+)", ScriptHandler),
            ]
        )

    async def stop_extension(self) -> None:
        """The server ends; the clusters go on."""
        for callback in self._repeated:
            callback.stop()
        await self.live.close()
        await self.contacts.close()
        self.clusters.close()

    async def note_activity(self) -> None:
        """Tell the server when a task ran last in one of the clusters, if one did since it was looked last.

        All are asked at once, by the connections that are open or by new ones, and one that does not answer is given
        up after `query_timeout`. Where there is no node here nothing runs here, and asking would take a gateway.
        """
        rows = [row for row in await self.clusters.all() if row["nodes"]]
        found = await asyncio.gather(*(self._last_work(row["name"]) for row in rows))
        worked = max((time for time in found if time is not None), default=None)
        if worked is not None:
            now = datetime.now(UTC)
            at = min(datetime.fromtimestamp(worked, UTC), now)  # the head's clock may be ahead
            times = self.settings["last_activity_times"]
            times["rustray"] = max(times.get("rustray", at), at)

    async def _last_work(self, cluster: str) -> float | None:
        since = datetime.now(UTC).timestamp() - 2 * self.activity_interval
        try:
            return last_work(await self.contacts.query(cluster, "metrics", since))
        except RustRayError as error:
            self.log.info("Whether the cluster %r works is not known: %s", cluster, error)
            return None

    def _repeat(self, call: Callable[[], Awaitable[None]], every: float) -> None:
        callback = PeriodicCallback(call, every * 1000)
        callback.start()
        self._repeated.append(callback)

    def _source(self, cluster: str) -> Fetch:
        feed = dashboards.Feed()

        async def fetch(panels: Collection[str]) -> dict[str, Columns]:
            return await self.contacts.call(cluster, lambda contact: feed.take(contact.query, panels))

        return fetch
