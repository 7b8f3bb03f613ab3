"""What tasks print and display, in the driver: who takes it, and how a terminal shows it.

Text has a kind, "stdout" or "stderr"; of a display the kind is the type of a Jupyter message, as "display_data", and
the text is that message's content as JSON.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator

from rustray.driver import bars
from rustray.driver.folding import Source
from rustray.driver.redrawing import Shown
from rustray.driver.task import Task
from rustray.driver.task_logs import TaskLogs, plain_text
from rustray.driver.transcript import STREAMS, Transcript

FILE_EVERY_S = 60.0
"""Between two lines of a bar in a file."""

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
    bars: those of tasks that have not ended.
    """

    def __init__(self, sink: Sink | None, keeps: bool = False) -> None:
        self.sink = sink
        self.sinks_of: dict[bytes, Sink] = {}
        self.logs = TaskLogs()
        self.bars = bars.Open()
        self._keeps = keeps

    def take(
        self, task: Task | None, kind: str, text: str, _number: int, pid: int, name: str | None = None
    ) -> None:
        """A task has printed; `name` is that of its function where it is not known which task."""
        if task is not None and self._keeps:
            self.logs.add(task.number, kind, text, pid)
        if task is not None and (bar := bars.read(kind, text)) is not None:
            self.bars.take(bar, task)
        self._show(task, kind, text, pid, name)

    def tick(self) -> None:
        """End the bars of tasks that have ended without a word."""
        if self.bars:
            for task in {id(task): task for task in self.bars.whose() if task.ended}.values():
                for text in self.bars.end(task):
                    self._show(task, bars.UPDATE, text, 0, None)

    def _show(self, task: Task | None, kind: str, text: str, pid: int, name: str | None) -> None:
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
        self._bars = bars.Block()
        self._due: dict[str, float] = {}
        """By bar, when a file gets its next line, in monotonic seconds."""

    def take(self, kind: str, text: str, name: str, pid: int, _task: Task | None) -> None:
        """A task has printed."""
        if (bar := bars.read(kind, text)) is not None:
            self.show_bar(bar.id, bar.text, bar.over)
            return
        with self._lock:
            if self._transcript is None:
                self._transcript = Transcript("; rustray.logs(ref) has more of it", _is_terminal())
            if kind not in STREAMS:
                kind, text = "stdout", plain_text(kind, text)
            self._show(self._transcript.take(time.monotonic(), kind, text, Source(name, pid) if name else None))

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
        if not shown:
            return
        with self.without_bars():
            for kind, text in shown:
                write(kind, text)

    # -- bars ------------------------------------------------------------------------------------------

    def show_bar(self, id: str, text: str, over: bool) -> None:
        """A bar has another text, or is over. Where lines cannot be erased it has one a minute, and one at its end."""
        with self._lock:
            if _is_terminal():
                write("stderr", self._bars.take(id, text, over, _columns()))
                return
            now = time.monotonic()
            due = self._due.setdefault(id, now + FILE_EVERY_S)
            if over or now >= due:
                write("stderr", f"{text}\n")
                self._due[id] = now + FILE_EVERY_S
            if over:
                del self._due[id]

    @contextlib.contextmanager
    def without_bars(self) -> Iterator[None]:
        """Around what is written to the terminal."""
        with self._lock:
            if not self._bars:
                yield
                return
            write("stderr", self._bars.erase())
            try:
                yield
            finally:
                write("stderr", self._bars.draw(_columns()))


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _columns() -> int:
    return shutil.get_terminal_size().columns


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
