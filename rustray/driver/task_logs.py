"""What each task of this process has printed and displayed, to be shown again: `rustray.logs`."""

from __future__ import annotations

import json
import threading
from collections import deque
from typing import Any, NamedTuple

from rustray.driver.flood import counted
from rustray.driver.transcript import STREAMS, UNENDED

TASK_CHARS = 1 << 20
"""Characters kept of a task: the end of what it has printed,"""
ALL_CHARS = 32 << 20
"""and of all tasks: what the oldest have printed goes first."""
ENTRY_COSTS = 100


class LogEntry(NamedTuple):
    """Printed text, or a display.

    Parameters
    ----------
    kind: "stdout", "stderr", or a type of Jupyter's messages, as "display_data".
    text: what was printed, or the message's content as JSON.
    pid: the process.
    """

    kind: str
    text: str
    pid: int


class TaskLog:
    """What one task has printed and displayed.

    Parameters
    ----------
    entries: in their order.
    lost: lines and characters at the beginning that are not kept.

    In a notebook it is shown as it was in the cell, with its displays. `str()` gives the text alone.
    """

    def __init__(self, entries: list[LogEntry], lost: tuple[int, int] = (0, 0)) -> None:
        self.entries = entries
        self.lost = lost

    def __str__(self) -> str:
        return "".join(
            entry.text.replace(UNENDED, "\n") if entry.kind in STREAMS else plain_text(entry.kind, entry.text)
            for entry in [*self._note(), *self.entries]
        )

    def __repr__(self) -> str:
        return str(self).rstrip("\n") or "(it has printed nothing)"

    def _note(self) -> list[LogEntry]:
        lines, chars = self.lost
        verb = "is" if lines == 1 else "are"
        return [LogEntry("stderr", f"... {counted(lines, chars)} before this {verb} not kept ...\n", 0)] * bool(
            lines
        )

    def _ipython_display_(self) -> None:
        from rustray.driver.cells import writer

        write = writer()
        for kind, text, _pid in [*self._note(), *self.entries] or [LogEntry("stdout", f"{self!r}\n", 0)]:
            write(kind, text)


class _Kept:
    def __init__(self) -> None:
        self.entries: deque[LogEntry] = deque()
        self.chars = 0
        self.lost_lines = self.lost_chars = 0

    def drop_first(self) -> int:
        entry = self.entries.popleft()
        size = len(entry.text) + ENTRY_COSTS
        self.chars -= size
        self.lost_lines += max(1, entry.text.count("\n")) if entry.kind in STREAMS else 1
        self.lost_chars += len(entry.text)
        return size


class TaskLogs:
    """The logs of the tasks of one session, by task number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[int, _Kept] = {}
        self._chars = 0

    def add(self, number: int, kind: str, text: str, pid: int) -> None:
        """A task has printed; whole messages are kept, so a log may be one of them longer than its bound."""
        size = len(text) + ENTRY_COSTS
        with self._lock:
            kept = self._kept.setdefault(number, _Kept())
            kept.entries.append(LogEntry(kind, text, pid))
            kept.chars += size
            self._chars += size
            while kept.chars > TASK_CHARS and len(kept.entries) > 1:
                self._chars -= kept.drop_first()
            while self._chars > ALL_CHARS and len(self._kept) > 1:
                self._chars -= self._kept.pop(next(iter(self._kept))).chars

    def of(self, number: int) -> TaskLog:
        """The log of a task, an empty one where nothing is kept."""
        with self._lock:
            kept = self._kept.get(number)
            if kept is None:
                return TaskLog([])
            return TaskLog(list(kept.entries), (kept.lost_lines, kept.lost_chars))


def plain_text(kind: str, content: str) -> str:
    """What a terminal shows of a display: its plain text as a line; "" where nothing new is shown."""
    if kind != "display_data":
        return ""  # of what is there already
    data: dict[str, Any] = json.loads(content).get("data", {})
    plain = data.get("text/plain")
    return f"{plain}\n" if plain else f"<{', '.join(data)}>\n"
