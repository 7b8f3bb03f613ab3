"""What cells show in the browser: each its own lines, also while others run, and what the stop button stops."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from rustray import clusters
from rustray.clusters import Cluster

from .lab import Lab
from .notebook import cell_with, output_of, run_cell, write_notebook
from .sidebar import card, open_sidebar

pytestmark = pytest.mark.timeout(180)
LINES = """\
%%remote --no-block --name {name} --num-cpus 0
import time
for i in range(20):
    print("{name} says", i)
    time.sleep(0.1)"""
ENDLESS = """\
%%remote
import time
print("it has begun")
time.sleep(600)"""


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Iterator[Cluster]:
    cluster = clusters.start("cells", num_cpus=2)
    yield cluster
    cluster.stop()


def test_lines_come_to_their_cells_and_the_stop_button_ends_a_cell(
    lab: Lab, page: Page, cluster: Cluster
) -> None:
    write_notebook(lab.notebooks / "cells.ipynb", LINES.format(name="one"), LINES.format(name="two"), ENDLESS)
    page.goto(lab.page("cells", "cells.ipynb"))
    sidebar = open_sidebar(page)
    cell_with(page, "--name one").wait_for()
    card(sidebar, "cells").get_by_role("button", name="Connect notebook").click()
    expect(cell_with(page, "%rustray init").locator(".jp-InputPrompt")).to_contain_text("[1]")

    one, two = cell_with(page, "--name one"), cell_with(page, "--name two")
    run_cell(one)
    run_cell(two)
    for cell, own, other in ((one, "one", "two"), (two, "two", "one")):
        expect(output_of(cell).filter(has_text=f"{own} says 19")).to_be_visible()
        expect(output_of(cell).filter(has_text=f"{other} says")).to_have_count(0)

    endless = cell_with(page, "it has begun")
    run_cell(endless)
    expect(output_of(endless).filter(has_text="it has begun")).to_be_visible()
    page.evaluate("jupyterapp.commands.execute('notebook:interrupt-kernel')")
    expect(output_of(endless).filter(has_text="KeyboardInterrupt")).to_be_visible()
    expect(endless.locator(".jp-InputPrompt")).not_to_contain_text("*")
