"""Samples of the last minutes in bounded memory: eight bytes a number, where dicts would take ten times that."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping

KEEP = 600
"""Samples kept: five minutes of two a second."""


class Series:
    """A ring of the last `keep` samples, each a number for every name. Times go up.

    Parameters
    ----------
    names: of the numbers, "time" (seconds since the epoch) among them.
    """

    def __init__(self, names: tuple[str, ...], keep: int = KEEP) -> None:
        self._columns = {name: array("d") for name in names}
        self._keep = keep
        self._next = 0
        """Where the next sample goes, once there are `keep`."""

    def __len__(self) -> int:
        return len(self._columns["time"])

    def add(self, sample: Mapping[str, float]) -> None:
        """The newest sample. KeyError where a number is missing."""
        if len(self) < self._keep:
            for name, column in self._columns.items():
                column.append(sample[name])
            return
        for name, column in self._columns.items():
            column[self._next] = sample[name]
        self._next = (self._next + 1) % self._keep

    @property
    def latest(self) -> dict[str, float]:
        """The newest sample; nothing where there is none."""
        at = next(self._newest_first(), None)
        return {} if at is None else {name: column[at] for name, column in self._columns.items()}

    def since(self, time: float) -> list[dict[str, float]]:
        """The samples that are newer than `time`, oldest first."""
        times = self._columns["time"]
        newer = []
        for at in self._newest_first():
            if times[at] <= time:
                break
            newer.append({name: column[at] for name, column in self._columns.items()})
        return newer[::-1]

    def _newest_first(self) -> Iterator[int]:
        for back in range(1, len(self) + 1):
            yield (self._next - back) % len(self)
