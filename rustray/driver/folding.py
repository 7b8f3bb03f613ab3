"""What workers print again and again within a moment is shown once or some times, and then told in a line. Pure.

Rule 1. The first of lines that several workers print alike is shown at once.
Rule 2. Those that follow within a window are counted; when it ends, one line tells how many there were.
Rule 3. A worker that repeats only itself is a loop of the user's, who wants to see it: `ALONE` times. The others are
        told when it prints something else, or when the window ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

WINDOW_S = 1.0
ALONE = 20
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
    shown: int = 1


_Key = tuple[str, str, str]
"""Stream, function and line."""


class Folding:
    """The lines of one cell; see the module."""

    def __init__(self) -> None:
        self._seen: dict[_Key, _Seen] = {}  # in the order in which their windows end
        self._latest: dict[Source, _Key] = {}
        """The lines that were counted last, of those that one worker repeats."""

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
            if seen.shown < ALONE:
                seen.shown += 1
                return True
            self._latest[source] = (stream, source.name, line)
        seen.source = source
        seen.count += 1
        return False

    def broken_off(self, stream: str, source: Source, line: str) -> Repeated | None:
        """What is to be told before this line of a worker: that it has repeated another one."""
        key = self._latest.get(source)
        if key is None or key == (stream, source.name, line):
            return None
        del self._latest[source]
        seen = self._seen.get(key)
        if seen is None or len(seen.pids) > 1:
            return None  # told when the window ends
        count, seen.count = seen.count, 0
        return Repeated(key[0], source, key[2], count, 1) if count else None

    def due(self, now: float) -> list[Repeated]:
        """What is to be told at `now`; with infinity, everything."""
        told = []
        for key, seen in list(self._seen.items()):
            if seen.until > now:
                break
            del self._seen[key]
            for source in [source for source, latest in self._latest.items() if latest == key]:
                del self._latest[source]
            if seen.count:
                told.append(Repeated(key[0], seen.source, key[2], seen.count, len(seen.pids)))
        return told
