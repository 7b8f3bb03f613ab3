"""What tasks print and display, in the driver: who takes it, and how a terminal shows it.

Text has a kind, "stdout" or "stderr"; of a display the kind is the type of a Jupyter message, as "display_data", and
the text is that message's content as JSON.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable

from rustray.driver.folding import Source
from rustray.driver.task import Task
from rustray.driver.task_logs import TaskLogs, plain_text
from rustray.driver.transcript import STREAMS, Shown, Transcript

Sink = Callable[[str, str, str, int, Task | None], None]
"""Called with kind, text, name of the function, pid, and the task if it is known."""


class Output:
    """Where the text of one session's tasks goes.

    Parameters
    ----------
    keeps: whether it is kept for `rustray.logs`.

    Attributes
    ----------
    sink: takes what tasks print, None to drop it.
    sinks_of: what takes the text of the tasks of one function in its place, by the function's key.
    logs: what is kept.
    """

    def __init__(self, sink: Sink | None, keeps: bool = False) -> None:
        self.sink = sink
        self.sinks_of: dict[bytes, Sink] = {}
        self.logs = TaskLogs()
        self._keeps = keeps

    def take(
        self, task: Task | None, kind: str, text: str, _number: int, pid: int, name: str | None = None
    ) -> None:
        """A task has printed; `name` is that of its function where it is not known which task."""
        if task is not None and self._keeps:
            self.logs.add(task.number, kind, text, pid)
        sink = self.sinks_of.get(task.function, self.sink) if task is not None else self.sink
        if sink is None:
            return
        try:
            sink(kind, text, name or (task.target.name if task is not None else "worker"), pid, task)
        except Exception as error:
            # A closed terminal or pipe, or a stream of the user's that fails: output ends, the session must not.
            self._drop(sink, error)

    def _drop(self, sink: Sink, error: Exception) -> None:
        if self.sink is sink:
            self.sink = None
        self.sinks_of = {key: other for key, other in self.sinks_of.items() if other is not sink}
        with contextlib.suppress(Exception):  # standard error may be closed as well; there is no other place
            print(
                f"rustray: what tasks print is shown no more, for it cannot be written: {error!r}",
                file=sys.stderr,
            )


class Terminal:
    """Shows what tasks print on the streams of this process."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a stream of the user's may end the session
        self._transcript: Transcript | None = None

    def take(self, kind: str, text: str, name: str, pid: int, _task: Task | None) -> None:
        """A task has printed."""
        with self._lock:
            if self._transcript is None:
                moves = sys.stderr is not None and sys.stderr.isatty()
                self._transcript = Transcript("; rustray.logs(ref) has more of it", moves)
            if kind not in STREAMS:
                kind, text = "stdout", plain_text(kind, text)
            self._show(self._transcript.take(time.monotonic(), kind, text, Source(name, pid)))

    def tick(self) -> None:
        """Show what was held back and is due."""
        if self._transcript is not None and self._transcript.waits:
            self._show_due(time.monotonic())

    def end(self) -> None:
        """Show all that was held back."""
        self._show_due(float("inf"))

    def _show_due(self, now: float) -> None:
        with self._lock:
            if self._transcript is not None:
                self._show(self._transcript.due(now))

    def _show(self, shown: Shown) -> None:
        for kind, text in shown:
            write(kind, text)


def write(kind: str, text: str) -> None:
    """Write to our stream of that name; of a display, its plain text."""
    if kind not in STREAMS:
        kind, text = "stdout", plain_text(kind, text)
    out = sys.stdout if kind == "stdout" else sys.stderr
    if out is None:
        return  # a program without a terminal (pythonw)
    out.write(text)
    out.flush()


terminal = Terminal()
print_log = terminal.take
