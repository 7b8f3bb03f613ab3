"""The code of functions, sent once to each worker that runs them."""

from __future__ import annotations

from typing import Any, NamedTuple

WORKERS_KNOWN = 256
"""Workers of which it is remembered what functions they have."""


class Code(NamedTuple):
    """A pickled function.

    `name` is what messages call it. `refs` are what it captures: that lives as long as the code may be sent to another
    worker.
    """

    key: bytes
    pickle: bytes
    name: str
    refs: tuple[Any, ...] = ()


class Functions:
    """Which functions each worker has been sent by this process, by their keys."""

    def __init__(self) -> None:
        self._at: dict[int, set[bytes]] = {}

    def at(self, worker: int) -> set[bytes]:
        """The keys that `worker` has been sent; who sends it another one adds it."""
        known = self._at.get(worker)
        if known is None:
            # Nobody tells of the end of a worker whose lease was given back. One forgotten gets the code once more.
            if len(self._at) == WORKERS_KNOWN:
                del self._at[next(iter(self._at))]
            known = self._at[worker] = set()
        return known

    def forget(self, key: bytes) -> None:
        """Nobody has run this function for a while: a worker may have to get it once more."""
        for known in self._at.values():
            known.discard(key)

    def forget_worker(self, worker: int) -> None:
        """It has ended."""
        self._at.pop(worker, None)
