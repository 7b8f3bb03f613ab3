"""The sidebar itself: what it asks for and when, what it says when something fails, and that it needs no mouse."""

from __future__ import annotations

import re
from collections.abc import Iterator

import nbformat
import pytest
from playwright.sync_api import FloatRect, Locator, Page, Route, WebSocket, expect

from rustray import clusters
from rustray.clusters import Cluster

from .lab import Lab
from .notebook import cell_with, output_of, run_cell, write_notebook
from .sidebar import card, open_sidebar, seen

REQUESTS = "**/rustray/api/**"
TOP = "node => node.getBoundingClientRect().top"
MOVE_BELOW = """() => {
  const { shell } = jupyterapp;
  const [moved, other] = ["resources", "tasks"].map(panel =>
    [...shell.widgets("main")].find(widget => widget.id === `rustray-dashboard-shown-${panel}`));
  shell.add(moved, "main", { mode: "split-bottom", ref: other.id });
}"""
BUTTON_NAME = re.compile(r' "\w.*"')


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Iterator[Cluster]:
    cluster = clusters.start("shown", num_cpus=1)
    yield cluster
    cluster.stop()


def test_numbers_come_only_while_the_sidebar_is_seen(lab: Lab, page: Page, cluster: Cluster) -> None:
    opened: list[WebSocket] = []
    page.on("websocket", lambda socket: opened.extend([socket] * ("/rustray/" in socket.url)))
    page.goto(lab.page("seen"))
    tab = page.get_by_role("tab", name="RustRay clusters")
    tab.wait_for()
    assert opened == []

    sidebar = open_sidebar(page)
    expect(card(sidebar, "shown").locator(".rr-mod-cpu polyline")).to_have_count(1)
    assert [socket.is_closed() for socket in opened] == [False]
    before = path(card(sidebar, "shown"))
    seen(page, lambda: path(card(sidebar, "shown")) != before)

    tab.click()
    expect(sidebar).to_be_hidden()
    seen(page, lambda: opened[0].is_closed())


def path(shown: Locator) -> str | None:
    return shown.locator(".rr-mod-cpu polyline").get_attribute("points")


def test_a_server_that_is_away_is_told_until_it_is_back(lab: Lab, page: Page, cluster: Cluster) -> None:
    page.goto(lab.page("away"))
    sidebar = open_sidebar(page)
    card(sidebar, "shown").wait_for()
    page.route(REQUESTS, lambda route: route.abort())
    sidebar.get_by_role("button", name="Look again").click()
    expect(sidebar.get_by_role("alert")).to_contain_text("does not answer")
    expect(card(sidebar, "shown")).to_be_visible()
    page.unroute(REQUESTS)
    expect(sidebar.get_by_role("alert")).to_have_count(0)


def test_what_the_server_refuses_is_told(lab: Lab, page: Page, cluster: Cluster) -> None:
    page.goto(lab.page("refused"))
    sidebar = open_sidebar(page)
    sidebar.get_by_role("button", name="Start a cluster").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Name")).to_have_value("default")
    dialog.get_by_label("Name").fill("Not A Name")
    expect(dialog.get_by_role("button", name="Start")).to_be_disabled()
    dialog.get_by_label("Name").fill("shown")
    dialog.get_by_role("button", name="Start").click()
    alert = sidebar.get_by_role("alert")
    expect(alert).to_contain_text("runs already")
    alert.get_by_role("button", name="Dismiss").click()
    expect(alert).to_have_count(0)


def test_a_card_tells_what_its_cluster_lacks_and_stays_where_it_is(
    lab: Lab, page: Page, cluster: Cluster
) -> None:
    state = {"state": "running", "remark": ""}

    def answer(route: Route) -> None:
        (row,) = route.fetch().json()
        newer = {**row, "name": "another", "started": row["started"] + 1, "state": "starting"}
        route.fulfill(json=[{**row, **state}, newer] if state["remark"] else [row])

    page.route("**/rustray/api/clusters?*", answer)
    page.goto(lab.page("lacks"))
    sidebar = open_sidebar(page)
    shown = card(sidebar, "shown")
    told = shown.locator("[aria-live=polite]")  # it is there before it has something to say
    expect(told).to_have_text(["running", ""])
    top = shown.evaluate(TOP)

    for changed in ("running", "broken"):
        state.update(state=changed, remark="1 of 3 heads is down")
        sidebar.get_by_role("button", name="Look again").click()
        expect(told).to_have_text([changed, "1 of 3 heads is down"])
    expect(sidebar.get_by_role("heading", level=3)).to_have_text(["shown", "another"])
    expect(card(sidebar, "another").locator("[aria-live=polite]").first).to_have_text("starting …")
    assert shown.evaluate(TOP) == top
    expect(shown.get_by_role("button", name="Stop")).to_be_enabled()


