"""What of a cell's value is drawing, and what of it travels."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import numpy as np
import pytest

from rustray.jupyter import drawings, remote_cell

pytest.importorskip("matplotlib")
from matplotlib.figure import Figure


def value_of(source: str, *element: object, waited_for: bool = True, **names: object) -> Any:
    return remote_cell.task(source, "c", (), "x" if element else "", names, *element, waited_for=waited_for)


def home(value: object) -> Any:
    """As it comes to the kernel."""
    return pickle.loads(pickle.dumps(value))


def test_what_is_nothing_but_drawing() -> None:
    figure = Figure()
    axes = figure.subplots(2, 2)
    (line,) = axes[0, 0].plot([1, 2])
    bars = axes[0, 1].bar([1, 2], [3, 4])
    for value in (figure, line, [line], bars, axes, (figure, axes), (figure, list(axes.flat))):
        assert drawings.is_drawing(value)
    knot: list[object] = []
    knot.append(knot)
    for mixed in ([], (), 1, [1, line], [line, 1], (figure, 42), ([line], {"a": 1}), np.arange(3), knot):
        assert not drawings.is_drawing(mixed)


def test_a_value_that_has_more_than_drawing_comes_home() -> None:
    figure = Figure()
    axes = figure.subplots()
    (line,) = axes.plot([1.0, 2.0])
    given, number = home(value_of("figure, 42", figure=figure))
    assert isinstance(given, Figure) and number == 42
    got_line, got_axes, more = home(value_of("[line, axes, {'score': 1}]", line=line, axes=axes))
    assert got_line.axes is got_axes and more == {"score": 1}  # they hang together still
    got_line.get_xdata()[0] = 7  # what comes by shared memory could not be written to
    assert value_of("[line]", line=line) is None and value_of("figure", figure=figure) is None
    knot = value_of("a = []\na.append(a)\na")
    assert knot[0] is knot


def test_loops_and_cells_in_the_background_give_their_drawings() -> None:
    (line,) = Figure().subplots().plot([1, 2])
    assert home(value_of("[line, x]", 3, waited_for=False, line=line))[1] == 3
    assert type(home(value_of("line", waited_for=False, line=line))) is type(line)


def test_a_drawing_that_cannot_travel_comes_as_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    stuck, well = Figure(), Figure()
    stuck.lock = threading.Lock()  # type: ignore[attr-defined]
    text, figure, number = home(value_of("stuck, well, 42", stuck=stuck, well=well))
    assert text == repr(stuck) and isinstance(figure, Figure) and number == 42
    told = capsys.readouterr().err
    assert "cannot be sent" in told and "its text is in its place" in told and told.count("rustray:") == 1
