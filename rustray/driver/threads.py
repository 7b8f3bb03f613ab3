"""Numbers of threads: unlike the system's, none is given again when its thread has ended."""

from __future__ import annotations

import itertools
import threading

_NAME = "_rustray_number"
_numbers = itertools.count(1)


def number_of(thread: threading.Thread) -> int:
    """The number of a thread, from 1 on; its first one for as long as it lives."""
    number: int = thread.__dict__.setdefault(_NAME, next(_numbers))
    return number


def numbers_alive() -> set[int]:
    """The numbers of all threads that are there."""
    return {number_of(thread) for thread in threading.enumerate()}


class _Present(threading.local):
    """The number of the thread that looks: as cheap as an attribute, for each task notes who submitted it."""

    def __init__(self) -> None:  # once in each thread
        self.number = number_of(threading.current_thread())


present = _Present()
