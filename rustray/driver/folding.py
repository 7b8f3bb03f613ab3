"""What several workers print alike within a moment is shown once, and then told in a line. Pure.

Rule 1. The first of such lines is shown at once.
Rule 2. Those that follow within a window are counted; when it ends, one line tells how many there were.
Rule 3. A worker that repeats only itself is shown as it is: that is a loop of the user's, who wants to see it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

WINDOW_S = 1.0
MAX_LINES = 1000
"""Different lines that are looked out for at once; beyond them lines are shown as they come."""


class Source(NamedTuple):
    """Who has printed: the name of the function, and the process."""

    name: str
    pid: int


class Repeated(NamedTuple):
    """A line that came `times` more, from `workers` processes, one of which is `source`."""

    stream: str
    source: Source
    line: str
    times: int
    workers: int


@dataclass
class _Seen:
    until: float
    source: Source
    pids: set[int] = field(default_factory=set)
    count: int = 0


class Folding:
    """The lines of one cell; see the module."""

    def __init__(self) -> None:
        # By stream, function and line, in the order in which their windows end.
        self._seen: dict[tuple[str, str, str], _Seen] = {}

    @property
    def waits(self) -> bool:
        """Whether `due` has something to tell or to forget one day: a notebook has many cells, and each its lines."""
        return bool(self._seen)

    def shows(self, now: float, stream: str, source: Source, line: str) -> bool:
        """Whether this line is shown now; else it is counted. Ask `due` first."""
        if not line.strip():
            return True
        seen = self._seen.get((stream, source.name, line))
        if seen is None:
            if len(self._seen) < MAX_LINES:
                self._seen[stream, source.name, line] = _Seen(now + WINDOW_S, source, {source.pid})
            return True
        seen.pids.add(source.pid)
        if len(seen.pids) == 1:
            return True
        seen.source = source
        seen.count += 1
        return False

    def due(self, now: float) -> list[Repeated]:
        """What is to be told at `now`; with infinity, everything."""
        told = []
        for key, seen in list(self._seen.items()):
            if seen.until > now:
                break
            del self._seen[key]
            if seen.count:
                told.append(Repeated(key[0], seen.source, key[2], seen.count, len(seen.pids)))
        return told
