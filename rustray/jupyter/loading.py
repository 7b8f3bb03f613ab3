"""`%load_ext rustray` and `%unload_ext rustray`: the magics, completion on their lines, and two names."""

from __future__ import annotations

from typing import Any

import rustray
from rustray.driver import tracebacks
from rustray.jupyter.cell_magics import CellMagics
from rustray.jupyter.console import completer
from rustray.jupyter.console.magic import ConsoleMagics
from rustray.jupyter.left_on_workers import tell
from rustray.jupyter.named_cells import named_cells

OURS = (ConsoleMagics, CellMagics)


def load(ipython: Any) -> None:
    """Register the magics with this shell; its variables are `rustray` and `rustray_cells` too from now on."""
    tracebacks.install()
    ipython.register_magics(*OURS)
    completer.attach(ipython)
    _unregister(ipython)
    ipython.events.register("post_run_cell", tell)
    # What the user calls so stays. They are variables like others: a `%%remote` cell that reads them has them.
    ipython.user_ns.setdefault("rustray", rustray)
    named_cells(ipython.user_ns)


def unload(ipython: Any) -> None:
    """Take the magics out of this shell. The cluster, if there is one, stays."""
    completer.detach(ipython)
    _unregister(ipython)
    known = ipython.magics_manager
    for magics in OURS:
        if known.registry.pop(magics.__name__, None) is not None:
            for kind, functions in magics.magics.items():
                for name in functions:
                    known.magics[kind].pop(name, None)


def _unregister(ipython: Any) -> None:
    if tell in ipython.events.callbacks["post_run_cell"]:
        ipython.events.unregister("post_run_cell", tell)
