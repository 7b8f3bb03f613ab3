"""What a value of a cell has of matplotlib, in the worker: figures are shown here, and travel with other values.

Rule 1. A value that is nothing but drawing, as `plt.plot()` gives it, is shown only, if a notebook waits for it: a copy
would be drawn once more in the kernel.
Rule 2. Any other value comes home whole, its drawings as copies, or as their text where they cannot travel.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Iterator
from typing import Any

from rustray.driver.current import current_or_none
from rustray.serialization.nested import collecting, note_ref
from rustray.serialization.pickler import ByValuePickler

LEVELS = 2
"""Lists in lists that are looked into, as `plt.subplots()` gives them in a tuple."""
LOOKED_AT = 10_000
"""A longer list is data."""
_OTHERS = ("matplotlib.colorbar", "matplotlib.container", "matplotlib.contour", "matplotlib.streamplot")
"""Modules of what drawing gives that is no Artist, in one version or another."""


def is_drawing(value: Any, levels: int = LEVELS) -> bool:
    """Whether it is a part of a matplotlib figure, or a list or array of nothing else."""
    if _is_part(value):
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
    """The same with its drawings, wherever in it they are, made so that they arrive as drawings that can be changed and
    shown.

    They are told of in stderr that arrive as their text only.
    """
    if "matplotlib.artist" not in sys.modules:
        return value
    written, buffers = io.BytesIO(), list[pickle.PickleBuffer]()
    pickler = _Pickler(written, 5, buffer_callback=buffers.append)
    with collecting() as refs:
        try:
            pickler.dump(value)
        except Exception:  # whoever packs the value meets it too, and tells where it is
            return value
    for told, error in pickler.left_out:
        print(f"rustray: {told} cannot be sent ({error}); its text is in its place.", file=sys.stderr)
    return _Packed(written.getvalue(), buffers, refs) if pickler.met else value


class _Pickler(ByValuePickler):
    """Packs drawings beside the value, all with one other pickler, for they hang together. Arrays in them are their
    own: those that come by shared memory cannot be written to, and matplotlib does.

    Attributes
    ----------
    met: whether there was a drawing.
    left_out: the text of each that cannot travel, and why.
    """

    met = False
    _beside: tuple[_Box, io.BytesIO, ByValuePickler] | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.left_out: list[tuple[str, Exception]] = []

    def reducer_override(self, value: Any) -> Any:
        if not _is_part(value):
            return super().reducer_override(value)
        self.met = True
        if self._beside is None:
            written = io.BytesIO()
            self._beside = _Box(), written, ByValuePickler(written, 5)
        box, written, pickler = self._beside
        begin = written.tell()
        try:
            pickler.dump(value)
        except Exception as error:  # of the user's artists
            self._beside = None  # what it has met, it takes for written
            self.left_out.append((repr(value), error))
            return str, (self.left_out[-1][0],)
        return _next_of, (box, written.getbuffer()[begin:].tobytes())


class _Box:
    """Unpacks the drawings of one value, in the order in which they were packed."""

    def __init__(self) -> None:
        self._file = io.BytesIO()
        self._unpickler = pickle.Unpickler(self._file)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Box, ()

    def next(self, packed: bytes) -> Any:
        """That of which this is what the others before it have not."""
        begin = self._file.tell()
        self._file.write(packed)
        self._file.seek(begin)
        return self._unpickler.load()


def _next_of(box: _Box, packed: bytes) -> Any:
    return box.next(packed)


class _Packed:
    """A value that arrives as it was before."""

    def __init__(self, packed: bytes, buffers: list[pickle.PickleBuffer], refs: list[Any]) -> None:
        self._packed = packed
        self._buffers = buffers
        self._refs = refs

    def __reduce__(self) -> tuple[Any, ...]:
        for ref in self._refs:
            note_ref(ref)
        return _unpacked, (self._packed, self._buffers)


def _unpacked(packed: bytes, buffers: list[Any]) -> Any:
    return pickle.loads(packed, buffers=buffers)


def _is_part(value: Any) -> bool:
    matplotlib = sys.modules.get("matplotlib.artist")
    if matplotlib is None:
        return False
    return issubclass(type(value), matplotlib.Artist) or type(value).__module__ in _OTHERS


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
