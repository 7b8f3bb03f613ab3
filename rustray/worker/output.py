"""`sys.stdout` and `sys.stderr` of a worker: each line goes to the submitter of the task that printed it."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rustray.worker.context import Running, running

if TYPE_CHECKING:
    from rustray.worker.process import Worker


class TaskStream(io.TextIOBase):
    """A text stream that sends whole lines with the task they belong to.

    What a thread prints that no task started belongs to the task that runs in the main thread (`fallback`); what
    nobody can be asked for goes to `file`, the worker's log.
    """

    def __init__(self, stream: str, file: io.TextIOBase, fallback: Callable[[], Running | None]) -> None:
        self._stream = stream
        self._file = file
        self._fallback = fallback
        self._lock = threading.Lock()
        self._partial: dict[tuple[int, int], tuple[Running, str]] = {}

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
        return self._file.fileno()

    def write(self, text: str) -> int:
        task = running.get() or self._fallback()
        if task is None:
            self._file.write(text)
            self._file.flush()
            return len(text)
        key = (id(task.channel), task.number)
        with self._lock:
            _task, before = self._partial.pop(key, (task, ""))
            head, newline, rest = (before + text).rpartition("\n")
            if rest:
                self._partial[key] = (task, rest)
            if newline:
                task.channel.log(self._stream, head + newline, task.number)
        return len(text)

    def flush(self) -> None:
        """Send the lines that are complete; the rest of a line waits for its end or that of its task."""
        task = running.get() or self._fallback()
        if task is not None:
            task.channel.flush()

    def end_of(self, task: Running) -> None:
        """The task has ended: an unfinished line of its goes out too."""
        if not self._partial:
            return
        with self._lock:
            left = self._partial.pop((id(task.channel), task.number), None)
        if left is not None:
            task.channel.log(self._stream, left[1], task.number)


class Printing:
    """The output of one worker process, and of the tasks that its tasks have submitted."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def install(self) -> None:
        """Take what is printed in this process."""
        sys.stdout = TaskStream("stdout", sys.stdout, self._of_main)  # type: ignore[arg-type]
        sys.stderr = TaskStream("stderr", sys.stderr, self._of_main)  # type: ignore[arg-type]

    def _of_main(self) -> Running | None:
        """Whom text belongs to that no task of its own thread has printed."""
        worker = self._worker
        return worker.interruption.current or (worker.actor.background if worker.actor is not None else None)

    def end_of(self, task: Running) -> None:
        """The task has ended: what is left of its last line goes out."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TaskStream):
                stream.end_of(task)

    def pass_on(self, stream: str, text: str, name: str, pid: int, task: Any) -> None:
        """A nested task has printed: its text goes up to whoever submitted the task that submitted it."""
        channels = self._worker.channels
        parent = task.parent if task is not None else None
        if parent is not None and parent[0] in channels:
            channels[parent[0]].log(stream, text, parent[1])
            return
        current = self._of_main()
        if current is not None:
            current.channel.log(stream, text, current.number)
