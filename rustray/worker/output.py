"""What is printed and displayed in a worker: it goes to the submitter of the task that did it.

A task that prints more than anybody reads is not to fill the network and its submitter's memory: beyond an allowance
its text goes to the worker's log alone, and a line says so.
"""

from __future__ import annotations

import io
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rustray.driver.flood import SENT, Flood, counted
from rustray.worker import displays
from rustray.worker.context import Running, running
from rustray.worker.log import WorkerLog
from rustray.worker.open_line import OpenLine

if TYPE_CHECKING:
    from rustray.worker.process import Worker

LOG_CHARS = 256 << 20
"""Characters of floods that a worker writes to its log; those that follow are lost."""


class _Printed:
    """What one task prints on one stream."""

    def __init__(self, task: Running) -> None:
        self.task = task
        self.line = OpenLine()
        self.flood: Flood[None] = Flood(SENT)


class TaskStream(io.TextIOBase):
    """A text stream that sends whole lines with the task they belong to.

    What a thread prints that no task started belongs to the task that runs in the main thread (`fallback`); what
    nobody can be asked for goes to the worker's log.
    """

    def __init__(self, stream: str, fd: int, log: WorkerLog, fallback: Callable[[], Running | None]) -> None:
        self._stream = stream
        self._fd = fd
        self._log = log
        self._log_left = LOG_CHARS
        self._fallback = fallback
        self._lock = threading.RLock()  # a signal's handler may print
        self._tasks: dict[tuple[int, int], _Printed] = {}

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        return "replace"

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._fd

    def write(self, text: str) -> int:
        task = running.get() or self._fallback()
        if task is None:
            self._log.write(text)
        else:
            self.write_for(task, text)
        return len(text)

    def write_for(self, task: Running, text: str) -> None:
        """A task has printed."""
        key = (id(task.channel), task.number)
        with self._lock:
            printed = self._tasks.get(key)
            if printed is None:
                printed = self._tasks[key] = _Printed(task)
            whole = printed.line.feed(text)
            if whole:
                self._send(printed, whole)

    def flush(self) -> None:
        """Send what there is, the beginning of an unfinished line too; whoever prints it wants it seen."""
        task = running.get() or self._fallback()
        if task is not None:
            self.flush_of(task)

    def flush_of(self, task: Running) -> None:
        """The same for a task."""
        with self._lock:
            printed = self._tasks.get((id(task.channel), task.number))
            if printed is not None and (part := printed.line.part(time.monotonic())):
                self._send(printed, part)
        task.channel.flush()

    def tick(self, now: float) -> None:
        """About ten times a second while a task runs: what stays unfinished is sent, and ends of floods are told."""
        if not self._tasks:
            return
        with self._lock:
            for printed in self._tasks.values():
                if part := printed.line.settled(now):
                    self._send(printed, part)
                if printed.flood.waits:
                    self._tell(printed, now)

    def end_of(self, task: Running) -> None:
        """The task has ended: an unfinished line of its goes out too."""
        if not self._tasks:
            return
        with self._lock:
            printed = self._tasks.pop((id(task.channel), task.number), None)
            if printed is not None:
                if part := printed.line.end():
                    self._send(printed, part)
                self._tell(printed, float("inf"))

    def _send(self, printed: _Printed, text: str) -> None:
        task = printed.task
        if printed.flood.shows(time.monotonic(), None, len(text), text.count("\n")):
            task.channel.log(self._stream, text, task.number)
        elif self._log_left > 0:
            self._log_left -= len(text)
            self._log.write(text)

    def _tell(self, printed: _Printed, now: float) -> None:
        left = printed.flood.due(now)
        if left is None:
            return
        lost = "" if self._log_left > 0 else ", which is full"
        where = f"the worker's log, {self._log.path()} on {socket.gethostname()}{lost}"
        verb = "is" if left.lines == 1 else "are"
        told = f"... {counted(left.lines, left.chars)} {verb} only in {where} ...\n"
        printed.task.channel.log("stderr", told, printed.task.number)


class Printing:
    """The output of one worker process, and of the tasks that its tasks have submitted."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._displays: Flood[None] = Flood(displays.SENT)
        self._log = log = WorkerLog(1)
        self._streams = (
            TaskStream("stdout", 1, log, self._of_main),
            TaskStream("stderr", 2, log, self._of_main),
        )

    def install(self) -> None:
        """Take what is printed and displayed in this process."""
        sys.stdout, sys.stderr = self._streams
        displays.install(self.publish)
        self._worker.session.publish = self.publish

    def _of_main(self) -> Running | None:
        """Whom text belongs to that no task of its own thread has printed."""
        worker = self._worker
        return worker.interruption.current or (worker.actor.background if worker.actor is not None else None)

    def tick(self, now: float) -> None:
        """Called about ten times a second while a task runs."""
        task = self._of_main()
        if task is not None:
            self._take_others(task)
        for stream in self._streams:
            stream.tick(now)

    def publish(self, kind: str, content: dict[str, Any], task: Running | None = None) -> None:
        """Something is displayed: the type and content of a Jupyter message; by the task that runs here if none is
        given."""
        task = task or running.get() or self._of_main()
        if task is None:
            return  # nobody looks
        self._take_others(task)
        for stream in self._streams:
            stream.flush_of(task)
        text = displays.packed(content)
        if not self._displays.shows(time.monotonic(), None, len(text)):
            text = displays.without(content, "too many come at once")
        task.channel.log(kind, text, task.number)
        task.channel.flush()

    def show_figures(self, task: Running) -> None:
        """The user's code has returned: figures that it has left open are shown, and closed."""
        plots = sys.modules.get("rustray.worker.plots")
        if plots is None:
            return  # matplotlib is not used here
        try:
            plots.show_open(task)
        except Exception:  # of matplotlib or the user's artists: told where the figure would be
            task.channel.log("stderr", traceback.format_exc(), task.number)

    def end_of(self, task: Running) -> None:
        """The task has ended: what is left of its last line goes out, and its figures."""
        self._take_others(task)
        self.show_figures(task)
        for stream in self._streams:
            stream.end_of(task)

    def _take_others(self, task: Running) -> None:
        """What has been printed past Python since the last time is taken for the task's."""
        text = self._log.others()
        if text:
            self._streams[0].write_for(task, text)

    def pass_on(self, kind: str, text: str, name: str, pid: int, task: Any) -> None:
        """A nested task has printed: its text goes up to whoever submitted the task that submitted it."""
        channels = self._worker.channels
        parent = task.parent if task is not None else None
        if parent is not None and parent[0] in channels:
            channels[parent[0]].log(kind, text, parent[1], pid)
            return
        current = self._of_main()
        if current is not None:
            current.channel.log(kind, text, current.number, pid)
