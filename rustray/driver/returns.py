"""How many results a call has, as a number: of those that generate theirs it is not known before."""

from __future__ import annotations

import inspect
from typing import Any

STREAM = -1
"""A generator of refs, each given as soon as its value has come."""
GATHERED = -2
"""One ref, whose value is the refs of all that was generated."""
_OF_NAMES = {"streaming": STREAM, "dynamic": GATHERED}


def count_of(num_returns: Any, function: Any = None) -> int:
    """The number of results that an option names; by what `function` is if it names none."""
    if num_returns is None:
        generates = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
        return STREAM if generates else 1
    return _OF_NAMES[num_returns] if isinstance(num_returns, str) else int(num_returns)
