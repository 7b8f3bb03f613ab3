"""A notebook in the page of JupyterLab, as its user sees it."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from playwright.sync_api import Locator, Page

COLOUR = re.compile(r"\x1b\[[\d;]*m")


def write_notebook(path: Path, *codes: str) -> None:
    """One with a heading and a cell for each code."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [new_markdown_cell("# A notebook"), *map(new_code_cell, codes)]
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


def cell_with(page: Page, text: str) -> Locator:
    """The code cell that has this text."""
    return page.locator(".jp-Notebook .jp-CodeCell").filter(has=page.locator(".jp-InputArea", has_text=text))


def kernel_is_ready(page: Page) -> None:
    """Wait until it is: cells that are run before that are not run at all."""
    page.get_by_role("button", name="| Idle").wait_for()


def run_cell(cell: Locator) -> None:
    """Click it, and press Ctrl-Enter. Does not wait for its end."""
    cell.locator(".cm-content").click()
    cell.page.keyboard.press("Control+Enter")


def output_of(cell: Locator) -> Locator:
    """What the cell shows."""
    return cell.locator(".jp-OutputArea-output")


def press(page: Page, name: str) -> None:
    """A button of the notebook's toolbar: "interrupt", "restart"."""
    page.locator(f".jp-NotebookPanel-toolbar [data-jp-item-name={name}]").get_by_role("button").click()


def errors_of(page: Page, cell: Locator) -> list[tuple[str, str, str]]:
    """Name, value and traceback of each error that the notebook has of a cell, without colours."""
    found = page.evaluate(
        """node => jupyterapp.shell.currentWidget.content.widgets
          .find(widget => widget.node === node).model.outputs.toJSON()
          .filter(output => output.output_type === "error")
          .map(error => [error.ename, error.evalue, error.traceback.join("\\n")])""",
        cell.element_handle(),
    )
    return [(name, value, COLOUR.sub("", traceback)) for name, value, traceback in found]
