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

    The handler stays ours once it is, and calls the one that it found: to change it at each entry would cost two
    system calls. Whoever sets another one, as a kernel does for each cell, is followed at the next entry.

    Parameters
    ----------
    on_signal: called when a signal has to wait, so that the thread does not go on waiting for something else.
    """

    __slots__ = ("_depth", "_handler", "_installed", "_on_signal", "pending")

    def __init__(self, on_signal: Callable[[], None]) -> None:
        self._on_signal = on_signal
        self._depth = 0
        self._handler: Callable[[int, Any], Any] | None = None
        self._installed = self._on_sigint  # one object: a bound method is made anew each time it is looked up
        self.pending: list[tuple[int, Any]] = []

    def __enter__(self) -> None:
        if threading.get_ident() == _main_thread:
            handler = getsignal(SIGINT)
            if handler is not self._installed and callable(handler):
                other = getattr(handler, "__self__", None)  # of a session that ended in another thread
                self._handler = other._handler if isinstance(other, Shield) else handler
                signal(SIGINT, self._installed)
            self._depth += 1

    def __exit__(self, *_exc: object) -> None:
        if threading.get_ident() == _main_thread:
            self._depth -= 1
            while self._depth == 0 and self.pending:
                self._call(*self.pending.pop())

    def _on_sigint(self, number: int, frame: Any) -> None:
        if self._depth:
            self.pending.append((number, frame))
            self._on_signal()
        else:
            self._call(number, frame)

    def _call(self, number: int, frame: Any) -> None:
        if self._handler is not None:
            self._handler(number, frame)

    def close(self) -> None:
        """Give the signal back to the handler that was found."""
        if threading.get_ident() == _main_thread and getsignal(SIGINT) is self._installed:
            signal(SIGINT, self._handler)
