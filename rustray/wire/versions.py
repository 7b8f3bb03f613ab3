"""What the processes of a cluster have alike: how they speak, and the Python for which they pickle code and values."""

from __future__ import annotations

import sys

PROTOCOL = 1
"""Of the messages between processes."""
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
"""Bytecode, which pickled functions consist of, is that of one minor version."""
HERE = (PROTOCOL, PYTHON)


def mismatch(theirs: object, what: str, pickles: bool = True) -> str:
    """Why a process with these versions cannot take part, for people; "" if it can.

    Parameters
    ----------
    theirs: what it says that its `HERE` is.
    what: names it.
    pickles: whether it sends code and values; one that only asks may have another Python.
    """
    protocol, python = theirs if isinstance(theirs, tuple) and len(theirs) == 2 else ("unknown", "unknown")
    if protocol != PROTOCOL:
        return (
            f"The {what}'s RustRay speaks version {protocol} of the protocol between processes, and the cluster's "
            f"version {PROTOCOL}. Install the same version of RustRay for both."
        )
    if pickles and python != PYTHON:
        return (
            f"The {what} runs Python {python}, and the cluster Python {PYTHON}. What one of them pickles would crash "
            f"the other: run the {what} with Python {PYTHON}, or start the cluster with Python {python}."
        )
    return ""
