"""`%load_ext rustray` and `%unload_ext rustray`: the magics, and completion on their lines."""

from __future__ import annotations

from typing import Any

from rustray.driver import tracebacks
from rustray.jupyter.cell_magics import CellMagics
from rustray.jupyter.console import completer
from rustray.jupyter.console.magic import ConsoleMagics

OURS = (ConsoleMagics, CellMagics)


def load(ipython: Any) -> None:
    """Register the magics with this shell."""
    tracebacks.install()
    ipython.register_magics(*OURS)
    completer.attach(ipython)


def unload(ipython: Any) -> None:
    """Take the magics out of this shell. The cluster, if there is one, stays."""
    completer.detach(ipython)
    known = ipython.magics_manager
    for magics in OURS:
        if known.registry.pop(magics.__name__, None) is not None:
            for kind, functions in magics.magics.items():
                for name in functions:
                    known.magics[kind].pop(name, None)