def test_a_cluster_that_has_ended_by_itself_is_told(lab: Lab, page: Page, cluster: Cluster) -> None:
    others = [{"name": "ended", "heads": 1}, {"name": "of-a-notebook", "heads": 0}]

    def answer(route: Route) -> None:
        (row,) = route.fetch().json()
        route.fulfill(json=[row, *({**row, **other} for other in others)])

    page.route("**/rustray/api/clusters?*", answer)
    page.goto(lab.page("ended"))
    sidebar = open_sidebar(page)
    card(sidebar, "of-a-notebook").wait_for()
    others.clear()
    sidebar.get_by_role("button", name="Look again").click()
    expect(sidebar.get_by_role("alert").locator("span")).to_have_text("The cluster ended has ended.")
    expect(sidebar.get_by_role("heading", level=3)).to_have_text(["shown"])


def test_connecting_without_a_notebook_says_what_is_missing(lab: Lab, page: Page, cluster: Cluster) -> None:
    write_notebook(lab.notebooks / "none.ipynb")
    page.goto(lab.page("none"))
    sidebar = open_sidebar(page)
    connect = card(sidebar, "shown").get_by_role("button", name="Connect notebook")
    connect.click()
    expect(sidebar.get_by_role("alert")).to_contain_text("No notebook is open")
    page.evaluate("void jupyterapp.commands.execute('docmanager:open', {path: 'none.ipynb'})")
    expect(page.locator(".jp-Notebook")).to_be_visible()
    connect.click()
    expect(sidebar.get_by_role("alert")).to_have_count(0)
    expect(cell_with(page, "%rustray init")).to_be_visible()


def test_keys_are_enough(lab: Lab, page: Page, cluster: Cluster) -> None:
    page.goto(lab.page("keys"))
    sidebar = open_sidebar(page)
    shown = card(sidebar, "shown")
    expect(shown.get_by_role("button", name="One node more")).to_be_visible()
    buttons = re.findall(r"- button\b(.*)", sidebar.aria_snapshot())
    assert len(buttons) == 14 and all(BUTTON_NAME.match(told) for told in buttons), buttons
    page.get_by_role("tab", name="Launcher").wait_for()
    expect(page.locator(".jp-Launcher :focus, .jp-Launcher:focus")).to_have_count(1)  # it takes it once
    sidebar.get_by_role("button", name="Start a cluster").focus()
    reached = []
    for _ in range(5):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent"))
        assert page.evaluate("getComputedStyle(document.activeElement).outline").endswith("solid 2px")
    # The one node that there is cannot be taken away, so its button is none to come to.
    assert [text for text in reached if text] == ["+", "Connect notebook", "Stop", "Resources"]

    page.keyboard.press("Enter")
    expect(page.get_by_role("tab", name="Resources · shown")).to_be_visible()
    shown.get_by_role("button", name="Stop").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("Stop the cluster shown?")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert cluster.state == "running"


