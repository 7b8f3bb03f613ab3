"""How figures are drawn while a task runs: as those of its notebook, if its cell has brought that along.

Nothing of matplotlib is imported here: what it is told stands in `rcParams` once the user's code has imported it.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class FigureStyle(NamedTuple):
    """What a notebook says of figures.

    Parameters
    ----------
    formats: as of `InlineBackend.figure_formats`: "png", "retina", "jpeg", "svg", "pdf".
    printing: as of `InlineBackend.print_figure_kwargs`, given to `savefig`.
    rc: those of matplotlib's `rcParams` that the notebook has changed.
    """

    formats: tuple[str, ...] = ("png",)
    printing: Mapping[str, Any] = {"bbox_inches": "tight"}
    rc: Mapping[str, Any] = {}


PLAIN = FigureStyle()
_present = PLAIN
_before: dict[str, Any] = {}


def present() -> FigureStyle:
    """The one of the task that runs."""
    return _present


@contextlib.contextmanager
def drawn_as(style: FigureStyle) -> Iterator[None]:
    """Around a task of a worker, which runs one at a time."""
    global _present
    _present = style
    apply()
    try:
        yield
    finally:
        _present = PLAIN
        if _before:
            sys.modules["matplotlib"].rcParams.update(_before)
            _before.clear()


def apply() -> None:
    """matplotlib may have been imported by now."""
    matplotlib = sys.modules.get("matplotlib")
    if matplotlib is None or _before:
        return
    # One that this version of matplotlib does not have is none of this worker's.
    known = {name: value for name, value in _present.rc.items() if name in matplotlib.rcParams}
    _before.update({name: matplotlib.rcParams[name] for name in known})
    matplotlib.rcParams.update(known)
