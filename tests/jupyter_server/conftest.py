"""A Jupyter server with the extension, and a cluster that it shows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from pytest_jupyter.jupyter_server import *  # noqa: F403  (its fixtures, here only: some are used by every test)
from tornado.httpclient import HTTPResponse

import rustray
from rustray import clusters
from rustray.clusters import Cluster

NAME = "shown"

Fetch = Callable[..., Awaitable[HTTPResponse]]


@pytest.fixture(scope="package")
def runtime_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Jupyter's folder for connection files, and RustRay's for sessions, apart from this user's own."""
    folder = tmp_path_factory.mktemp("runtime")
    folder.chmod(0o700)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_RUNTIME_DIR", str(folder))
        patch.setenv("RUSTRAY_RUNTIME_DIR", str(folder))
        yield folder


@pytest.fixture(scope="package")
def cluster(runtime_folder: Path) -> Iterator[Cluster]:
    """A small one, for tests that leave it as it was."""
    cluster = clusters.start(NAME, num_cpus=1)
    yield cluster
    cluster.stop()


@pytest.fixture
def session(cluster: Cluster) -> Iterator[None]:
    """This process is a driver of the cluster."""
    with rustray.init(NAME, log_to_driver=False):
        yield


@pytest.fixture
def jp_runtime_dir(runtime_folder: Path) -> Path:
    return runtime_folder


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    return {"ServerApp": {"jpserver_extensions": {"rustray_jupyter": True}}}


@pytest.fixture
def bare_fetch(http_server_client: Any, jp_base_url: str) -> Fetch:
    """As `jp_fetch`, without a token; redirects are not followed, and errors are responses."""

    def fetch(path: str, **options: Any) -> Awaitable[HTTPResponse]:
        return http_server_client.fetch(
            jp_base_url + path.lstrip("/"),
            follow_redirects=False,
            raise_error=False,
            allow_nonstandard_methods=True,
            **options,
        )

    return fetch


@pytest.fixture
def cookies(jp_serverapp: Any, bare_fetch: Fetch, jp_asyncio_loop: Any) -> dict[str, str]:
    """What a browser has after a login: the cookie of the user, and that against forged requests."""

    async def log_in() -> dict[str, str]:
        found: dict[str, str] = {}
        for path in (f"login?token={jp_serverapp.identity_provider.token}", "login"):
            page = await bare_fetch(path)
            for line in page.headers.get_list("Set-Cookie"):
                found.update({name: morsel.value for name, morsel in SimpleCookie(line).items()})
        return found

    return jp_asyncio_loop.run_until_complete(log_in())  # type: ignore[no-any-return]


@pytest.fixture
def browser_fetch(bare_fetch: Fetch, cookies: dict[str, str]) -> Fetch:
    """As `bare_fetch`, logged in as a browser is. `xsrf=False` leaves out the header that scripts of pages send."""

    def fetch(
        path: str, *, xsrf: bool = True, headers: dict[str, str] | None = None, **options: Any
    ) -> Awaitable[HTTPResponse]:
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()), **(headers or {})}
        if xsrf:
            sent["X-XSRFToken"] = cookies["_xsrf"]
        return bare_fetch(path, headers=sent, **options)

    return fetch
