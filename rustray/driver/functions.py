"""The code of a session's functions, sent once to each worker that runs them."""

from __future__ import annotations

WORKERS_KNOWN = 256
"""Workers of which it is remembered what functions they have."""


class Functions:
    """Code by the function's key, and which keys each worker has been sent by this process."""

    def __init__(self) -> None:
        self._code: dict[bytes, tuple[bytes, str]] = {}
        self._at: dict[int, set[bytes]] = {}

    def add(self, key: bytes, code: bytes, name: str) -> None:
        """Keep the code of a function that messages call `name`."""
        self._code[key] = (code, name)

    def __getitem__(self, key: bytes) -> tuple[bytes, str]:
        """Code and name of a function."""
        return self._code[key]

    def at(self, worker: int) -> set[bytes]:
        """The keys that `worker` has been sent; who sends it another one adds it."""
        known = self._at.get(worker)
        if known is None:
            # Nobody tells of the end of a worker whose lease was given back. One forgotten gets the code once more.
            if len(self._at) == WORKERS_KNOWN:
                del self._at[next(iter(self._at))]
            known = self._at[worker] = set()
        return known

    def forget_worker(self, worker: int) -> None:
        """It has ended."""
        self._at.pop(worker, None)
