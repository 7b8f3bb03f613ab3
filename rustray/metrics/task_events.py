"""What ran when and where, for pictures of it: as many events as there is a budget for, the rest counted."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from heapq import nlargest
from itertools import islice, takewhile
from typing import Any

BUDGET = 250
"""Events that a process, and a node, tells in half a second."""
KEEP = 60_000
"""Events kept: two minutes of one node at its full budget, more of what runs more slowly. About 15 MB."""
ANSWERED = 5_000
"""Events in one answer."""
NOT_OK_S = 1.0
"""Seconds that a task which failed or was cancelled counts for at least, where only some have room."""

OK, FAILED, CANCELLED = "ok", "failed", "cancelled"

Event = tuple[Any, ...]
"""(start in seconds since the epoch, seconds, node, worker's process id, function, outcome, task id in hexadecimal)"""


def notable(events: Iterable[Event], budget: int = BUDGET) -> list[Event]:
    """Those that take longest, and so are seen in a picture, and short ones that failed or were cancelled: at most
    `budget`, in the order in which they began.

    Parameters
    ----------
    events: tuples that begin with start and seconds, and end with outcome and task id.
    """
    chosen = nlargest(budget, events, key=_weight)
    return sorted(chosen, key=lambda event: event[0])


def _weight(event: Event) -> float:
    return float(event[1]) if event[-2] == OK else max(event[1], NOT_OK_S)


class TaskEvents:
    """A ring of events. Every task that has ended has a number here, whether its event is kept or not: so who has read
    up to a number learns how many he has missed.
    """

    def __init__(self, keep: int = KEEP) -> None:
        self._first = self._next = self._handed = 0
        self._ring: deque[tuple[int, Event]] = deque(maxlen=keep)

    def lead(self, first: int) -> None:
        """Number what comes from now on from `first`, which is greater than any that an earlier leader has given. So
        who has read what that one told is not told it again."""
        self._first = self._next = self._handed = first

    def add(self, events: Iterable[Event], skipped: int = 0) -> None:
        """Tasks have ended, `skipped` of them without an event."""
        for event in events:
            self._ring.append((self._next, event))
            self._next += 1
        self._next += skipped

    def hand(self) -> list[Event]:
        """The most notable of all since the last time."""
        since, self._handed = self._handed, self._next
        return notable(event for _number, event in self._newer(since))

    def since(self, cursor: int, limit: int = ANSWERED) -> dict[str, Any]:
        """What has come since: "next" (the cursor to ask with next), "events" (oldest first, at most `limit`) and
        "skipped", tasks in between of which there is no event; those before this head led are not counted.

        Parameters
        ----------
        cursor: 0 for all that there is; negative for so many of the newest.
        """
        if cursor < 0:
            found = list(islice(reversed(self._ring), min(-cursor, limit)))[::-1]
            return {"next": self._next, "events": [event for _number, event in found], "skipped": 0}
        if cursor > self._next:
            cursor = self._first  # of another cluster
        found = self._newer(cursor)
        after = self._next
        if len(found) > limit:
            after = found[limit][0]
            found = found[:limit]
        counted = sum(number >= self._first for number, _event in found)
        return {
            "next": after,
            "events": [event for _number, event in found],
            "skipped": max(0, after - max(cursor, self._first) - counted),
        }

    def _newer(self, cursor: int) -> list[tuple[int, Event]]:
        return list(takewhile(lambda item: item[0] >= cursor, reversed(self._ring)))[::-1]
