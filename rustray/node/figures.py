"""What the clients of a node tell of their tasks, gathered until the head is told: see `metrics.functions`."""

from __future__ import annotations

from typing import Any

from rustray.metrics.functions import Owned
from rustray.metrics.task_events import BUDGET, CANCELLED, FAILED, notable
from rustray.model.own_work import is_own_code
from rustray.node.pool import WorkerPool
from rustray.wire.frames import Message

Row = tuple[Any, ...]

STOPPED = ("cancelled", "owner", "job", "requeue", "evicted")
"""Ends of workers that somebody wanted, and not because anything had failed."""
HELD = 5_000
"""Rows that are kept while there is no head to be told; of more the newest."""


class Figures:
    """See the module.

    Attributes
    ----------
    ran, errors: runs of tasks that have ended on this node, and of them those that raised; RustRay's own work left out.
    """

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self.ran = self.errors = 0
        self._ran: list[Row] = []
        self._came: list[Row] = []
        self._present: dict[int, list[Row]] = {}
        """By owner, how things are with its tasks."""
        self._running: dict[int, list[Row]] = {}
        """By worker, (since, process id, function, task id) of tasks that it has run for a while."""
        self._changed = False
        self._events: list[Row] = []
        self._skipped = 0

    def on_ran(
        self, client: int, rows: list[Row], events: list[Row], skipped: int, running: list[Row]
    ) -> None:
        """A worker has run tasks: rows of `metrics.functions.Ran`, (start, seconds, function, outcome, task id) of
        some of them, and (since, function, task id) of those that it runs now, and has for a while."""
        worker = self._pool.workers.get(client)
        pid = worker.pid if worker is not None else 0
        for name, runs, _seconds, errors, *_more in rows:
            if is_own_code(name):
                continue
            self.ran += sum(times for _at, times in runs)
            self.errors += errors
        self._ran += rows
        del self._ran[:-HELD]
        self._events += [(start, seconds, pid, *fields) for start, seconds, *fields in events]
        beyond = max(0, len(self._events) - HELD)
        del self._events[:beyond]
        self._skipped += skipped + beyond
        if running:
            self._running[client] = [(since, pid, *fields) for since, *fields in running]
        elif self._running.pop(client, None) is not None:
            self._changed = True

    def on_owned(self, client: int, rows: list[Row]) -> None:
        """What an owner has: rows of `metrics.functions.Owned`."""
        present = []
        for row in map(Owned._make, rows):
            if row.waits or row.failed or row.cancelled or row.retried:
                self._came.append(tuple(row._replace(waiting=0, running=[], suspended=[])))
                del self._came[:-HELD]
            if row.waiting or row.running or row.suspended:
                present.append(tuple(row._replace(waits=[], waited=0.0, failed=0, cancelled=0, retried=0)))
        self._changed = True
        if present:
            self._present[client] = present
        else:
            self._present.pop(client, None)

    def on_exited(self, client: int, kind: str, now: float) -> None:
        """A worker's process has ended: what it was known to run has an event all the same, up to `now`, seconds since
        the epoch.

        Parameters
        ----------
        kind: how it ended, see `WorkerProcess.how_it_ended`.
        """
        outcome = CANCELLED if kind in STOPPED else FAILED
        for since, pid, function, task in self._running.get(client, ()):
            self._events.append((since, max(0.0, now - since), pid, function, outcome, task))

    def forget(self, client: int) -> None:
        """The client has ended, and all that it waited for and ran with it."""
        if (self._present.pop(client, None), self._running.pop(client, None)) != (None, None):
            self._changed = True

    def take(self) -> Message | None:
        """What the head is to be told; None when there is no news. How things are is told again and again, for another
        head may lead."""
        if not (self._ran or self._events or self._present or self._running or self._changed or self._skipped):
            return None
        owned = self._came + [row for rows in self._present.values() for row in rows]
        events = notable(self._events)
        skipped = self._skipped + len(self._events) - len(events)
        running = sorted(row for rows in self._running.values() for row in rows)[:BUDGET]
        message = ("figures", self._ran, owned, events, skipped, running)
        self._ran, self._came, self._events, self._skipped, self._changed = [], [], [], 0, False
        return message
