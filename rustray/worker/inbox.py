"""The tasks that a worker has received and not begun: they may be handed back or cancelled at any moment."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from rustray.worker.channel import Channel

Message = tuple[Any, ...]
"""A task as it arrives: number, function or method, args, deps, returns, whether it may run only once."""


class Inbox:
    """Tasks in the order of their arrival, each with the channel that it came by. The main thread waits for them.

    Attributes
    ----------
    lock: `queue` changes under it, and what the main thread runs.
    exit_when_idle: whether it is to end the process when no task is left.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.queue: deque[tuple[Channel, Message]] = deque()
        self.exit_when_idle = False
        self._waiters: list[Callable[[], object]] = []

    @property
    def ready(self) -> bool:
        """Whether there is something for the main thread to do (the loop waits for that)."""
        return bool(self.queue) or self.exit_when_idle

    def add_waiter(self, wake: Callable[[], object]) -> None:
        self._waiters.append(wake)

    def remove_waiter(self, wake: Callable[[], object]) -> None:
        with contextlib.suppress(ValueError):  # who wakes them all has a list of his own
            self._waiters.remove(wake)

    def wake(self) -> None:
        """There is something to do."""
        waiters, self._waiters = self._waiters, []
        for wake in waiters:
            wake()

    def give_back(self, channel: Channel | None) -> None:
        """Return the tasks of `channel` (None: of all)."""
        with self.lock:
            back: dict[Channel, list[int]] = {}
            kept = []
            for at in self.queue:
                if channel is None or at[0] is channel:
                    back.setdefault(at[0], []).append(at[1][0])
                else:
                    kept.append(at)
            self.queue.clear()
            self.queue.extend(kept)
        for to, numbers in back.items():
            to.send(("returned", numbers))

    def drop(self, channel: Channel) -> None:
        """The submitter is gone: nobody waits for its tasks."""
        with self.lock:
            kept = [at for at in self.queue if at[0] is not channel]
            self.queue.clear()
            self.queue.extend(kept)

    def take_out(self, channel: Channel, number: int) -> Message | None:
        """The task of that number, which is not to begin; None if it has begun."""
        with self.lock:
            for at in self.queue:
                if at[0] is channel and at[1][0] == number:
                    self.queue.remove(at)
                    return at[1]
        return None
