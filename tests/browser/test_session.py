"""A session as a newcomer has it: everything from JupyterLab, nothing from a terminal."""

from __future__ import annotations

import re

from playwright.sync_api import Frame, Page, expect

from rustray import clusters

from ..support import eventually
from .lab import Lab
from .notebook import cell_with, output_of, run_cell, write_notebook
from .sidebar import card, columns, open_sidebar, panel_frame

REMOTE = """\
%%remote
import os
print("from process", os.getpid())
6 * 7"""
HERE = """\
import os, rustray
pid_here = os.getpid()
pid_here"""
MANY = """\
import time
@rustray.remote
def short():
    time.sleep(0.02)
end = time.time() + 8
while time.time() < end:
    rustray.get([short.remote() for _ in range(20)])"""


def test_from_the_sidebar_to_a_live_dashboard(lab: Lab, page: Page) -> None:
    write_notebook(lab.notebooks / "session.ipynb", REMOTE, HERE, MANY)
    page.goto(lab.page("session", "session.ipynb"))
    sidebar = open_sidebar(page)

    sidebar.get_by_text("No cluster runs").wait_for()
    sidebar.get_by_role("button", name="Start a cluster").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("mine")
    dialog.get_by_label("CPUs of each node").fill("2")
    dialog.get_by_role("button", name="Start").click()
    mine = card(sidebar, "mine")
    expect(mine).to_contain_text("starting")
    expect(mine).to_contain_text("1 node · 2 CPUs")
    assert [cluster.name for cluster in clusters.list()] == ["mine"]

    mine.get_by_role("button", name="Connect notebook").click()
    connecting = cell_with(page, "%rustray init")
    expect(connecting.locator(".jp-InputPrompt")).to_contain_text("[1]")
    expect(page.locator(".jp-Notebook .jp-Cell").nth(1)).to_contain_text("%load_ext rustray")
    expect(connecting.locator(".jp-mod-error, [data-mime-type*=stderr]")).to_have_count(0)

    run_cell(cell_with(page, "%%remote"))
    shown = output_of(cell_with(page, "%%remote"))
    expect(shown.filter(has_text=re.compile("^42$"))).to_be_visible()  # not a process id that has it
    run_cell(cell_with(page, "pid_here"))
    here = output_of(cell_with(page, "pid_here")).inner_text()
    expect(shown.filter(has_text="from process")).not_to_contain_text(re.compile(rf"\b{here.strip()}\b"))

    run_cell(cell_with(page, "def short"))
    mine.get_by_role("button", name="Resources").click()
    frame = panel_frame(page, "Resources · mine")
    first = eventually(lambda: rates(frame))
    eventually(lambda: rates(frame) != first)
    eventually(lambda: max(rates(frame)) > 0)
    expect(mine.locator(".rr-mod-tasks")).to_contain_text("/s")

    mine.get_by_role("button", name="One node more").click()
    expect(mine).to_contain_text("2 nodes · 4 CPUs")
    expect(mine.get_by_role("button", name="One node more")).to_be_focused()
    expect(mine.locator("[aria-disabled=true]")).to_have_count(0)

    mine.get_by_role("button", name="Stop").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    sidebar.get_by_text("No cluster runs").wait_for()
    expect(sidebar.get_by_role("button", name="Start a cluster").first).to_be_focused()
    assert clusters.list() == []


def rates(frame: Frame) -> list[float]:
    """Tasks a second as the page has them, once there are some."""
    return next(source["tasks"] for source in columns(frame) if "tasks" in source)
