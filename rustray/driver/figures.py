"""What an owner knows of its tasks by function, told to the node twice a second: see `metrics.functions.Owned`.

What a task takes is measured where it runs (`worker.figures`); how long it waited, and what became of it in the end,
only its owner knows.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any

from rustray.metrics.functions import Owned
from rustray.metrics.histogram import Histogram

if TYPE_CHECKING:
    from rustray.driver.actor_channel import ActorChannel
    from rustray.driver.scheduling_class import SchedulingClass
    from rustray.driver.session import Session
    from rustray.driver.task import Task

TELL_EVERY_S = 0.5
CLASSES = 2_000
"""Classes that are looked at in turn each time, beside the busy ones: there may be one a function ever made."""
HELD_UP_SEEN = 10_000
"""Tasks that wait for arguments which are looked at one by one; of more, the others are taken to be like these."""


class Figures:
    """Of one function: a scheduling class, or a method of an actor.

    Attributes
    ----------
    waits: seconds from submission to start. failed, cancelled: tasks without a result. retried: runs in vain.
    """

    __slots__ = ("cancelled", "failed", "retried", "waits")

    def __init__(self) -> None:
        self.waits = Histogram()
        self.failed = self.cancelled = self.retried = 0

    def answered(self, first: Task, count: int, elapsed: float, now: float) -> None:
        """An answer has come, of `count` tasks that ran for `elapsed` seconds together.

        Answers are gathered for a millisecond, so what is said of the `first` of them is true of all.
        """
        self.waits.add(max(0.0, now - elapsed - first.submitted), count)

    def take(self) -> tuple[Any, ...] | None:
        """(waits, waited, failed, cancelled, retried) since the last time; None where nothing has come."""
        if not (self.waits.count or self.failed or self.cancelled or self.retried):
            return None
        taken = (*self.waits.take(), self.failed, self.cancelled, self.retried)
        self.failed = self.cancelled = self.retried = 0
        return taken


class _Present:
    def __init__(self) -> None:
        self.waiting = 0
        self.running: Counter[int] = Counter()
        self.suspended: Counter[int] = Counter()


class Telling:
    """Tells the node of all tasks of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = session.objects.lock
        self._due = 0.0
        self._had_tasks = False

    def tick(self, now: float) -> None:
        """Tell it if that is due."""
        if now >= self._due:
            self._due = now + TELL_EVERY_S
            self.tell()

    def tell(self) -> None:
        """Tell what has come since the last time, and how things are; nothing if neither is news."""
        session = self._session
        with self._lock:
            classes, channels = session.leases.some_classes(CLASSES), session.actors.channels()
            present: dict[str, _Present] = {}
            for target in classes:
                _add_class(present, target)
                if not target.idle:
                    target.ask_for_less()  # slots are asked for in powers of two while tasks come
            for channel in channels:
                _add_calls(present, channel)
            self._add_held_up(present)
            rows = [
                _row(name, at, ([], 0.0, 0, 0, 0))
                for name, at in present.items()
                if at.waiting or at.running or at.suspended
            ]
            has_tasks = bool(rows)
            of_classes = ((target.name, target.figures) for target in classes)
            of_methods = (
                (channel.method_name(method), figures)
                for channel in channels
                for method, figures in channel.figures.items()
            )
            for name, figures in (*of_classes, *of_methods):
                if (came := figures.take()) is not None:
                    rows.append(_row(name, _Present(), came))
        if rows or self._had_tasks:
            session.tell(("owned", rows))
        self._had_tasks = has_tasks

    def _add_held_up(self, present: dict[str, _Present]) -> None:
        held_up = self._session.arguments.held_up
        if not held_up:
            return
        seen = Counter(task.target.name for task in islice(held_up.values(), HELD_UP_SEEN))
        of_all = len(held_up) / seen.total()
        for name, count in seen.items():
            _at(present, name).waiting += round(count * of_all)


def _at(present: dict[str, _Present], name: str) -> _Present:
    at = present.get(name)
    if at is None:
        at = present[name] = _Present()
    return at


def _add_class(present: dict[str, _Present], target: SchedulingClass) -> None:
    if not (target.queue or target.leases):
        return
    at = _at(present, target.name)
    at.waiting += target.queued
    for lease in target.leases:
        if lease.in_flight:
            at.waiting += len(lease.in_flight) - 1
            (at.suspended if lease.suspended else at.running)[lease.node] += 1


def _add_calls(present: dict[str, _Present], channel: ActorChannel) -> None:
    unanswered = channel.unanswered
    if not unanswered:
        return
    # Which of many calls are under way only the actor knows: all count for the oldest one's method.
    oldest = next(iter(channel.in_flight.values()), None) or next(iter(channel.queue), None)
    if oldest is None:
        return
    at = _at(present, channel.method_name(oldest.function))
    running = len(channel.in_flight) if channel.concurrent else min(1, len(channel.in_flight))
    if running:
        at.running[channel.node] += running
    at.waiting += unanswered - running


def _row(name: str, at: _Present, came: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(Owned(name, at.waiting, list(at.running.items()), list(at.suspended.items()), *came))
