"""One cell at its keeper: its tasks, its text, and who follows it."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import deque
from typing import Any

from rustray.driver.task_logs import ENTRY_COSTS
from rustray.driver.transcript import STREAMS
from rustray.jupyter.cell_state import DONE, FAILED, RUNNING, STOPPED, CellState
from rustray.jupyter.cell_tasks import CellRequest, CellTasks
from rustray.progress.counting import Expected, expected

LOG_CHARS = 1 << 20
"""What is kept of a cell's text: its end."""
TAIL_LINES = 3

Entry = tuple[str, str, int]
"""Kind and text of something shown, see `driver.output`, and the process that it comes from."""
Follower = tuple[Any, int]
"""The channel and number of a call that gets the text of a cell."""


class KeptCell:
    """One cell, its text, and who follows it.

    Attributes
    ----------
    given_up: whether the kernel that has waited for its results wants none any more.
    change_told: whether the loop is to look at it anyway. Of 100,000 tasks that end at once it is told once.
    """

    def __init__(self, request: CellRequest, tasks: CellTasks, loop: asyncio.AbstractEventLoop) -> None:
        self.request = request
        self.tasks = tasks
        self.started = time.time()
        self.why_ended = ""
        self.timer: asyncio.TimerHandle | None = None
        self.given_up = False
        self.change_told = False
        self.submitted = asyncio.Event()
        self.ended = asyncio.Event()
        self._loop = loop
        self._lock = threading.Lock()
        self._log: deque[Entry] = deque()
        self._chars = 0
        self._followers: list[Follower] = []
        self._flushing = False

    def show(self, kind: str, text: str, pid: int) -> None:
        """One of its tasks has printed or displayed something, see `driver.output`; from any thread."""
        with self._lock:
            self._log.append((kind, text, pid))
            self._chars += len(text) + ENTRY_COSTS
            while self._chars > LOG_CHARS and len(self._log) > 1:
                self._chars -= len(self._log.popleft()[1]) + ENTRY_COSTS
            for channel, number in self._followers:
                channel.log(kind, text, number, pid)
            if self._followers and not self._flushing:
                self._flushing = True
                self._loop.call_soon_threadsafe(self._flush)

    def _flush(self) -> None:
        with self._lock:
            self._flushing = False
            channels = {id(channel): channel for channel, _number in self._followers}
        for channel in channels.values():
            channel.flush()

    def add_follower(self, follower: Follower) -> None:
        """It gets all that has come so far, and then what comes: Rule 1 of `keeper`."""
        channel, number = follower
        with self._lock:
            for kind, text, pid in self._log:
                channel.log(kind, text, number, pid)
            self._followers.append(follower)
        channel.flush()

    def remove_follower(self, follower: Follower) -> None:
        """Its call is about to be answered."""
        with self._lock:
            self._followers.remove(follower)

    def log(self) -> list[Entry]:
        """What it has printed and displayed."""
        with self._lock:
            return list(self._log)

    def state(self, known: Expected) -> CellState:
        """See `CellState`; `known` is what is expected of tasks."""
        tasks, request = self.tasks, self.request
        now = time.time()
        count = tasks.count(time.monotonic(), known)
        left = expected(count, now - self.started, 0) if count.running else None
        how = RUNNING
        if self.ended.is_set():
            how = self.why_ended or (FAILED if tasks.failed else STOPPED if tasks.stopped else DONE)
        with self._lock:
            newest = list(itertools.islice(reversed(self._log), TAIL_LINES))
        last = "".join(text for kind, text, _pid in reversed(newest) if kind in STREAMS)
        return CellState(
            request.cell,
            request.name,
            how,
            count.total,
            count.done,
            count.failed,
            count.running,
            self.started,
            tasks.ended_at if self.ended.is_set() else None,
            request.wanted,
            request.elements is not None,
            request.background,
            bool(tasks.rows),
            tuple(last.splitlines()[-TAIL_LINES:]),
            request.origin,
            None if left is None else now + left.seconds,
            0.0 if left is None else left.error,
            count.cancelled,
            0.0 if left is None else left.overdue,
            tasks.failure,
        )
