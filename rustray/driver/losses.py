"""What becomes of the tasks that were sent to a process which is gone. Pure: it looks at them and at its page.

A process begins its tasks in the order in which they were sent, and writes the number of each into the page that it
shares with their owner (`wire.page`). So the owner knows which one ran, which before it have run, though their answers
were lost, and which behind it have not begun.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from rustray.driver import failures
from rustray.driver.task import Task
from rustray.driver.tasks import cancelled
from rustray.errors import (
    OutOfMemoryError,
    RuntimeEnvSetupError,
    RustRayError,
    WorkerCrashedError,
    WorkerExitedError,
)
from rustray.wire.page import LeasePage

BY_ITSELF = ("exit", "signal")
"""How a worker ended that the node has not killed."""
SETUP = "setup"
"""How a worker ended whose environment could not be set up."""
OUT_OF_MEMORY = "oom"
"""How a worker ended that was killed because its node ran out of memory."""
CANCELLED = "cancelled"
"""How a worker ended that was killed for `cancel(force=True)`."""
REQUEUE = "requeue"
"""How a worker ended that was killed to make room: its task has done nothing wrong."""
NODE = "node"
"""How a worker ended whose whole node is gone, and with it all word of what it had begun."""
LOST_ANSWER = "had finished it, but not sent the answer, when it "


class LeaseLoss(NamedTuple):
    """Tasks to be run again, and those that fail with a packed error."""

    again: list[Task]
    failed: list[tuple[Task, bytes]]


class ActorLoss(NamedTuple):
    """Calls for the next process, those that were cancelled, and those that had begun and are not repeated."""

    again: list[Task]
    cancelled: list[Task]
    begun: list[Task]


def of_lease(in_flight: Mapping[int, Task], begun: int, kind: str, text: str) -> LeaseLoss:
    """Charge the task that ran; those behind it have not begun and just go elsewhere.

    Those before it have run too, and their answers died with the worker: they are run again without a charge,
    but fail when they may run only once.

    Parameters
    ----------
    in_flight: the unanswered tasks by number, in the order of their sending. begun: the number begun last.
    kind, text: how the worker ended, for us and for messages.
    """
    loss = LeaseLoss([], [])
    if kind == NODE and begun not in in_flight:
        begun = next(iter(in_flight), 0)  # the page was behind
    has_run = begun in in_flight
    for number, task in in_flight.items():
        has_run = has_run and number != begun
        # Of a node that is gone nobody knows how far it came.
        if (has_run or kind == NODE and number != begun) and task.retries == 0:
            loss.failed.append((task, _error(task, kind, LOST_ANSWER + text)))
            continue
        # One that was killed for the sake of another has done nothing wrong.
        if number == begun and (task.cancelled or kind not in (CANCELLED, REQUEUE)):
            if task.cancelled or task.retries == 0:
                loss.failed.append((task, _error(task, kind, text)))
                continue
            if task.retries > 0:
                task.retries -= 1
        loss.again.append(task)
    return loss


def of_actor(in_flight: Mapping[int, Task], page: LeasePage, concurrent: bool) -> ActorLoss:
    """Charge the calls that had begun, and leave it to the node's word what becomes of those not repeated.

    Parameters
    ----------
    concurrent: whether the actor runs several calls at once: it may have begun all of them.
    """
    loss = ActorLoss([], [], [])
    # Of an actor whose whole node is gone nobody knows how far it came either.
    any_begun = concurrent or page.may_be_behind
    last = page.started
    begun = any_begun or last in in_flight
    for number, task in in_flight.items():
        charged = begun
        begun = begun and (any_begun or number != last)
        task.where = None
        if task.cancelled:
            loss.cancelled.append(task)
        elif not charged or task.retries != 0:
            if charged and task.retries > 0:
                task.retries -= 1
            loss.again.append(task)
        else:
            loss.begun.append(task)
    return loss


def _error(task: Task, kind: str, text: str) -> bytes:
    return cancelled(task) if task.cancelled else crash(task, kind, text)


def crash(task: Task, kind: str, text: str) -> bytes:
    """The error of a task whose worker has ended, packed."""
    what = f"The worker that ran task {task.target.name}() "
    error: RustRayError
    if kind == OUT_OF_MEMORY:
        error = OutOfMemoryError(what + text)
    elif kind == SETUP:
        error = RuntimeEnvSetupError(what + text)
    elif kind == "exit":
        error = WorkerExitedError(what + text)
    else:
        error = WorkerCrashedError(what + text)
    return failures.typed(error)
