"""How often a value lay where: histograms with fixed logarithmic bounds, so those of many processes can be added."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

SECONDS = tuple(float(f"{10 ** (k / 4 - 5):.3g}") for k in range(33))
"""Upper bounds, 10 us to 1000 s, four a decade: what is read out of it is right to a third or better."""
BYTES = tuple(float(1 << k) for k in range(20, 42))
"""Upper bounds, 1 MiB to 2 TiB, by twos."""

Sparse = list[tuple[int, int]]
"""(bucket, how often), of those that are not empty: as histograms travel."""


class Histogram:
    """Counts of values by bucket.

    Attributes
    ----------
    counts: one more than there are bounds; the last is of values above all.
    count, sum: of all values.
    """

    __slots__ = ("bounds", "count", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.count = 0
        self.sum = 0.0

    def add(self, value: float, times: int = 1) -> None:
        """The value was seen, so many times."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.count += times
        self.sum += value * times

    def merge(self, counts: Iterable[tuple[int, int]], total: float) -> None:
        """Add what another histogram of the same bounds has had, of this sum."""
        for at, times in counts:
            self.counts[at] += times
            self.count += times
        self.sum += total

    def sparse(self) -> Sparse:
        """The counts, as they travel."""
        return [(at, times) for at, times in enumerate(self.counts) if times]

    def take(self) -> tuple[Sparse, float]:
        """(counts, sum) since the last time."""
        taken = self.sparse(), self.sum
        self.counts = [0] * len(self.counts)
        self.count, self.sum = 0, 0.0
        return taken

    @property
    def mean(self) -> float | None:
        """None when nothing was seen."""
        return self.sum / self.count if self.count else None

    def quantile(self, fraction: float) -> float | None:
        """The value below which `fraction` of all lie, which are taken to be even within a bucket; None of nothing."""
        if not self.count:
            return None
        wanted = fraction * self.count
        for at, times in enumerate(self.counts):
            if times and wanted <= times:
                low = self.bounds[at - 1] if at else 0.0
                high = self.bounds[min(at, len(self.bounds) - 1)]
                return low + (high - low) * wanted / times
            wanted -= times
        return self.bounds[-1]
