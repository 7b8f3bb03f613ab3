"""Who may do what: every route asks for a login, changes ask for more, and nothing changes by looking."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler, websocket_connect

from rustray import clusters
from rustray.clusters import Cluster
from rustray_jupyter.handlers import NoRouteHandler

from .conftest import NAME, Fetch

pytestmark = pytest.mark.usefixtures("cluster")
FOR_GROUP = {"name": NAME, "what": "nodes", "path": "resources"}
"""What the parts of our routes' patterns may stand for."""
ANY_PATH = "(?P<path>/.*|)"


def routes(app: Any, base_url: str) -> Iterator[tuple[str, type[RequestHandler]]]:
    """A path of each route of the extension, without the base URL, and its handler: from the application itself."""

    def walk(rules: Any) -> Iterator[Any]:
        for rule in rules:
            if hasattr(rule.target, "rules"):
                yield from walk(rule.target.rules)
            else:
                yield rule

    for rule in walk(app.default_router.rules):
        if (regex := getattr(rule.matcher, "regex", None)) is None or "rustray" not in regex.pattern:
            continue
        path = regex.pattern.removeprefix(base_url).rstrip("$").replace(ANY_PATH, "/bogus")
        if path.startswith("rustray/static"):
            yield path.replace("(?P<name>[^/]+)", "bokeh.min.js"), rule.target
            continue
        for group, text in FOR_GROUP.items():
            path = re.sub(rf"\(\?P<{group}>[^)]*\)", text, path)
        assert re.fullmatch(r"[\w/]+", path), f"say in FOR_GROUP what stands for the groups of {path}"
        yield path, rule.target


def methods(handler: type[RequestHandler]) -> list[str]:
    return [
        method
        for method in handler.SUPPORTED_METHODS
        if method != "OPTIONS"
        and getattr(handler, method.lower()) is not RequestHandler._unimplemented_method
    ]


@pytest.fixture
def all_routes(jp_web_app: Any, jp_base_url: str) -> list[tuple[str, type[RequestHandler]]]:
    found = list(routes(jp_web_app, jp_base_url))
    assert len(found) >= 10
    return found


def state(cluster: Cluster) -> object:
    return [one.name for one in clusters.list()], cluster.processes


async def test_no_route_is_reached_without_a_login(
    all_routes: list[tuple[str, type[RequestHandler]]], bare_fetch: Fetch, cluster: Cluster
) -> None:
    before = state(cluster)
    for path, handler in all_routes:
        for method in methods(handler):
            for headers in ({}, {"Authorization": "token wrong"}, {"Cookie": "_xsrf=a", "X-XSRFToken": "a"}):
                response = await bare_fetch(path, method=method, headers=headers)
                to_login = response.code == 302 and "/login?" in response.headers["Location"]
                assert response.code == 403 or to_login, (method, path, headers, response.code)
                assert NAME not in response.body.decode(), (method, path)
    assert state(cluster) == before


async def test_a_preflight_tells_nothing(
    all_routes: list[tuple[str, type[RequestHandler]]], bare_fetch: Fetch
) -> None:
    for path, _handler in all_routes:
        response = await bare_fetch(path, method="OPTIONS")
        assert NAME not in response.body.decode(), path


async def test_a_server_that_warns_of_open_routes_has_nothing_to_warn_of(
    all_routes: list[tuple[str, type[RequestHandler]]], jp_web_app: Any
) -> None:
    for path, handler in all_routes:
        assert not jp_web_app._check_handler_auth(path, handler), path


async def test_looking_changes_nothing(
    all_routes: list[tuple[str, type[RequestHandler]]], jp_fetch: Fetch, cluster: Cluster
) -> None:
    before = state(cluster)
    for path, handler in all_routes:
        if not issubclass(handler, WebSocketHandler):
            for method in ("GET", "HEAD"):
                try:
                    await jp_fetch(path, method=method)
                except HTTPClientError as error:
                    if handler is NoRouteHandler:
                        assert error.code == 404
                        continue
                    assert error.code == 405, (method, path, error)
                    assert getattr(handler, method.lower()) is RequestHandler._unimplemented_method
    assert state(cluster) == before


# -- as a browser ----------------------------------------------------------------------------------------


