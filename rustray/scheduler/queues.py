"""A queue ordered by rank, whose ranks change all the time."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from math import inf
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Rank = tuple[Any, ...]


class RankedQueue(Generic[T]):
    """The item of lowest rank comes first; `put` again moves an item.

    A heap with lazy deletion: an entry counts only while it is the item's latest, others are dropped when
    they come to the top. Put and first cost O(log n) amortized; the heap stays under 2n + 16 entries.
    Of items with equal ranks the one that was put first comes first.
    """

    __slots__ = ("_heap", "_put", "ranks")

    def __init__(self) -> None:
        self.ranks: dict[T, Rank] = {}
        """The items, to look at."""
        self._heap: list[tuple[Rank, int, T]] = []
        self._put = 0

    def put(self, item: T, rank: Rank) -> None:
        ranks, heap = self.ranks, self._heap
        if ranks.get(item) == rank:
            return
        ranks[item] = rank
        if len(heap) > 2 * len(ranks) + 16:
            self._heap = [(r, n, i) for n, (i, r) in enumerate(ranks.items())]
            self._put = len(self._heap)
            heapify(self._heap)
        else:
            self._put += 1
            heappush(heap, (rank, self._put, item))

    def discard(self, item: T) -> None:
        self.ranks.pop(item, None)

    def first(self) -> T | None:
        heap, ranks = self._heap, self.ranks
        while heap:
            rank, _, item = heap[0]
            if ranks.get(item) is rank:
                return item
            heappop(heap)
        return None

    def next(self) -> float:
        """The first part of the lowest rank, which is a time; infinity if there is none."""
        return float(self._heap[0][0][0]) if self.first() is not None else inf

    def due(self, now: float) -> bool:
        """Whether that time has come."""
        return self.first() is not None and bool(self._heap[0][0][0] <= now)

    def take_due(self, now: float) -> T | None:
        """The first item, which leaves the queue, if its time has come."""
        first = self.first()
        if first is None or self._heap[0][0][0] > now:
            return None
        del self.ranks[first]
        return first

    def rank_of(self, item: T) -> float:
        """The first part of the item's rank, which is a time; infinity if it is not in the queue."""
        rank = self.ranks.get(item)
        return float(rank[0]) if rank is not None else inf

    def rank(self, item: T) -> Rank | None:
        return self.ranks.get(item)

    def ranked(self) -> Iterator[T]:
        """All items in order. The first costs nothing extra, the rest a sort; do not put meanwhile."""
        first = self.first()
        if first is not None:
            yield first
            for item in sorted(self.ranks, key=self.ranks.__getitem__):
                if item is not first:
                    yield item

    def __contains__(self, item: T) -> bool:
        return item in self.ranks

    def __len__(self) -> int:
        return len(self.ranks)

    def __iter__(self) -> Iterator[T]:
        return iter(self.ranks)
