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
    """The waits of one worker process.

    Attributes
    ----------
    waits: one for each of its threads that waits. Changed under the lock of the inbox.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.waits: set[object] = set()

    @contextlib.contextmanager
    def lend(self) -> Iterator[None]:
        """While a task waits: what has not begun goes back, submitters send no more, the node uses the slot."""
        if running.get() is None and threading.current_thread() is not threading.main_thread():
            # A thread that a task has started, and may leave behind: as in Ray, its wait is not the task's.
            yield
            return
        shield = self._worker.session.reactor.shield  # the task may be cancelled at any moment
        wait = object()
        try:
            with shield:
                self._begin(wait)
            yield
        finally:
            with shield:
                self._end(wait)

    def settle(self) -> None:
        """The task has ended, so nobody waits any more: also where it was interrupted right before that was noted."""
        for wait in tuple(self.waits):
            self._end(wait)

    # Told under the lock: of two threads of an actor one may begin to wait when the other ends.

    def _begin(self, wait: object) -> None:
        worker = self._worker
        with worker.inbox.lock:
            self.waits.add(wait)
            if len(self.waits) > 1:
                return
            if worker.actor is None:
                worker.inbox.give_back(None)
                for channel in list(worker.channels.values()):
                    channel.send(("blocked",))
            worker.flush()
            worker.session.tell(("blocked",))

    def _end(self, wait: object) -> None:
        worker = self._worker
        with worker.inbox.lock:
            if wait not in self.waits:
                return  # it never began, or its task has ended
            self.waits.discard(wait)
            if self.waits:
                return
            worker.session.tell(("unblocked",))
            if worker.actor is None:
                for channel in list(worker.channels.values()):
                    channel.send(("unblocked",))
