"""What RustRay itself runs on a cluster: the keepers of notebooks' cells (`jupyter.keeper`).

Where people count their own work it is left out, and shown to who asks for all.
"""

from __future__ import annotations

KEEPER_CLASS = "NotebookKeeper"
KEEPER_NAME = "rustray-keeper-"
"""What the names of keepers begin with."""


def is_own_code(name: str) -> bool:
    """Of an actor's class, or of a function or method ("Class.method") by its name: whether it is RustRay's own."""
    return name.partition(".")[0] == KEEPER_CLASS


def is_own_name(name: str) -> bool:
    """The same of the name that an actor was given."""
    return name.startswith(KEEPER_NAME)
