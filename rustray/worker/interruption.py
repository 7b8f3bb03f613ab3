"""Cancelling the task that runs: a KeyboardInterrupt in the main thread, in the user's code and nowhere else."""

from __future__ import annotations

import signal
import threading
from typing import Any

from rustray.worker.channel import Channel
from rustray.worker.context import Running


class Interruption:
    """What the main thread runs, and whether it may be interrupted.

    Parameters
    ----------
    inbox_lock: under which a task leaves the inbox and becomes `current`, so that one of them has it.
    own_lock: nobody is interrupted while he holds it: book-keeping of ours would stay half done.

    Attributes
    ----------
    current: the task, None between two.
    allowed: whether the user's code runs.
    cancelled: the number of the task that is to be interrupted.
    """

    def __init__(self, inbox_lock: threading.RLock, own_lock: threading.RLock) -> None:
        self._inbox_lock = inbox_lock
        self._own_lock = own_lock
        self.current: Running | None = None
        self.allowed = False
        self.cancelled: int | None = None

    def install(self) -> None:
        """Take the signal. For the main thread."""
        signal.signal(signal.SIGINT, self._on_signal)

    def cancel(self, channel: Channel, number: int) -> None:
        """Interrupt that task, if it runs."""
        with self._inbox_lock:
            current = self.current
            if current is None or current.channel is not channel or current.number != number:
                return
            self.cancelled = number
        self._signal_main()

    def place(self) -> tuple[int, int] | None:
        """Lease and number of what the main thread runs."""
        current = self.current
        return None if current is None else (current.channel.lease, current.number)

    def tick(self) -> None:
        """Try again what came while our own code ran."""
        if self.cancelled is not None and self.allowed:
            self._signal_main()

    def _signal_main(self) -> None:
        if hasattr(signal, "pthread_kill"):
            # Also ends a sleep or a read that the task waits in.
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def _on_signal(self, _number: int, _frame: Any) -> None:
        # Runs in the main thread, between two of its instructions.
        current, cancelled = self.current, self.cancelled
        if current is None or cancelled != current.number or not self.allowed:
            return
        if self._own_lock._is_owned():  # type: ignore[attr-defined]
            return  # `tick` tries again
        self.cancelled = None
        error = KeyboardInterrupt("the task was cancelled")
        error.of_task = current.number  # type: ignore[attr-defined]
        try:
            raise error
        finally:
            del error  # else its traceback would keep it, and with it the arguments of the task
