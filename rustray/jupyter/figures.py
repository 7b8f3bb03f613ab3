"""What this notebook says of matplotlib's figures, so that its `%%remote` cells draw them alike."""

from __future__ import annotations

import sys
from typing import Any

from rustray.worker.figure_style import PLAIN, FigureStyle

_OF_THE_KERNEL = ("backend", "interactive", "savefig.directory", "tk.", "toolbar", "webagg.")
"""Beginnings of the names of parameters that say where figures are shown, and not how they look."""


def style_here() -> FigureStyle:
    """`%config InlineBackend`, and what was changed of `rcParams`; the plain one where matplotlib is not in use."""
    matplotlib = sys.modules.get("matplotlib")
    if matplotlib is None:
        return PLAIN
    # As a dict: reading "backend" by its name would choose one.
    first: dict[str, Any] = dict(dict.items(matplotlib.rcParamsOrig))
    rc = {
        name: value
        for name, value in dict.items(matplotlib.rcParams)
        if not name.startswith(_OF_THE_KERNEL) and value != first.get(name)
    }
    config = sys.modules.get("matplotlib_inline.config")
    backend = None if config is None or not config.InlineBackend.initialized() else config.InlineBackend.instance()
    if backend is None:
        return PLAIN._replace(rc=rc)
    return FigureStyle(tuple(sorted(backend.figure_formats)), dict(backend.print_figure_kwargs), rc)
