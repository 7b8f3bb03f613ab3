"""A worker that waits for other tasks lends its slot: nested tasks never wait for the slots of their parents."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rustray.worker.context import running

if TYPE_CHECKING:
    from rustray.worker.process import Worker


class Lending:
    """Counts the waits of one worker process.

    Attributes
    ----------
    waits: how many of its threads wait. Changed under the lock of the inbox.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.waits = 0

    @contextlib.contextmanager
    def lend(self) -> Iterator[None]:
        """While a task waits: what has not begun goes back, submitters send no more, the node uses the slot."""
        if running.get() is None and threading.current_thread() is not threading.main_thread():
            # A thread that a task has started, and may leave behind: as in Ray, its wait is not the task's.
            yield
            return
        worker = self._worker
        inbox = worker.inbox
        with inbox.lock:
            self.waits += 1
            first = self.waits == 1
        if first:
            if worker.actor is None:
                inbox.give_back(None)
                for channel in list(worker.channels.values()):
                    channel.send(("blocked",))
            worker.flush()
            worker.session.tell(("blocked",))
        try:
            yield
        finally:
            with inbox.lock:
                self.waits -= 1
                last = self.waits == 0
            if last:
                worker.session.tell(("unblocked",))
                if worker.actor is None:
                    for channel in list(worker.channels.values()):
                        channel.send(("unblocked",))