def test_tabs_follow_the_theme_and_come_back(lab: Lab, page: Page, cluster: Cluster) -> None:
    kept: list[str] = []
    page.on("requestfinished", lambda request: kept.append(request.post_data or ""))
    page.goto(lab.page("theme"))
    sidebar = open_sidebar(page)
    card(sidebar, "shown").get_by_role("button", name="Resources").click()
    frame = page.locator('iframe[title="Resources · shown"]')
    shown = frame.content_frame.locator("html")
    expect(shown).to_have_css("color-scheme", "light")
    page.evaluate("jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    expect(shown).to_have_css("color-scheme", "dark")
    expect(shown.locator("[data-rustray-state=live]")).to_be_visible()

    seen(page, lambda: any("rustray-dashboard-shown-resources" in text for text in kept))
    page.goto(lab.page("theme"))
    expect(shown).to_have_css("color-scheme", "dark")


def test_panels_open_beside_the_notebook_and_come_back_where_they_were(
    lab: Lab, page: Page, cluster: Cluster
) -> None:
    kept: list[str] = []
    page.on("requestfinished", lambda request: kept.append(request.post_data or ""))
    write_notebook(lab.notebooks / "beside.ipynb", "1 + 1")
    page.goto(lab.page("beside", "beside.ipynb"))
    sidebar = open_sidebar(page)
    notebook = page.locator(".jp-NotebookPanel")
    expect(notebook).to_be_visible()
    panels = card(sidebar, "shown").get_by_role("group", name="Dashboard of shown")
    resources, tasks = (page.locator(f'iframe[title="{title} · shown"]') for title in ("Resources", "Tasks"))

    panels.get_by_role("button", name="Resources").click()
    expect(resources).to_be_visible()
    expect(notebook).to_be_visible()
    place = box(resources)
    assert box(notebook)["x"] + box(notebook)["width"] <= place["x"]
    panels.get_by_role("button", name="Tasks").click()
    expect(tasks).to_be_visible()
    expect(resources).to_be_hidden()
    assert box(tasks) == place
    seen(page, lambda: any("rustray-dashboard-shown-tasks" in text for text in kept))

    page.evaluate(MOVE_BELOW)
    expect(resources).to_be_visible()
    seen(page, lambda: any('"vertical"' in text for text in kept))
    page.goto(lab.page("beside"))
    expect(resources).to_be_visible()
    expect(tasks).to_be_visible()
    expect(notebook).to_be_visible()
    seen(page, lambda: box(resources)["y"] > box(tasks)["y"] + box(tasks)["height"])
    assert box(resources)["x"] == box(tasks)["x"]


def box(shown: Locator) -> FloatRect:
    """Where it is in the page."""
    found = shown.bounding_box()
    assert found is not None
    return found


USERS = """\
%load_ext rustray
%rustray init
kept = "a user's code"
kept.upper()"""


def test_connecting_leaves_the_code_of_the_user(lab: Lab, page: Page, cluster: Cluster) -> None:
    write_notebook(lab.notebooks / "kept.ipynb", USERS, "'%rustray init in a text'")
    page.goto(lab.page("kept", "kept.ipynb"))
    connect = card(open_sidebar(page), "shown").get_by_role("button", name="Connect notebook")
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    expect(cells).to_have_count(2)
    connect.click()
    own = cells.nth(0)
    expect(own).to_contain_text("%rustray init --name shown")
    expect(own).to_have_class(re.compile(r"\bjp-mod-active\b"))
    expect(output_of(own)).to_contain_text("on cluster shown")
    connect.click()
    expect(
        page.get_by_role("alert").filter(has_text="already connected, to the cluster shown")
    ).to_be_visible()

    run_cell(cells.nth(1))
    expect(output_of(cells.nth(1)).filter(has_text="A USER'S CODE")).to_be_visible()
    cells.nth(2).locator(".cm-content").click()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("%rustray shutdown")
    run_cell(cells.nth(2))
    expect(output_of(cells.nth(2))).to_contain_text("has left the cluster shown, which goes on")
    connect.click()
    expect(own.locator(".jp-InputPrompt")).to_contain_text("[4]")
    expect(output_of(own)).to_have_count(1)
    expect(output_of(own)).not_to_contain_text("already loaded")

    page.keyboard.press("ControlOrMeta+s")
    saved = lab.notebooks / "kept.ipynb"
    seen(page, lambda: "--name shown" in saved.read_text())
    codes = [cell.source for cell in nbformat.read(saved, 4).cells if cell.cell_type == "code"]
    assert codes == ["%load_ext rustray\n%rustray init --name shown", USERS, "%rustray shutdown"]


def test_a_page_says_that_its_cluster_was_stopped(lab: Lab, page: Page) -> None:
    brief = clusters.start("brief", num_cpus=1)
    page.goto(f"{lab.url}rustray/dashboard/resources?cluster=brief&token={lab.token}")
    panels = page.locator("[data-rustray-state]")
    expect(panels).to_have_attribute("data-rustray-state", "live")
    brief.stop()
    expect(panels).to_contain_text("The cluster brief was stopped.")
    expect(panels).to_have_attribute("data-rustray-state", "ended")
