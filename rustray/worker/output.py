"""`sys.stdout` and `sys.stderr` of a worker: each line goes to the submitter of the task that printed it."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable

from rustray.worker.context import Running, running


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
