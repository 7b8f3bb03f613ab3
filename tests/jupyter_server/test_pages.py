"""The dashboard pages and their scripts."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError

from rustray.dashboard import PANELS
from rustray_jupyter.pages import policy

from .conftest import NAME, Fetch

pytestmark = pytest.mark.usefixtures("cluster")


def facts(response: Any) -> dict[str, Any]:
    match = re.search(r'id="facts">(.*?)</script>', response.body.decode(), re.S)
    assert match is not None
    return json.loads(match[1])  # type: ignore[no-any-return]


async def test_a_page_brings_the_figures_of_its_panels(jp_fetch: Fetch, jp_base_url: str) -> None:
    page = await jp_fetch("rustray", "dashboard", "resources", params={"cluster": NAME})
    assert page.headers["Content-Type"].startswith("text/html")
    told = facts(page)
    assert (told["root"], told["cluster"], told["panels"]) == (f"{jp_base_url}rustray", NAME, ["resources"])
    (item,) = told["items"]
    assert item["name"] == "resources" and item["figure"]["doc"]["roots"]
    everything = facts(await jp_fetch("rustray", "dashboard"))
    assert everything["cluster"] == "" and everything["panels"] == list(PANELS)
    some = facts(await jp_fetch("rustray", "dashboard", "tasks,heads"))
    assert some["panels"] == ["tasks", "heads"]


async def test_a_page_for_any_cluster_knows_the_usual_one(
    jp_fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, usual in (("work", "work"), ("host:1", ""), ("", "")):
        monkeypatch.setenv("RUSTRAY_ADDRESS", variable)
        assert facts(await jp_fetch("rustray", "dashboard", "heads"))["usual"] == usual


async def test_a_page_has_its_icon_with_it(jp_fetch: Fetch) -> None:
    """Else browsers ask for /favicon.ico, which is not below base_url."""
    page = await jp_fetch("rustray", "dashboard", "resources")
    assert b'<link rel="icon" href="data:image/svg+xml,%3Csvg' in page.body


async def test_nothing_is_fetched_from_elsewhere(jp_fetch: Fetch, jp_base_url: str) -> None:
    page = await jp_fetch("rustray", "dashboard")
    sources = re.findall(r'(?:src|href)="(?!data:)([^"]*)"', page.body.decode())
    assert sources and all(source.startswith(f"{jp_base_url}rustray/static/") for source in sources)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page.body.decode())
    assert "default-src 'none'" in policy and "unsafe-eval" not in policy
    assert "frame-ancestors 'self'" in page.headers["Content-Security-Policy"]
    for source in sources:
        script = await jp_fetch(*source.removeprefix(jp_base_url).partition("?")[0].split("/"))
        assert script.headers["Content-Type"].startswith("text/javascript") and len(script.body) > 1000


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("hub.example", "'self' ws://hub.example wss://hub.example"),
        ("127.0.0.1:8888", "'self' ws://127.0.0.1:8888 wss://127.0.0.1:8888"),
        ("[::1]:8888", "'self'"),
        ("*", "'self'"),
        ("a; script-src *", "'self'"),
        ('a"><script>', "'self'"),
        ("", "'self'"),
    ],
)
def test_a_page_connects_to_its_own_host_only(host: str, allowed: str) -> None:
    (connect,) = [part.strip() for part in policy("n", host).split(";") if "connect-src" in part]
    assert connect == f"connect-src {allowed}"


async def test_a_server_that_lets_no_page_be_framed_is_obeyed(jp_fetch: Fetch, jp_web_app: Any) -> None:
    jp_web_app.settings.setdefault("headers", {})["Content-Security-Policy"] = "frame-ancestors 'none'"
    page = await jp_fetch("rustray", "dashboard")
    assert page.headers["Content-Security-Policy"] == "frame-ancestors 'none'"


async def test_what_comes_from_the_address_is_no_script(jp_fetch: Fetch) -> None:
    name = '</script><script>alert("1")</script>'
    page = await jp_fetch("rustray", "dashboard", params={"cluster": name, "theme": name})
    assert name not in page.body.decode()
    assert facts(page)["cluster"] == name


@pytest.mark.parametrize(("theme", "scheme"), [("dark", "dark"), ("light", "light"), ("", "light dark")])
async def test_the_page_is_light_or_dark(jp_fetch: Fetch, theme: str, scheme: str) -> None:
    page = await jp_fetch("rustray", "dashboard", params={"theme": theme})
    assert f"color-scheme: {scheme};" in page.body.decode()


@pytest.mark.parametrize(
    "path",
    [
        "dashboard/colours",
        "dashboard/summary",
        "dashboard/resources,colours",
        "static/setup.py",
        "static/..%2Fx",
    ],
)
async def test_what_is_not_there_is_not_found(jp_fetch: Fetch, path: str) -> None:
    with pytest.raises(HTTPClientError) as error:
        await jp_fetch("rustray", path)
    assert error.value.code == 404


async def test_who_names_an_unknown_panel_is_told_which_there_are(jp_fetch: Fetch) -> None:
    with pytest.raises(HTTPClientError) as error:
        await jp_fetch("rustray", "dashboard", "<script>alert(1)")
    page = error.value.response.body.decode()
    assert ", ".join(PANELS) in page and "<script>alert" not in page


async def test_scripts_are_kept_by_the_browser_only_under_a_version(jp_fetch: Fetch) -> None:
    plain = await jp_fetch("rustray", "static", "bokeh.min.js")
    of_version = await jp_fetch("rustray", "static", "bokeh.min.js", params={"v": "1"})
    assert plain.headers["Cache-Control"] == "no-cache"
    assert of_version.headers["Cache-Control"].startswith("private, max-age=")
