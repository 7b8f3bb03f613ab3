"""Output that comes faster than anybody reads: most of it is left out, and told. Pure.

A cell has an allowance, which fills up slowly. When it is used up, lines are counted and not shown until a good part
of it is there again. Now and then, and when the flood is over, it is told how many there were, with the last of them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Left(NamedTuple, Generic[T]):
    """What was not shown: number of lines, characters in them, and the last lines."""

    lines: int
    chars: int
    last: list[T]


@dataclass(frozen=True)
class Pace:
    """How much may come.

    Parameters
    ----------
    burst: characters at once; a line counts for `line` more than it has.
    per_second: what is added to what may come.
    tell_s: seconds between two reports of a flood that goes on.
    last: how many of the last lines a report has.
    """

    burst: float
    per_second: float
    line: int = 0
    tell_s: float = 2.0
    last: int = 0


SHOWN = Pace(burst=400_000, per_second=4_000, line=100, last=10)
"""In a cell: about 3,000 lines at once, then 30 a second. A page that is longer is slow, and nobody reads it."""
SENT = Pace(burst=4 << 20, per_second=256 << 10)
"""From one task: more than a cell shows, since the log of the task keeps more."""
QUIET_S = 0.3
"""A flood is over when nothing was left out for so long."""
OPENS_AT = 0.5
"""The part of the allowance that must be there before lines are shown again."""


class Flood(Generic[T]):
    """The allowance of one cell or task, and what was left out."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._allowance = pace.burst
        self._since = 0.0
        self._closed = False
        self._lines = self._chars = 0
        self._last: deque[T] = deque(maxlen=pace.last)
        self._left_at = self._tell_at = 0.0

    @property
    def waits(self) -> bool:
        """Whether `due` has something to tell one day."""
        return self._lines > 0

    def shows(self, now: float, line: T, chars: int, lines: int = 1, cost: int | None = None) -> bool:
        """Whether `line` of `chars` characters is shown; else it is counted, as `lines` lines.

        Parameters
        ----------
        cost: what it takes of the allowance instead of `chars`.
        """
        pace = self._pace
        if self._since < now:
            filled = self._allowance + (now - self._since) * pace.per_second
            self._allowance, self._since = min(pace.burst, filled), now
        if self._closed and self._allowance >= OPENS_AT * pace.burst and not self._lines:
            self._closed = False
        takes = max(0, (chars if cost is None else cost) + pace.line * lines)
        if not self._closed and takes <= self._allowance:
            self._allowance -= takes
            return True
        if not self._closed:
            self._closed, self._tell_at = True, now + pace.tell_s
        if not self._lines:
            self._tell_at = max(self._tell_at, now + pace.tell_s)
        self._lines += max(1, lines)
        self._chars += chars
        self._last.append(line)
        self._left_at = now
        return False

    def due(self, now: float) -> Left[T] | None:
        """What is to be told at `now`, None for nothing; with infinity, all."""
        if not self._lines or (now < self._tell_at and now < self._left_at + QUIET_S):
            return None
        left = Left(self._lines, self._chars, list(self._last))
        self._lines = self._chars = 0
        self._last.clear()
        return left


def counted(lines: int, chars: int, what: str = "line") -> str:
    """As "40,123 lines (1.2 MB)"."""
    size = f"{chars / 1e6:.1f} MB" if chars >= 1e6 else f"{max(1, chars // 1000)} kB"
    return f"{lines:,} {what}{'' if lines == 1 else 's'} ({size})"
