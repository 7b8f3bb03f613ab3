"""What the sidebar's button *Connect notebook* asks the kernel, before it writes a cell."""

from __future__ import annotations

from typing import Any

import rustray
from rustray.jupyter.console.opening import already_connected

EXTENSION = "rustray"


class Told(str):
    """A text that a kernel answers with as it is; of other texts it gives the quotes as well."""

    def _repr_markdown_(self) -> str:
        return str(self)


def prepare(shell: Any, cluster: str) -> Told:
    """Whether the notebook may be connected: the question of the sidebar's `connect.ts`.

    An extension that was loaded is unloaded where it may: the cell that comes next has `%load_ext rustray`, as it
    must for the next kernel, and IPython would print a lecture about it.

    Parameters
    ----------
    shell: the notebook's.
    cluster: the name of the one that it is to be connected to.

    Returns
    -------
    What it is connected to already; empty if to nothing.
    """
    if rustray.is_initialized():
        return Told(already_connected(cluster, others=False))
    shell.extension_manager.unload_extension(EXTENSION)
    return Told("")
