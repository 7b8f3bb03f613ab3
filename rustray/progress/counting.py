"""What has become of some tasks, as their owner sees it: local facts, no question to the cluster."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from rustray.driver.entry import ERROR
from rustray.driver.refs import ObjectRef
from rustray.driver.tasks import KeepsOrder
from rustray.progress.forecast import Group

Expected = dict[str, tuple[float, float]]
"""By function: mean and standard deviation of a run in seconds."""


@dataclass(frozen=True)
class Count:
    """How things are.

    Attributes
    ----------
    done: have ended with a value. failed: without one. running: run on workers now, as far as this process knows.
    workers: processes that have some of them. groups: those that have not ended, of functions of which something is
        expected. unknown: how many others there are.
    """

    total: int
    done: int
    failed: int
    running: int
    workers: int
    groups: tuple[Group, ...]
    unknown: int

    @property
    def left(self) -> int:
        """How many have not ended."""
        return self.total - self.done - self.failed


class Counting:
    """See the module.

    Parameters
    ----------
    refs: each once.
    lock: that of the session's objects.

    Attributes
    ----------
    pending: the refs of those that have not ended.
    """

    def __init__(self, refs: Iterable[ObjectRef], lock: AbstractContextManager[Any]) -> None:
        self._lock = lock
        self.pending = list(refs)
        self._total = len(self.pending)
        self._failed = 0
        self._begun: dict[int, float] = {}

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
                self._failed += 1
        self.pending = pending
        tasks = {id(task): task for ref in pending if (task := ref._entry.task) is not None}
        waiting = Counter(task.target.name for task in tasks.values())
        running: dict[str, list[float]] = defaultdict(list)
        places = set()
        begun: dict[int, float] = {}
        with self._lock:  # what has been sent is little, however many wait
            for task in [task for task in tasks.values() if task.where is not None]:
                places.add(id(task.where))
                if _runs(task):
                    since = begun[task.number] = self._begun.get(task.number, now)
                    running[task.target.name].append(now - since)
                    waiting[task.target.name] -= 1
        self._begun = begun
        names = (waiting.keys() | running.keys()) & expected.keys()
        groups = tuple(Group(waiting[name], tuple(running[name]), *expected[name]) for name in sorted(names))
        known = sum(group.waiting + len(group.running) for group in groups)
        done = self._total - len(pending) - self._failed
        return Count(self._total, done, self._failed, len(begun), len(places), groups, len(pending) - known)


def _runs(task: Any) -> bool:
    """Whether a worker is at it, of a task that has been sent."""
    if isinstance(task.target, KeepsOrder):
        actor: Any = task.target
        return bool(actor.concurrent) or next(iter(actor.in_flight), None) == task.number
    return bool(task.where.page.started == task.number)
