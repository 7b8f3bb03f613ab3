"""The functions that a worker has been sent: the last ones, each loaded when the first of its tasks runs.

Of one that is not kept any more the worker says so when a task of it comes, and gives the task back: it gets the code
again, before the task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rustray import serialization

KEPT = 200
"""Functions, beside those whose tasks are here."""


class KnownCode:
    """By the keys of the functions."""

    def __init__(self) -> None:
        self._code: dict[bytes, tuple[bytes, str]] = {}
        self._functions: dict[bytes, Callable[..., Any]] = {}
        self._last = b""

    def add(self, key: bytes, code: bytes, name: str) -> None:
        """Code of a function that messages call `name`."""
        self._code.setdefault(key, (code, name))

    def drop(self, needed: Callable[[], Iterable[Any]]) -> list[bytes]:
        """Of many functions let those go that came or were used longest ago, except the `needed`; which they were."""
        spare = len(self._code) - KEPT
        if spare <= 0:
            return []
        kept = {*needed(), self._last}
        gone = [key for key in list(self._code)[:spare] if key not in kept]
        for key in gone:
            del self._code[key]
            self._functions.pop(key, None)
        return gone

    def use(self, key: bytes) -> bool:
        """Tasks of this function have come; False if it is not known."""
        if key != self._last:
            known = self._code.pop(key, None)
            if known is None:
                return False
            self._code[key] = known
            self._last = key
        return True

    def name_of(self, function: Any) -> str:
        """What messages call a function, or a method that has this name."""
        return self._code[function][1] if function in self._code else str(function)

    def function(self, key: bytes) -> Callable[..., Any]:
        """The loaded function."""
        found = self._functions.get(key)
        if found is None:
            found = self._functions[key] = serialization.deserialize(self._code[key][0])
        return found
