"""What tasks print, in the driver: who takes it, and how it is shown."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

from rustray.driver.task import Task

Sink = Callable[[str, str, str, int, Task | None], None]
"""Called with stream ("stdout" or "stderr"), text, name of the function, pid, and the task if it is known."""


class Output:
    """Where the text of one session's tasks goes.

    Attributes
    ----------
    sink: takes what tasks print, None to drop it.
    sinks_of: what takes the text of the tasks of one function in its place, by the function's key.
    """

    def __init__(self, sink: Sink | None) -> None:
        self.sink = sink
        self.sinks_of: dict[bytes, Sink] = {}

    def take(
        self, task: Task | None, stream: str, text: str, _number: int, pid: int, name: str | None = None
    ) -> None:
        """A task has printed; `name` is that of its function where it is not known which task."""
        sink = self.sinks_of.get(task.function, self.sink) if task is not None else self.sink
        if sink is None:
            return
        try:
            sink(stream, text, name or (task.target.name if task is not None else "worker"), pid, task)
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


def print_log(stream: str, text: str, name: str, pid: int, _task: Task | None) -> None:
    """Write `text` (whole lines, or the unfinished last one of a task) to our stream of that name."""
    out = sys.stdout if stream == "stdout" else sys.stderr
    if out is None:
        return  # a program without a terminal (pythonw)
    out.write(prefixed(text, name, pid))
    out.flush()


def prefixed(text: str, name: str, pid: int) -> str:
    """`text` with the name of its task and the process in front of each line."""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return "".join(f"({name} pid={pid}) {line}\n" for line in lines)
