"""Stopping tasks of one's own: what has not begun is dropped, what runs is interrupted, what goes on is killed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rustray.driver.target import KeepsOrder
from rustray.driver.task import Task

if TYPE_CHECKING:
    from rustray.driver.session import Session

KIND_S = 1.0
"""Seconds that interrupted tasks have to end before their workers are killed,"""
KILL_S = 0.8
"""and to be gone after that."""
LOOK_S = 0.01


@dataclass(frozen=True)
class Stopped:
    """How many tasks were dropped before they began, ended when interrupted, were killed, and go on nevertheless."""

    dropped: int = 0
    interrupted: int = 0
    killed: int = 0
    left: int = 0

    def __str__(self) -> str:
        parts = {
            "not begun": self.dropped,
            "interrupted": self.interrupted,
            "killed": self.killed,
            "still running": self.left,
        }
        count = sum(parts.values())
        if not count:
            return "nothing of it was running any more"
        told = [f"{number:,} {what}" for what, number in parts.items() if number]
        what = f"{count:,} task{'' if count == 1 else 's'} stopped"
        return f"{what}: {', '.join(told)}" if len(told) > 1 or self.left else f"{what} ({told[0]})"


class Stop:
    """The stopping of some tasks, step by step: `interrupt`, a while later `kill`, then `outcome`."""

    def __init__(self, session: Session, tasks: Iterable[Task]) -> None:
        self._session = session
        with session.objects.lock:
            self._tasks = [task for task in tasks if not task.ended]
            self._sent = {task: task.where for task in self._tasks if task.where is not None}
        self._begun: set[int] = set()
        self._note_begun()
        self._told: set[int] = set()
        self._killed: set[int] = set()

    def interrupt(self) -> None:
        """Drop or interrupt each of them that was not before.

        First none that waits can begin any more: else each interrupted one would make room for the next.
        """
        lock, tasks = self._session.objects.lock, self._session.tasks
        with self._session.reactor.shield:  # what is taken out of its queue must fail
            new = [task for task in self._tasks if task.number not in self._told]
            waiting = tasks.take_from_queues(new)
            self._told.update([task.number for task in waiting])
            try:
                for task in new:
                    if task.number in self._told:
                        continue
                    self._told.add(task.number)
                    with lock:
                        if task.where is not None:
                            self._sent[task] = task.where
                        tasks.cancel(task, False, True)
            finally:
                tasks.drop(waiting)

    def kill(self) -> None:
        """Have the workers killed of those that run on. Calls of actors are left to end: an actor is not killed."""
        for task in self.left():
            if not isinstance(task.target, KeepsOrder):
                self._killed.add(task.number)
                self._session.tasks.cancel(task, True, True)

    def left(self) -> list[Task]:
        """Those that have not ended."""
        self._note_begun()
        return [task for task in self._tasks if not task.ended]

    def _note_begun(self) -> None:
        # Not once and for all: one that is on its way to a worker may begin before the worker hears of the stop.
        with self._session.objects.lock:
            self._begun |= {task.number for task, place in self._sent.items() if _has_begun(task, place)}

    def outcome(self) -> Stopped:
        """What became of them."""
        left = {task.number for task in self.left()}
        ended = {task.number for task in self._tasks} - left
        killed = len(ended & self._killed)
        interrupted = len(ended & self._begun - self._killed)
        return Stopped(len(ended) - killed - interrupted, interrupted, killed, len(left))


def stop_and_wait(session: Session, tasks: Sequence[Task]) -> Stopped:
    """Stop tasks of this process, within two seconds."""
    return finish(Stop(session, tasks), time.monotonic())


def finish(stop: Stop, began: float) -> Stopped:
    """Do it all, and wait. Who was interrupted in that may do it again, for the rest.

    Parameters
    ----------
    began: when it was wanted, in monotonic seconds.
    """
    stop.interrupt()
    if not _wait(lambda: not stop.left(), began + KIND_S):
        stop.kill()
        _wait(lambda: not stop.left(), began + KIND_S + KILL_S)
    return stop.outcome()


def _wait(done: Callable[[], bool], deadline: float) -> bool:
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_S)  # the session's own thread takes the answers meanwhile
    return True


def _has_begun(task: Task, place: Any) -> bool:
    """Whether a worker runs it, or has run it last, of a task that was sent there. Caller has the lock."""
    if isinstance(task.target, KeepsOrder):
        return True
    # A lease that has ended has no page any more.
    return place in task.target.leases and place.page.started == task.number


def unfinished(session: Session, first: int) -> list[Task]:
    """The tasks of this process from number `first` on that have not ended."""
    found: dict[int, Task] = {}
    with session.objects.lock:
        for target in session.leases.classes():
            found.update((task.number, task) for task in tuple(target.queue))
            for lease in target.leases:
                found.update(lease.in_flight)
        for channel in session.actors.channels():
            found.update((task.number, task) for task in (*channel.queue, *channel.in_flight.values()))
        found.update(session.arguments.held_up)
    return [task for number, task in found.items() if number >= first and not task.ended]


def unfinished_numbers(session: Session) -> list[int]:
    """The numbers of all tasks of this process that have not ended."""
    return [task.number for task in unfinished(session, 0)]
