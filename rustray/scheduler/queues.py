"""A queue ordered by rank, whose ranks change all the time."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Rank = tuple[Any, ...]


class RankedQueue(Generic[T]):
    """The item of lowest rank comes first; `put` again moves an item.

    A heap with lazy deletion: an entry counts only while it is the item's latest, others are dropped when
    they come to the top. Put and first cost O(log n) amortized; the heap stays under 2n + 16 entries.
    Ranks of different items must differ, for items are not compared.
    """

    __slots__ = ("_heap", "_rank")

    def __init__(self) -> None:
        self._rank: dict[T, Rank] = {}
        self._heap: list[tuple[Rank, T]] = []

    def put(self, item: T, rank: Rank) -> None:
        if self._rank.get(item) == rank:
            return
        self._rank[item] = rank
        if len(self._heap) > 2 * len(self._rank) + 16:
            self._heap = [(r, i) for i, r in self._rank.items()]
            heapify(self._heap)
        else:
            heappush(self._heap, (rank, item))

    def discard(self, item: T) -> None:
        self._rank.pop(item, None)

    def first(self) -> T | None:
        heap = self._heap
        while heap:
            rank, item = heap[0]
            if self._rank.get(item) == rank:
                return item
            heappop(heap)
        return None

    def rank(self, item: T) -> Rank | None:
        return self._rank.get(item)

    def ranked(self) -> Iterator[T]:
        """All items in order. The first costs nothing extra, the rest a sort; do not put meanwhile."""
        first = self.first()
        if first is not None:
            yield first
            for item in sorted(self._rank, key=self._rank.__getitem__):
                if item is not first:
                    yield item

    def __contains__(self, item: T) -> bool:
        return item in self._rank

    def __len__(self) -> int:
        return len(self._rank)

    def __iter__(self) -> Iterator[T]:
        return iter(self._rank)
