"""Submitting tasks and taking their results: what functions and actors have in common.

The owner keeps its tasks: it hands each, with its `arguments`, to its `target`, and publishes each result once,
whatever is retried below.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from rustray.driver import failures
from rustray.driver.entry import BLOCK, ERROR, PENDING, VALUE, Entry, wake_all
from rustray.driver.generator import ObjectRefGenerator, Stream
from rustray.driver.refs import ObjectRef
from rustray.driver.returns import GATHERED
from rustray.driver.target import KeepsOrder, Target
from rustray.driver.task import Task
from rustray.driver.threads import present
from rustray.errors import TaskCancelledError
from rustray.model import ids

if TYPE_CHECKING:
    from rustray.driver.session import Session

_SETTLE_DROPS_EVERY = 256
VISIT_EVERY = 64
"""Tasks after which a thread that submits looks for answers itself."""
COUNT_EVERY_S = 0.1
"""Well below the half second of a sample (`node.monitor`), so that rates made of it are even."""
DROPPED_AT_ONCE = 1000
MULTIPLE, FINISHED = 4, 5
"""Result kinds beyond VALUE, BLOCK and ERROR: one of several results, and the end of a stream."""


class Tasks:
    """The tasks of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._objects = session.objects
        self._arguments = session.arguments
        self._numbers = itertools.count(1)
        self.finished = 0
        self.failed = 0
        self._counted = (0, 0, 0.0)
        self._to_retract: list[bytes] = []
        self._retracted_next: list[bytes] = []
        self.children: dict[tuple[int, int], set[Task]] = {}
        """Unfinished tasks by the lease and number of the task, run by this worker, that submitted them."""

    def next_number(self) -> int:
        """A number that no task or put of this process has had."""
        return next(self._numbers)

    def submit(
        self,
        target: Target,
        function: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        returns: int,
        retries: int,
        options: Any,
        signature: Callable[..., Any],
    ) -> Any:
        """Make a task and hand it on; gives a ref, a list of refs, None, or a generator of refs."""
        objects = self._objects
        if len(objects.dropped) > _SETTLE_DROPS_EVERY:
            objects.settle_drops()
        number = next(self._numbers)
        if not number % VISIT_EVERY:
            self._session.reactor.visit()
        task = Task(number, target, function, b"", returns, retries, options)
        task.thread = present.number
        if args or kwargs:
            self._arguments.pack(task, args, kwargs, signature)
        prefix = self._session.id_prefix
        if returns == 1:
            entry = Entry(prefix + (number << 16).to_bytes(10, "big"), True, task)
            entry.count = 1
            task.entries = (entry,)
            result: Any = ObjectRef(objects, entry)
        elif returns >= 0:
            entries = []
            for index in range(returns):
                entry = Entry(prefix + (number << 16 | index).to_bytes(10, "big"), True, task)
                entry.count = 1
                entries.append(entry)
            task.entries = tuple(entries)
            result = [ObjectRef(objects, entry) for entry in entries] or None
        else:
            task.stream = Stream(self._session, returns == GATHERED)
            result = task.stream.whole(task) if returns == GATHERED else ObjectRefGenerator(task.stream, task)
        parent = self._session.running()
        if parent is not None and parent.number:
            task.parent = parent.channel.lease, parent.number
            with objects.lock:
                self.children.setdefault(task.parent, set()).add(task)
        if task.deps:
            self._arguments.enqueue_when_known(task)
        else:
            target.enqueue(task)
        return result

    # -- results ---------------------------------------------------------------------------------------

    def take_result(self, task: Task, result: Sequence[Any], worker: int) -> None:
        """Publish what `worker` answered: (number, kind, payload[, contains]). Caller has the lock."""
        kind = result[1]
        if kind == ERROR:
            if not self._retry_on(task, result[2]):
                self.fail(task, result[2])
            return
        self.finished += not task.target.is_own
        objects = self._objects
        keep = kind == BLOCK
        if kind == MULTIPLE:
            for entry, (state, payload, contains) in zip(task.entries, result[2], strict=True):
                keep = keep or state == BLOCK
                objects.settle(entry, state, payload, contains)
        elif kind == FINISHED:
            assert task.stream is not None
            task.stream.end()
        else:
            objects.settle(task.entries[0], kind, result[2], result[3] if len(result) > 3 else ())
        if keep and ids.node_of(worker) != ids.node_of(self._session.client):
            for entry in task.entries:
                entry.node = ids.node_of(worker)
        self._finish(task, keep)

    def take_value(self, task: Task, payload: Any) -> None:
        """Publish the one small result of `task`: the commonest case, and no own work. Caller has the lock."""
        self.finished += 1
        entry = task.entries[0]
        entry.task = None
        if entry.known:
            self._objects.settle(entry, VALUE, payload)
        else:
            entry.payload = payload
            entry.state = VALUE
            waiters = entry.waiters
            if waiters:
                entry.waiters = None
                wake_all(waiters)
        if task.pins or task.parent:
            self._finish(task, False)

    def take_yield(self, task: Task, index: int, state: int, payload: Any, contains: Sequence[bytes]) -> None:
        """One more object of a stream."""
        assert task.stream is not None
        oid = ids.make_stream_id(self._session.client, task.number, index)
        task.stream.add(oid, state, payload, contains)

    def drop_stream(self, task: Task) -> None:
        """Nobody takes from the stream of `task` any more: it is cancelled."""
        with self._objects.lock:
            if task.stream is not None and task.stream.drop():
                self.cancel(task, False, True)

    def fail(self, task: Task, error: bytes) -> None:
        """The task ends without a result: every one of its objects raises `error`."""
        with self._objects.lock:
            figures = task.target.figures_of(task)
            if task.cancelled:
                figures.cancelled += 1
            else:
                self.failed += not task.target.is_own
                figures.failed += 1
            self._arguments.held_up.pop(task.number, None)
            for entry in task.entries:
                if entry.state == PENDING:
                    self._objects.settle(entry, ERROR, error)
            if task.stream is not None:
                task.stream.fail(error)
            self._finish(task, False)

    def retract(self, tasks: Iterable[Task]) -> None:
        """Their worker has died, perhaps after it stored a result, and the node has read all that it wrote: nobody
        would release that block. One that is run again stores its own."""
        if stored := self._stored(tasks):
            self._session.tell(("retract", stored))

    def retract_soon(self, tasks: Iterable[Task]) -> None:
        """As `retract`, of tasks that fail: the node may not have read all that their worker wrote."""
        self._to_retract += self._stored(tasks)

    def tick(self) -> None:
        """Retract what a whole tick has passed for. Called by the clock."""
        if self._retracted_next or self._to_retract:
            with self._objects.lock:
                due, self._retracted_next, self._to_retract = self._retracted_next, self._to_retract, []
            if due:
                self._session.tell(("retract", due))

    def _stored(self, tasks: Iterable[Task]) -> list[bytes]:
        lineage = self._session.lineage.tasks
        stored = []
        for task in tasks:
            stored += [entry.id for entry in task.entries if entry.id not in lineage]
            if task.stream is not None:
                stored.append(ids.make_stream_id(self._session.client, task.number, task.stream.received))
        return stored

    def _finish(self, task: Task, keep: bool) -> None:
        if task.parent:
            siblings = self.children.get(task.parent)
            if siblings is not None:
                siblings.discard(task)
                if not siblings:
                    del self.children[task.parent]
            task.parent = None
        if task.pins and not (keep and task.retries != 0):
            # What lies in the store may be lost: its task keeps its arguments, to be run again.
            pins, task.pins = task.pins, ()
            self._objects.unpin(pins)

    def _retry_on(self, task: Task, error: bytes) -> bool:
        wanted = task.options.retry_exceptions if task.options is not None else False
        if not wanted or task.retries == 0 or task.cancelled or task.stream is not None:
            return False
        cause = failures.cause_of(error)
        if cause is None or not (wanted is True or isinstance(cause, tuple(wanted))):
            return False
        if task.retries > 0:
            task.retries -= 1
        task.target.figures_of(task).retried += 1
        task.target.enqueue(task)
        return True

    def count(self, now: float, at_once: bool = False) -> None:
        """Tell the node, up to ten times a second or `at_once`, how many tasks have ended since it was told last."""
        finished, failed, then = self._counted
        more, more_failed = self.finished - finished, self.failed - failed
        if (more or more_failed) and (at_once or now - then >= COUNT_EVERY_S):
            self._counted = (finished + more, failed + more_failed, now)
            self._session.tell(("counts", more, more_failed))

    # -- running again ---------------------------------------------------------------------------------

    def run_again(self, task: Task, oid: bytes) -> bool:
        """Make a lost object again; False when its task may not be repeated."""
        if task.retries == 0 or task.stream is not None or isinstance(task.target, KeepsOrder):
            return False
        with self._objects.lock:
            if any(entry.task is task for entry in task.entries):
                return True  # it is running already
            for entry in task.entries:
                if entry.id == oid or entry.state == BLOCK:
                    entry.state, entry.payload, entry.task = PENDING, None, task
                    entry.reading = entry.asked = False
            task.where = None
            task.submitted = monotonic()
            task.target.figures_of(task).retried += 1
            if task.deps:
                self._arguments.enqueue_when_known(task)
            else:
                task.target.enqueue(task)
        return True

    def end_lineage(self, task: Task, oid: bytes) -> None:
        """`oid` is gone for good; with the last of its results the task lets its arguments go."""
        with self._objects.lock:
            lineage = self._session.lineage.tasks
            if not any(e.id != oid and e.id in lineage for e in task.entries):
                pins, task.pins = task.pins, ()
                self._objects.unpin(pins)

    # -- cancelling ------------------------------------------------------------------------------------

    def cancel(self, task: Task, force: bool, recursive: bool) -> None:
        """Stop `task`: dropped where it has not started, interrupted (or with `force` killed) where it has."""
        with self._objects.lock:
            if task.cancelled and not force or task.entries and task.ended:
                return
            is_queued = not task.cancelled and task.number not in self._arguments.held_up
            task.cancelled = True
            task.retries = 0
            if task.where is None:
                self.fail(task, cancelled(task))
                if isinstance(task.target, KeepsOrder):
                    task.target.pump()  # others may have waited behind it
                elif is_queued:
                    task.target.on_cancelled()
            else:
                task.target.interrupt(task, force, recursive)

    def take_from_queues(self, tasks: Iterable[Task]) -> list[Task]:
        """Those of `tasks` that wait for a worker: none of them begins any more, and the caller is to `drop` them."""
        waiting: dict[Any, set[Task]] = {}
        with self._objects.lock:
            for task in tasks:
                if task.where is None and not task.cancelled and not isinstance(task.target, KeepsOrder):
                    waiting.setdefault(task.target, set()).add(task)
            taken = [task for target, of_it in waiting.items() for task in target.take_out(of_it)]
            for task in taken:
                task.cancelled = True
                task.retries = 0
        return taken

    def drop(self, tasks: Sequence[Task]) -> None:
        """Fail cancelled tasks that are in no queue; of very many in portions, between which others have the lock."""
        for first in range(0, len(tasks), DROPPED_AT_ONCE):
            with self._objects.lock:
                for task in tasks[first : first + DROPPED_AT_ONCE]:
                    if not task.ended:
                        self.fail(task, cancelled(task))

    def cancel_children(self, parent: tuple[int, int]) -> None:
        """Stop what the task `parent` (lease, number), run by this worker, has submitted."""
        for task in list(self.children.get(parent, ())):
            self.cancel(task, False, True)


def cancelled(task: Task) -> bytes:
    """The payload of a cancelled task's objects."""
    return _cancelled(task.target.name)


@functools.lru_cache(maxsize=64)
def _cancelled(name: str) -> bytes:
    # A loop of many elements is cancelled at once.
    return failures.typed(
        TaskCancelledError(f"Task {name}() was cancelled before it finished; nothing to get.")
    )
