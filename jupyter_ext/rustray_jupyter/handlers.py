"""The REST routes. All answers are JSON, errors as {"message", "reason"}; see `clusters` for what they say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from rustray.clusters.registry import NameTakenError
from rustray.errors import ClusterStartError, OptionError, RustRayError, SessionError
from rustray.metrics import prometheus
from rustray_jupyter import fields
from rustray_jupyter.clusters import LOG_LINES, Clusters, NoSuchClusterError
from rustray_jupyter.fields import Field

Number = TypeVar("Number", int, float)

RESOURCE = "rustray"
"""What Jupyter's authorizer is asked about: "read" or "write" of it."""

NO_CLUSTER = "# No cluster runs here. Start one: jupyter rustray start\n"
"""In place of metrics: a scrape of it is none that has failed."""
STATUS = {
    OptionError: HTTPStatus.BAD_REQUEST,
    NoSuchClusterError: HTTPStatus.NOT_FOUND,
    NameTakenError: HTTPStatus.CONFLICT,
    ClusterStartError: HTTPStatus.SERVICE_UNAVAILABLE,
    SessionError: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""Of the errors that are not the server's own."""


class ClusterAPIHandler(APIHandler):
    """What the REST routes have in common. A page that polls is no activity, a change is."""

    auth_resource = RESOURCE

    def initialize(self, clusters: Clusters) -> None:
        self.clusters = clusters

    @property
    def _track_activity(self) -> bool:  # type: ignore[override]
        return self.request.method not in ("GET", "HEAD")

    def body(self, known: Mapping[str, Field], required: tuple[str, ...] = ()) -> dict[str, Any]:
        """The JSON object that came with the request, {} where nothing came; OptionError."""
        value = fields.json_object(self.request.body)
        fields.check(value, known, required)
        return value

    def argument(self, name: str, default: Number, field: Field) -> Number:
        """A number of the query string, of the type of `default`; OptionError."""
        text = self.get_argument(name, None)
        return default if text is None else fields.argument(name, text, type(default), field)

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None))[1]
        if isinstance(error, RustRayError):
            status_code = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
        super().send_error(status_code, **kwargs)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None))[1]
        if isinstance(error, RustRayError):
            self.finish({"message": str(error), "reason": type(error).__name__})
        else:
            super().write_error(status_code, **kwargs)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if isinstance(value, RustRayError):
            self.log.info("%s %s: %s", self.request.method, self.request.path, value)
        else:
            super().log_exception(typ, value, tb)


class ClustersHandler(ClusterAPIHandler):
    """All clusters."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        self.finish(json.dumps(await self.clusters.all()))

    @web.authenticated
    @authorized
    async def post(self) -> None:
        row = await self.clusters.start(self.body(fields.START))
        self.set_status(HTTPStatus.CREATED)
        self.finish(row)


class ClusterHandler(ClusterAPIHandler):
    """One cluster."""

    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        self.finish(await self.clusters.one(name))

    @web.authenticated
    @authorized
    async def delete(self, name: str) -> None:
        await self.clusters.stop(name)
        self.set_status(HTTPStatus.NO_CONTENT)
        self.finish()


class ScaleHandler(ClusterAPIHandler):
    """How many nodes a cluster has."""

    @web.authenticated
    @authorized
    async def post(self, name: str) -> None:
        wanted = self.body(fields.SCALE, required=("nodes",))
        self.finish(await self.clusters.scale(name, wanted["nodes"], bool(wanted.get("force"))))


class QuestionHandler(ClusterAPIHandler):
    """One of `clusters.QUESTIONS`; "metrics" takes `since`, seconds since the epoch."""

    @web.authenticated
    @authorized
    async def get(self, name: str, what: str) -> None:
        rows = await self.clusters.ask(name, what, self.argument("since", 0.0, fields.SINCE))
        self.finish(json.dumps(rows))


class LogsHandler(ClusterAPIHandler):
    """The last `lines` of the logs, of all processes or of `process`, as {"text"}."""

    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        lines = self.argument("lines", LOG_LINES, fields.LINES)
        text = await self.clusters.logs(name, self.get_argument("process", None), lines)
        self.finish({"text": text})


class MetricsHandler(ClusterAPIHandler):
    """Metrics of one cluster, `cluster` or the one that is meant, for Prometheus; NO_CLUSTER where none runs."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        text = await self.clusters.render(self.get_argument("cluster", None), prometheus.render)
        self.finish(text or NO_CLUSTER, set_content_type="text/plain; version=0.0.4; charset=utf-8")


class NoRouteHandler(ClusterAPIHandler):
    """What else is asked below /rustray/api; only who may learns that it is not there."""

    @web.authenticated
    @authorized
    async def get(self, path: str) -> None:
        raise self._absent()

    @web.authenticated
    @authorized
    async def post(self, path: str) -> None:
        raise self._absent()

    head = get
    put = patch = delete = post

    def _absent(self) -> web.HTTPError:
        return web.HTTPError(HTTPStatus.NOT_FOUND, f"There is no {self.request.path}.")
