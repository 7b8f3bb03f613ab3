"""The sidebar and the tabs it opens, found as a screen reader finds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from playwright.sync_api import Frame, Locator, Page

from ..support import eventually

T = TypeVar("T")

SOURCES = """() => Bokeh.documents.flatMap(document =>
  [...document.all_models].filter(model => model.type === "ColumnDataSource").map(source => {
    const columns = Object.entries(source.data).map(([name, values]) => [name, Array.from(values)]);
    return Object.fromEntries(columns);
  }))"""


def open_sidebar(page: Page) -> Locator:
    """The sidebar, once it is seen. Lab opens it by the same click that closes it, where it is open."""
    page.get_by_role("tab", name="RustRay clusters").click()
    sidebar = page.get_by_role("region", name="RustRay clusters")
    sidebar.wait_for()
    return sidebar


def seen(page: Page, look: Callable[[], T]) -> T:
    """As `eventually`, and what the browser tells meanwhile reaches who listens to `page.on`."""

    def look_again() -> T:
        page.wait_for_timeout(20)
        return look()

    return eventually(look_again)


def card(sidebar: Locator, name: str) -> Locator:
    """What it shows of a cluster."""
    return sidebar.get_by_role("region", name=name, exact=True)


def panel_frame(page: Page, title: str) -> Frame:
    """The page of a dashboard panel in the tab of this title, once its figures are drawn."""
    element = page.locator(f'iframe[title="{title}"]').element_handle()
    frame = element.content_frame()
    assert frame is not None
    frame.wait_for_url("about:srcdoc")
    eventually(lambda: frame.evaluate("() => window.Bokeh && Bokeh.documents.length"))
    return frame


def columns(frame: Frame) -> list[dict[str, list[Any]]]:
    """What the sources of a page's figures have now."""
    found: list[dict[str, list[Any]]] = frame.evaluate(SOURCES)
    return found
