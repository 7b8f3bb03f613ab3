"""A notebook in the page of JupyterLab, as its user sees it."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from playwright.sync_api import Locator, Page


def write_notebook(path: Path, *codes: str) -> None:
    """One with a heading and a cell for each code."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [new_markdown_cell("# A notebook"), *map(new_code_cell, codes)]
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


def cell_with(page: Page, text: str) -> Locator:
    """The code cell that has this text."""
    return page.locator(".jp-Notebook .jp-CodeCell").filter(has=page.locator(".jp-InputArea", has_text=text))


def run_cell(cell: Locator) -> None:
    """Click it, and press Ctrl-Enter. Does not wait for its end."""
    cell.locator(".cm-content").click()
    cell.page.keyboard.press("Control+Enter")


def output_of(cell: Locator) -> Locator:
    """What the cell shows."""
    return cell.locator(".jp-OutputArea-output")
