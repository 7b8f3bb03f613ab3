"""What of a cell's value is drawing, and what of it travels."""

from __future__ import annotations

import collections
import dataclasses
import threading
from typing import Any

import numpy as np
import pytest

from rustray import serialization
from rustray.errors import SerializationError
from rustray.jupyter import drawings, remote_cell
from rustray.serialization.nested import note_ref

pytest.importorskip("matplotlib")
from matplotlib.figure import Figure

Fit = collections.namedtuple("Fit", "figure score")


@dataclasses.dataclass
class Report:
    axes: Any
    parts: list[Any]


class Ref:
    """As one of an object, which tells when it is packed."""

    def __reduce__(self) -> tuple[Any, ...]:
        note_ref(self)
        return Ref, ()


def value_of(source: str, *element: object, waited_for: bool = True, **names: object) -> Any:
    return remote_cell.task(source, "c", (), "x" if element else "", names, *element, waited_for=waited_for)


def home(value: object) -> Any:
    """As it comes to the kernel: arrays lie in memory that it cannot write to."""
    packed = serialization.serialize(value)
    return serialization.deserialize(packed.pickle, [buffer.toreadonly() for buffer in packed.buffers])


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


def test_drawings_come_home_wherever_they_are() -> None:
    figure = Figure()
    axes = figure.subplots()
    (line,) = axes.plot(np.arange(3.0))
    bars = axes.bar([1, 2], [3, 4])
    given = home(
        value_of(
            "{'fit': Fit(figure, 0.5), 'report': Report(axes, [[[line]], {'bars': bars}])}",
            Fit=Fit,
            Report=Report,
            figure=figure,
            axes=axes,
            line=line,
            bars=bars,
        )
    )
    report = given["report"]
    (((got,),),), got_bars = report.parts[:1], report.parts[1]["bars"]
    assert type(given["fit"]) is Fit and given["fit"].score == 0.5
    assert report.axes.figure is given["fit"].figure and got.axes is report.axes and got in report.axes.lines
    assert report.axes.containers == [got_bars] and got_bars[0] in report.axes.patches
    got.get_xdata()[0] = 7
    given["fit"].figure.canvas.draw()


def test_variables_that_are_brought_home_have_drawings_too() -> None:
    (line,) = Figure().subplots().plot(np.arange(3.0))
    (_value, given) = remote_cell.task("lines = {'a': line}\n1", "c", ("lines",), "", {"line": line})
    home(given)["a"].get_xdata()[0] = 7


def test_what_stands_beside_a_drawing_travels_as_ever() -> None:
    data, ref = np.arange(1000.0), Ref()
    packed = serialization.serialize(value_of("[figure, data, ref]", figure=Figure(), data=data, ref=ref))
    assert packed.refs == [ref] and [buffer.nbytes for buffer in packed.buffers] == [data.nbytes]
    assert np.shares_memory(np.frombuffer(packed.buffers[0]), data)
    value = value_of("[data, ref]", data=data, ref=ref)
    assert type(value) is list and value[0] is data  # there is nothing to do
    with pytest.raises(SerializationError, match=r"\['lock'\]: cannot pickle"):
        home(value_of("{'figure': figure, 'lock': lock}", figure=Figure(), lock=threading.Lock()))


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
    home(value_of("{1: (stuck,), 2: {3: well}}", stuck=stuck, well=well))[2][3].canvas.draw()
    assert "cannot be sent" in told and "its text is in its place" in told and told.count("rustray:") == 1
