"""What cells show in the browser: each its own lines, also while others run, and what the stop button stops."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from rustray import clusters
from rustray.clusters import Cluster, Contact

from .lab import Lab
from .notebook import cell_with, errors_of, kernel_is_ready, output_of, press, run_cell, write_notebook
from .sidebar import card, open_sidebar, seen

LINES = """\
%%remote --no-block --name {name} --num-cpus 0
import time
for i in range(20):
    print("{name} says", i)
    time.sleep(0.1)"""
CONNECT = "%load_ext rustray\n%rustray init --name cells"
BACKGROUND = """\
%%remote -b --name other --num-cpus 0
import time
from pathlib import Path
print("other has begun")
while not Path("go").exists():
    time.sleep(0.05)
Path("other ended").touch()
print("other goes on to its end")"""
ENDLESS = """\
%%remote --name stopped --map 'n in range(2)' --num-cpus 0
import time
print("it has begun", n)
time.sleep(600)"""


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Iterator[Cluster]:
    cluster = clusters.start("cells", num_cpus=2)
    yield cluster
    cluster.stop()


def test_lines_come_to_their_cells(lab: Lab, page: Page, cluster: Cluster) -> None:
    write_notebook(lab.notebooks / "cells.ipynb", LINES.format(name="one"), LINES.format(name="two"))
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


def test_the_stop_button_ends_the_tasks_of_its_cell_and_no_others(
    lab: Lab, page: Page, cluster: Cluster
) -> None:
    folder = lab.notebooks / "stopping"
    folder.mkdir()
    write_notebook(folder / "stop.ipynb", CONNECT, BACKGROUND, ENDLESS)
    page.goto(lab.page("stopping", "stopping/stop.ipynb"))
    connect, other, endless = (cell_with(page, text) for text in ("init --name", "-b --name", "--map"))
    kernel_is_ready(page)
    run_cell(connect)
    run_cell(other)
    expect(output_of(other).filter(has_text="other has begun")).to_be_visible()
    run_cell(endless)
    for n in range(2):
        expect(output_of(endless).filter(has_text=f"it has begun {n}")).to_be_visible()

    with cluster.contact() as contact:
        seen(page, lambda: "stopped" in functions(contact))
        press(page, "interrupt")
        seen(page, lambda: "stopped" not in functions(contact))
    expect(endless.locator(".jp-InputPrompt")).to_contain_text("[3]")
    ((name, value, shown),) = errors_of(page, endless)
    assert name == "KeyboardInterrupt"
    assert "stopped: 2 tasks stopped (" in shown, (value, shown)
    expect(output_of(endless).filter(has_text="2 tasks stopped")).to_be_visible()
    expect(output_of(other)).not_to_contain_text(["KeyboardInterrupt", "stopped"])

    assert not (folder / "other ended").exists()
    (folder / "go").touch()
    expect(output_of(other).filter(has_text="other goes on to its end")).to_be_visible()
    expect(output_of(other).filter(has_text="done after")).to_be_visible()
    assert errors_of(page, other) == []


def functions(contact: Contact) -> set[str]:
    """Those that have tasks now."""
    return {row["function"] for row in contact.query("tasks")}
