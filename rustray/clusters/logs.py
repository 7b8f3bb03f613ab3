"""The logs of a cluster's processes: the last lines, and those that follow."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rustray.clusters.connection_file import Process
from rustray.driver.registry import log_files

FOLLOW_S = 0.3
MAX_BYTES = 8 << 20
"""Of one log that is read from its end."""


@dataclass(frozen=True)
class Log:
    """One log of a process.

    Parameters
    ----------
    process: its name. pid: its number.
    """

    process: str
    pid: int
    path: str

    @classmethod
    def of(cls, process: Process) -> list[Log]:
        """The logs of a process: see `log_files`."""
        return [cls(process.name, process.pid, path) for path in log_files(process.folder, process.role)]

    @property
    def title(self) -> str:
        """What precedes its lines."""
        return f"==> {self.process}, process {self.pid}: {self.path} <=="


def last_lines(path: str, count: int, end: int | None = None) -> list[str]:
    """The last lines of a file, or of its first `end` bytes; none where there is no such file (any more)."""
    try:
        with open(path, "rb") as file:
            if end is None:
                end = file.seek(0, os.SEEK_END)
            start = max(0, end - MAX_BYTES)
            file.seek(start)
            text = file.read(end - start).decode(errors="replace")
    except FileNotFoundError:
        return []
    return text.splitlines()[-count:] if count > 0 else []


def tail(logs: Sequence[Log], count: int, ends: Mapping[str, int] | None = None) -> str:
    """The last lines of each that has any, below its title; those before a position, where `ends` gives one."""
    parts = []
    for log in logs:
        if lines := last_lines(log.path, count, (ends or {}).get(log.path)):
            parts.append("\n".join([log.title, *lines]))
    return "\n\n".join(parts)


def follow(logs: Callable[[], Sequence[Log]], goes_on: Callable[[], bool], count: int = 0) -> Iterator[str]:
    """The last lines, then new ones as they are written, each log's below its title, until the cluster ends.

    Parameters
    ----------
    logs: those of the cluster now; new nodes may come.
    goes_on: asked between looks.
    count: how many last lines of each log come first.
    """
    known = logs()
    read = {log.path: _size(log.path) for log in known}
    if text := tail(known, count, read):
        yield text
    last = ""
    while True:
        ends = not goes_on()
        for log in logs():
            at = read.get(log.path, 0)
            text, read[log.path] = _from(log.path, at)
            if text:
                if log.path != last:
                    last = log.path
                    yield f"\n{log.title}"
                yield from text.splitlines()
        if ends:
            return
        time.sleep(FOLLOW_S)


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0


def _from(path: str, at: int) -> tuple[str, int]:
    """Whole lines from this position, and where they end."""
    try:
        with open(path, "rb") as file:
            file.seek(at)
            data = file.read(MAX_BYTES)
    except FileNotFoundError:
        return "", at
    whole = data[: data.rfind(b"\n") + 1]
    return whole.decode(errors="replace"), at + len(whole)
