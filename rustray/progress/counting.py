"""What has become of some tasks, as their owner sees it: local facts, no question to the cluster."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from rustray.driver.entry import ERROR
from rustray.driver.explaining import is_running
from rustray.driver.refs import ObjectRef
from rustray.driver.target import KeepsOrder
from rustray.error_packing import read_summary
from rustray.progress.forecast import Forecast, Group, by_pace, forecast

Expected = dict[bytes, tuple[float, float]]
"""By scheduling class: mean and standard deviation of a run in seconds."""


@dataclass(frozen=True)
class Count:
    """How things are.

    Attributes
    ----------
    done: have ended with a value. failed: without one. cancelled: were cancelled, and are not among the failed.
    running: run on workers now, as far as this process knows.
    workers: processes that have some of them. groups: those that have not ended, of classes of which something is
        expected. unknown: how many others there are.
    """

    total: int
    done: int
    failed: int
    running: int
    workers: int
    groups: tuple[Group, ...]
    unknown: int
    cancelled: int = 0

    @property
    def ended(self) -> int:
        """How many have, in whatever way."""
        return self.done + self.failed + self.cancelled

    @property
    def left(self) -> int:
        """How many have not."""
        return self.total - self.ended


class Counting:
    """See the module.

    Parameters
    ----------
    refs: each once.
    lock: that of the session's objects.

    Attributes
    ----------
    pending: the refs of those that have not ended.
    keys: their scheduling classes, at the last look.
    """

    def __init__(self, refs: Iterable[ObjectRef], lock: AbstractContextManager[Any]) -> None:
        self._lock = lock
        self.pending = list(refs)
        self._total = len(self.pending)
        self._failed = 0
        self._cancelled = 0
        self._begun: dict[int, float] = {}
        self.keys: list[bytes] = []

    def look(self, now: float, expected: Expected) -> Count:
        """Count them.

        Parameters
        ----------
        now: monotonic seconds.
        """
        pending = []
        for ref in self.pending:
            if not ref._entry.ready:
                pending.append(ref)
            elif ref._entry.state == ERROR:
                if read_summary(ref._entry.payload).cancelled:
                    self._cancelled += 1
                else:
                    self._failed += 1
        self.pending = pending
        tasks = {id(task): task for ref in pending if (task := ref._entry.task) is not None}
        waiting = Counter(key for task in tasks.values() if (key := _class_of(task)))
        running: dict[bytes, list[float]] = defaultdict(list)
        places = set()
        begun: dict[int, float] = {}
        with self._lock:  # what has been sent is little, however many wait
            for task in [task for task in tasks.values() if task.where is not None]:
                places.add(id(task.where))
                if is_running(task):
                    since = begun[task.number] = self._begun.get(task.number, now)
                    if key := _class_of(task):
                        running[key].append(now - since)
                        waiting[key] -= 1
        self._begun = begun
        self.keys = list(waiting)
        known_keys = sorted(waiting.keys() & expected.keys())
        groups = tuple(Group(waiting[key], tuple(running[key]), *expected[key]) for key in known_keys)
        known = sum(group.waiting + len(group.running) for group in groups)
        done = self._total - len(pending) - self._failed - self._cancelled
        unknown = len(pending) - known
        counts = (self._total, done, self._failed, len(begun), len(places))
        return Count(*counts, groups, unknown, self._cancelled)


def expected(count: Count, seconds: float, before: int) -> Forecast | None:
    """When they will have ended: by what the cluster expects of them, else by their pace.

    Parameters
    ----------
    count: how they are now.
    seconds: for which they have been looked at.
    before: how many had ended before.
    """
    if not count.unknown and (found := forecast(count.groups, count.workers)) is not None:
        return found
    return by_pace(count.ended - before, count.left, seconds)


def _class_of(task: Any) -> bytes:
    """The key of its scheduling class; b"" of an actor's call, which has none."""
    return b"" if isinstance(task.target, KeepsOrder) else task.target.key
