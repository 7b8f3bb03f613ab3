"""Holding Ctrl-C off while book-keeping is half done."""

from __future__ import annotations

import threading

# signal.signal() turns each number and handler into an enum, at ten times the price of what it does.
from _signal import SIGINT, getsignal, signal  # type: ignore[import-not-found]
from collections.abc import Callable
from typing import Any

_main_thread = threading.main_thread().ident


class Shield:
    """A context in which a SIGINT of the main thread waits until the end; in other threads it does nothing.

    Python runs a signal's handler between any two instructions of the main thread, and the usual one raises
    KeyboardInterrupt there: between taking a task from a queue and noting that it was sent, it would be lost. May
    be entered again inside.

    Parameters
    ----------
    on_signal: called when a signal has to wait, so that the thread does not go on waiting for something else.
    """

    __slots__ = ("_depth", "_handler", "_on_signal", "pending")

    def __init__(self, on_signal: Callable[[], None]) -> None:
        self._on_signal = on_signal
        self._depth = 0
        self._handler: Callable[[int, Any], Any] | None = None
        self.pending: list[tuple[int, Any]] = []

    def __enter__(self) -> None:
        if threading.get_ident() == _main_thread:
            if self._depth == 0:
                handler = getsignal(SIGINT)
                if callable(handler):
                    signal(SIGINT, self._note)
                    self._handler = handler
            self._depth += 1

    def __exit__(self, *_exc: object) -> None:
        if threading.get_ident() != _main_thread:
            return
        self._depth -= 1
        handler = self._handler
        if self._depth == 0 and handler is not None:
            self._handler = None
            signal(SIGINT, handler)
            while self.pending:
                handler(*self.pending.pop())

    def _note(self, number: int, frame: Any) -> None:
        self.pending.append((number, frame))
        self._on_signal()
