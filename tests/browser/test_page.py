"""A page of the dashboard by its own address."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, WebSocket, WebSocketRoute, expect

from rustray import clusters
from rustray.clusters import Cluster

from .lab import Lab
from .sidebar import seen

HIDE = """hidden => {
  Object.defineProperty(document, "visibilityState", { configurable: true, get: () => hidden ? "hidden" : "visible" });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Iterator[Cluster]:
    cluster = clusters.start("paged", num_cpus=1)
    yield cluster
    cluster.stop()


def test_a_page_that_is_hidden_while_it_asks_which_cluster_opens_no_socket(
    lab: Lab, page: Page, cluster: Cluster
) -> None:
    held: list[Route] = []
    opened: list[WebSocket] = []
    page.on("websocket", lambda socket: opened.append(socket))
    page.route("**/rustray/api/clusters", lambda route: held.append(route))
    page.goto(f"{lab.url}rustray/dashboard/resources?cluster=paged&token={lab.token}")
    seen(page, lambda: held)
    page.evaluate(HIDE, True)
    with page.expect_response("**/rustray/api/clusters") as answered:
        held.pop().continue_()
    answered.value.finished()
    page.evaluate("() => new Promise(done => setTimeout(done))")  # what follows the answer has been done
    assert opened == []

    page.unroute("**/rustray/api/clusters")
    with page.expect_websocket() as socket:
        page.evaluate(HIDE, False)
    expect(page.locator("[data-rustray-state]")).to_have_attribute("data-rustray-state", "live")
    with socket.value.expect_event("close"):
        page.evaluate(HIDE, True)


def test_the_page_may_connect_to_its_own_server_only(lab: Lab, page: Page, cluster: Cluster) -> None:
    page.goto(f"{lab.url}rustray/dashboard/resources?cluster=paged&token={lab.token}")
    expect(page.locator("[data-rustray-state]")).to_have_attribute("data-rustray-state", "live")
    refused = page.evaluate(
        """() => new Promise(done => {
          document.addEventListener("securitypolicyviolation", ({ blockedURI, effectiveDirective }) =>
            done([blockedURI, effectiveDirective]));
          new WebSocket("ws://127.0.0.1:9/elsewhere");
        })"""
    )
    assert refused == ["ws://127.0.0.1:9/elsewhere", "connect-src"]


def test_a_page_for_any_cluster_shows_the_usual_one_while_that_runs(
    lab: Lab, page: Page, cluster: Cluster
) -> None:
    running = ["paged", "newer"]

    def rows(route: Route) -> None:
        (row,) = route.fetch().json()
        route.fulfill(json=[{**row, "name": name} for name in running])

    def of_usual(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text().replace('"usual": ""', '"usual": "paged"'))

    page.route("**/rustray/api/clusters", rows)
    page.route("**/rustray/dashboard/*", of_usual)
    with page.expect_websocket() as socket:
        page.goto(f"{lab.url}rustray/dashboard/resources?token={lab.token}")
    assert "/clusters/paged/live" in socket.value.url
    running.remove("paged")
    with page.expect_websocket() as socket:
        page.goto(f"{lab.url}rustray/dashboard/resources?token={lab.token}")
    assert "/clusters/newer/live" in socket.value.url


def test_a_page_says_that_its_picture_stands_still(lab: Lab, page: Page, cluster: Cluster) -> None:
    """As while no head leads: the connection is there, and nothing comes."""
    silent = False

    def pass_on(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        server.on_message(lambda message: None if silent else socket.send(message))

    page.route_web_socket("**/live?*", pass_on)
    page.goto(f"{lab.url}rustray/dashboard/resources?cluster=paged&token={lab.token}")
    panels = page.locator("[data-rustray-state]")
    expect(panels).to_have_attribute("data-rustray-state", "live")
    silent = True
    expect(panels).to_have_attribute("data-rustray-state", "reconnecting")
    expect(panels).to_contain_text("Nothing new comes from the cluster paged")
    silent = False
    expect(panels).to_have_attribute("data-rustray-state", "live")
