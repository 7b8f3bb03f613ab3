"""A lock between processes that is waited for, but not for ever."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

_LOOK_EVERY_S = 0.01


@contextlib.contextmanager
def locked(path: str, timeout: float) -> Iterator[None]:
    """Hold the lock of a file, which is made (0600) if need be and stays. It goes with the process too.

    Parameters
    ----------
    timeout: seconds to wait for who has it.

    Raises
    ------
    TimeoutError: it was not to be had. OSError: the file cannot be opened, or is a link.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{path} has been locked for {timeout:g} s") from None
            time.sleep(_LOOK_EVERY_S)
        yield
    finally:
        os.close(fd)
