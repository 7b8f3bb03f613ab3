"""What panels write where there is little room: the rules of `feed.js`, in an empty page."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page

import rustray.dashboard

DRAWING = Path(rustray.dashboard.__file__).with_name("feed.js")
NAME = "a_long_function_name_17"


@pytest.fixture
def rules(page: Page) -> Page:
    page.add_script_tag(path=DRAWING)
    return page


def test_a_name_keeps_as_much_of_its_end_as_there_is_room_for(rules: Page) -> None:
    whole = rules.evaluate("name => pixels(name)", NAME)
    assert rules.evaluate("([name, width]) => cut(name, width)", [NAME, whole]) == NAME
    for width in (whole - 1, whole / 2):
        shown = rules.evaluate("([name, width]) => cut(name, width)", [NAME, width])
        longer = f"…{NAME[-len(shown) :]}"
        assert shown[0] == "…" and NAME.endswith(shown[1:])
        assert rules.evaluate("name => pixels(name)", shown) <= width
        assert rules.evaluate("name => pixels(name)", longer) > width or len(longer) > len(NAME)
    assert rules.evaluate("name => cut(name, 0)", NAME) == f"…{NAME[-4:]}"


def test_a_matrix_has_all_its_values_or_none(rules: Page) -> None:
    values = ["300 µs", "20 ms", ""]
    widest = rules.evaluate("values => Math.max(...values.map(pixels))", values)
    rule = "([values, width]) => allOrNone(values, width)"
    assert rules.evaluate(rule, [values, widest]) == values
    assert rules.evaluate(rule, [values, widest - 1]) == ["", "", ""]
    assert rules.evaluate("allOrNone([], 0)") == []
