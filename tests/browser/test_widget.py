"""A dashboard in a notebook: it moves while its kernel is busy, and by the Jupyter server when the kernel has gone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import ConsoleMessage, Locator, Page, expect

from rustray import clusters
from rustray.clusters import Cluster

from .lab import Lab
from .notebook import cell_with, kernel_is_ready, press, run_cell, write_notebook
from .sidebar import columns, seen

DASHBOARD = """\
%load_ext rustray
%rustray init --name widget
%rustray dashboard tasks"""
BUSY = """\
import rustray, time
from pathlib import Path
@rustray.remote(num_cpus=0)
def until_told():
    while not Path("go").exists():
        short.remote()
        time.sleep(0.1)
@rustray.remote(num_cpus=0)
def short():
    time.sleep(0.02)
rustray.get(until_told.remote())"""


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Iterator[Cluster]:
    cluster = clusters.start("widget", num_cpus=1)
    yield cluster
    cluster.stop()


def test_a_widget_moves_while_the_kernel_waits_and_when_it_was_restarted(
    lab: Lab, page: Page, cluster: Cluster
) -> None:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.extend(complaint(message)))
    write_notebook(lab.notebooks / "widget.ipynb", DASHBOARD, BUSY)
    page.goto(lab.page("widget", "widget.ipynb"))
    kernel_is_ready(page)
    run_cell(cell_with(page, "dashboard tasks"))
    panels = cell_with(page, "dashboard tasks").locator("[data-rustray-state]")
    expect(panels).to_have_attribute("data-rustray-state", "live")

    busy = cell_with(page, "until_told").locator(".jp-InputPrompt")
    run_cell(cell_with(page, "until_told"))
    first = seen(page, lambda: bars(page))
    seen(page, lambda: set(bars(page)) - set(first))
    told = finished(panels)
    seen(page, lambda: finished(panels) != told)
    expect(busy).to_contain_text("[*]")
    (lab.notebooks / "go").touch()
    expect(busy).to_contain_text("[2]")

    press(page, "restart")
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    expect(panels).to_contain_text("From the Jupyter server")
    expect(panels).to_have_attribute("data-rustray-state", "live")
    before = columns(page.main_frame)
    seen(page, lambda: columns(page.main_frame) != before)
    assert complaints == []


def bars(page: Page) -> list[tuple[str, float]]:
    """Function and length of each bar of short tasks that the figure has drawn, once there are some."""
    (drawn,) = (source for source in columns(page.main_frame) if "took" in source)
    return [bar for bar in zip(drawn["function"], drawn["took"], strict=True) if "short" in bar[0]]


def finished(panels: Locator) -> float:
    """How many tasks a second the panel tells."""
    return float(panels.locator("[data-rustray-value]").first.get_attribute("data-rustray-number") or 0)


def complaint(message: ConsoleMessage) -> list[str]:
    """What the console shows in red of RustRay's."""
    return [message.text] * (message.type == "error")
