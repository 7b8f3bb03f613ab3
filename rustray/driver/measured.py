"""The run times of a scheduling class, as its client measures them, gathered until they are worth telling."""

from __future__ import annotations

TELL_EVERY_S = 0.5
NOTABLE = 0.2
"""By how much of what was told the mean has to differ to be told again."""


class Measured:
    """What has been measured of one class since the node was told last.

    Attributes
    ----------
    count: tasks. seconds: their time in all. squares: the sum of the squares of their times.
    """

    __slots__ = ("_at", "_mean", "_told", "count", "seconds", "squares")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.squares = 0.0
        self._told = 0
        self._mean = 0.0
        self._at = float("-inf")

    def take(self, now: float) -> tuple[int, float, float] | None:
        """(count, seconds, squares) if that is news: the first tasks, twice as many as were told of, or of another
        length; None else, and if the last news is younger than `TELL_EVERY_S`."""
        if not self.count or now - self._at < TELL_EVERY_S:
            return None
        mean = self.seconds / self.count
        if self.count < self._told and abs(mean - self._mean) <= NOTABLE * self._mean:
            return None
        self._at = now
        return self.take_all()

    def take_all(self) -> tuple[int, float, float] | None:
        """The same, news or not; None when there is nothing."""
        if not self.count:
            return None
        told = self.count, self.seconds, self.squares
        self._mean = self.seconds / self.count
        self._told += self.count
        self.count, self.seconds, self.squares = 0, 0.0, 0.0
        return told
