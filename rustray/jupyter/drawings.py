"""What a value of a cell has of matplotlib, in the worker: figures are shown here, and travel with other values.

Rule 1. A value that is nothing but drawing, as `plt.plot()` gives it, is shown only, if a notebook waits for it: a copy
would be drawn once more in the kernel.
Rule 2. Any other value comes home whole, its drawings as copies, or as their text where they cannot travel.
"""

from __future__ import annotations

import io
import operator
import pickle
import sys
from collections.abc import Iterator
from typing import Any

import cloudpickle

from rustray.driver.current import current_or_none

LEVELS = 2
"""Lists in lists that are looked into, as `plt.subplots()` gives them in a tuple."""
LOOKED_AT = 10_000
"""A longer list is data."""
_OTHERS = ("matplotlib.contour", "matplotlib.colorbar", "matplotlib.streamplot")
"""Modules of what drawing gives that is no Artist, in one version or another."""


def is_drawing(value: Any, levels: int = LEVELS) -> bool:
    """Whether it is a part of a matplotlib figure, or a list or array of nothing else."""
    matplotlib = sys.modules.get("matplotlib.artist")
    if matplotlib is None:
        return False
    if isinstance(value, matplotlib.Artist) or type(value).__module__ in _OTHERS:
        return True
    parts = _parts(value)
    return levels > 0 and bool(parts) and all(is_drawing(part, levels - 1) for part in parts)


def show_closed(value: Any, levels: int = LEVELS) -> None:
    """Show the figures in it that the end of the task does not show."""
    if "matplotlib.figure" not in sys.modules:
        return
    from matplotlib._pylab_helpers import Gcf

    from rustray.worker import plots

    session = current_or_none()
    if session is None or session.publish is None:
        return
    managers = (one for one in Gcf.get_all_fig_managers() if isinstance(one, plots.FigureManager))
    open_ones = {id(manager.canvas.figure) for manager in managers}
    for figure in {id(one): one for one in _figures(value, levels)}.values():
        if id(figure) not in open_ones:
            data, metadata = plots.images(figure)
            session.publish("display_data", {"data": data, "metadata": metadata, "transient": {}})


def travelling(value: Any) -> Any:
    """The same with its drawings made so that they arrive as drawings that can be changed and shown.

    They are told of in stderr that arrive as their text only.
    """
    leaves = list({id(leaf): leaf for leaf in _leaves(value, LEVELS)}.values())
    if not leaves:
        return value
    try:
        box: Any = _Box(leaves)
        packed: dict[int, Any] = {id(leaf): _Part(box, index) for index, leaf in enumerate(leaves)}
    except Exception:  # of the user's artists: which of them it is
        packed = {id(leaf): _alone(leaf) for leaf in leaves}
    return _replaced(value, packed, LEVELS)


class _Box:
    """Drawings in one piece, for they hang together. Arrays in it are its own: those that come by shared memory cannot
    be written to, and matplotlib does."""

    def __init__(self, drawings: list[Any]) -> None:
        written = io.BytesIO()
        cloudpickle.CloudPickler(written, protocol=pickle.HIGHEST_PROTOCOL).dump(drawings)
        self._packed = written.getvalue()

    def __reduce__(self) -> tuple[Any, ...]:
        return pickle.loads, (self._packed,)


class _Part:
    """One of them."""

    def __init__(self, box: _Box, index: int) -> None:
        self._box = box
        self._index = index

    def __reduce__(self) -> tuple[Any, ...]:
        return operator.getitem, (self._box, self._index)


def _alone(drawing: Any) -> Any:
    try:
        return _Part(_Box([drawing]), 0)
    except Exception as error:
        told = repr(drawing)
        print(f"rustray: {told} cannot be sent ({error}); its text is in its place.", file=sys.stderr)
        return told


def _parts(value: Any) -> Any:
    """What stands in a list, tuple or array of objects; () of anything else."""
    if isinstance(value, list | tuple):
        return value if len(value) <= LOOKED_AT else ()
    numpy = sys.modules.get("numpy")
    if numpy is not None and type(value) is numpy.ndarray and value.dtype == object:
        return list(value.flat) if value.size <= LOOKED_AT else ()
    return ()


def _figures(value: Any, levels: int) -> Iterator[Any]:
    if isinstance(value, sys.modules["matplotlib.figure"].Figure):
        yield value
    elif levels > 0:
        for part in _parts(value):
            yield from _figures(part, levels - 1)


def _leaves(value: Any, levels: int) -> Iterator[Any]:
    """The drawings in it, those that stand in plain lists and tuples one by one."""
    if type(value) in (list, tuple) and levels > 0:
        for part in _parts(value):
            yield from _leaves(part, levels - 1)
    elif is_drawing(value, levels):
        yield value


def _replaced(value: Any, packed: dict[int, Any], levels: int) -> Any:
    if id(value) in packed:
        return packed[id(value)]
    if type(value) in (list, tuple) and levels > 0 and _parts(value):
        return type(value)(_replaced(part, packed, levels - 1) for part in value)
    return value