def changes(all_routes: list[tuple[str, type[RequestHandler]]]) -> list[tuple[str, str]]:
    """(method, path) of all that is not looking."""
    found = [(m, path) for path, handler in all_routes for m in methods(handler) if m not in ("GET", "HEAD")]
    assert len(found) >= 3
    return found


async def test_a_change_needs_the_token_against_forgery(
    all_routes: list[tuple[str, type[RequestHandler]]], browser_fetch: Fetch, cluster: Cluster
) -> None:
    before = state(cluster)
    for method, path in changes(all_routes):
        response = await browser_fetch(path, method=method, body='{"nodes": 0}', xsrf=False)
        assert response.code == 403, (method, path)
        assert "_xsrf" in json.loads(response.body)["message"]
    assert state(cluster) == before


async def test_a_change_from_another_site_is_refused(
    all_routes: list[tuple[str, type[RequestHandler]]], browser_fetch: Fetch, cluster: Cluster
) -> None:
    before = state(cluster)
    for method, path in changes(all_routes):
        headers = {"Origin": "https://evil.example"}
        response = await browser_fetch(path, method=method, body='{"nodes": 0}', headers=headers)
        assert response.code in (403, 404), (method, path)
    assert state(cluster) == before


async def test_a_browser_that_is_logged_in_may(browser_fetch: Fetch) -> None:
    assert (await browser_fetch("rustray/api/clusters")).code == 200
    refused = await browser_fetch(f"rustray/api/clusters/{NAME}/scale", method="POST", body="{}")
    assert refused.code == 400  # for what it says, and not for who says it
    assert (await browser_fetch("rustray/dashboard/resources")).code == 200


async def test_another_host_name_is_refused(
    all_routes: list[tuple[str, type[RequestHandler]]], browser_fetch: Fetch
) -> None:
    # A page of evil.example whose name was made to mean this machine (DNS rebinding).
    for path, _handler in all_routes:
        response = await browser_fetch(path, headers={"Host": "evil.example"})
        assert response.code == 403, path


# -- the WebSocket ---------------------------------------------------------------------------------------


@pytest.fixture
def connect(jp_http_port: int, jp_base_url: str, cookies: dict[str, str]) -> Any:
    """Opens the WebSocket as a browser's page of some origin does."""

    async def connect(origin: str, logged_in: bool = True) -> Any:
        headers = {"Origin": origin}
        if logged_in:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        path = f"{jp_base_url}rustray/api/clusters/{NAME}/live?panels=resources"
        return await websocket_connect(HTTPRequest(f"ws://127.0.0.1:{jp_http_port}{path}", headers=headers))

    return connect


async def test_a_page_of_the_server_may_listen(connect: Any, jp_http_port: int) -> None:
    socket = await connect(f"http://127.0.0.1:{jp_http_port}")
    assert json.loads(await socket.read_message())["resources"]
    socket.close()


async def test_a_page_of_another_origin_may_not(connect: Any) -> None:
    with pytest.raises(HTTPClientError) as error:
        await connect("https://evil.example")
    assert error.value.code == 403


async def test_nobody_listens_without_a_login(connect: Any, jp_http_port: int) -> None:
    with pytest.raises(HTTPClientError) as error:
        await connect(f"http://127.0.0.1:{jp_http_port}", logged_in=False)
    assert error.value.code == 403


# -- Jupyter's authorizer --------------------------------------------------------------------------------


async def test_the_authorizer_decides(
    all_routes: list[tuple[str, type[RequestHandler]]], jp_fetch: Fetch, jp_serverapp: Any, cluster: Cluster
) -> None:
    asked: list[tuple[str, str]] = []

    def refuse(_handler: Any, _user: Any, action: str, resource: str) -> bool:
        asked.append((action, resource))
        return False

    jp_serverapp.web_app.settings["authorizer"].is_authorized = refuse
    before = state(cluster)
    expected = []
    for path, handler in all_routes:
        for method in methods(handler):
            if method == "HEAD":
                continue
            with pytest.raises(HTTPClientError) as error:
                await jp_fetch(path, method=method, allow_nonstandard_methods=True)
            assert error.value.code == 403, (method, path)
            expected.append(("read" if method == "GET" else "write", "rustray"))
    assert asked == expected
    assert state(cluster) == before
