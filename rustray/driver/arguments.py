"""What tasks are given: packed and pinned when they are submitted, and waited for where it is not known yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rustray import serialization
from rustray.driver.entry import BLOCK, ERROR, PENDING, Entry
from rustray.driver.packing import INLINE_LIMIT, inline, packed_size
from rustray.driver.refs import ObjectRef
from rustray.driver.target import KeepsOrder
from rustray.driver.task import Task
from rustray.errors import SessionError

if TYPE_CHECKING:
    from rustray.driver.session import Session


class Arguments:
    """Those of the tasks of one session.

    Attributes
    ----------
    held_up: tasks by number that wait for arguments; those of an actor's are in its queue.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._objects = session.objects
        self._unblocked: deque[Task] = deque()
        self.held_up: dict[int, Task] = {}

    def pack(
        self, task: Task, args: tuple[Any, ...], kwargs: dict[str, Any], signature: Callable[..., Any]
    ) -> None:
        """Pack what `task` is called with, and pin the refs in it (Rule 3). `signature` names parameters in errors."""
        deps: list[tuple[int | str, Entry]] = []
        for at, value in enumerate(args):
            if type(value) is ObjectRef:
                self._check(value)
                deps.append((at, value._entry))
        if deps:
            args = tuple(None if type(value) is ObjectRef else value for value in args)
        if kwargs:
            in_kwargs = [(name, value._entry) for name, value in kwargs.items() if type(value) is ObjectRef]
            if in_kwargs:
                for value in kwargs.values():
                    if type(value) is ObjectRef:
                        self._check(value)
                deps += in_kwargs
                kwargs = {name: None if type(value) is ObjectRef else value for name, value in kwargs.items()}
        packed = serialization.serialize_call(args, kwargs, signature, task.target.name)
        size = packed_size(packed)
        pins: tuple[Entry, ...] = ()
        if packed.refs:
            pins = self._session.sharing.escape(packed.refs)
        if size >= INLINE_LIMIT:
            big = self._session.writer.put_packed(packed, pins)
            task.args = (BLOCK, big.id)
            pins = (*pins, big)
        else:
            task.args = inline(packed)
        if deps:
            task.deps = tuple(deps)
            pins = (*pins, *(entry for _at, entry in deps))
        if pins:
            self._objects.pin(pins)
            task.pins = pins
        task.weight += size + len(deps) * 1024

    def _check(self, ref: ObjectRef) -> None:
        if ref._table is not self._objects:
            raise SessionError.shut_down("remote()")

    def enqueue_when_known(self, task: Task) -> None:
        """Hand a task to its target when all that it waits for is known; it fails where that is an error."""
        objects = self._objects
        entries = [entry for _at, entry in task.deps]
        objects.want(entry for entry in entries if entry.state == PENDING)

        def one_more() -> None:
            # Called under the lock by whoever settles an argument.
            task.missing -= 1
            if task.missing == 0:
                self._unblock(task)

        with objects.lock:
            for entry in entries:
                if entry.state == PENDING:
                    task.missing += 1
                    entry.add_waiter(one_more)
            if task.missing == 0:
                self._deps_known(task)
            elif not isinstance(task.target, KeepsOrder):
                self.held_up[task.number] = task
            else:
                # An actor runs the calls of one caller in order: the call takes its place now.
                task.queued = True
                task.target.enqueue(task)

    def _unblock(self, task: Task) -> None:
        """A task knows its arguments. One that fails by them may unblock another, and so on through a long chain: in
        turn, not one inside the other."""
        self._unblocked.append(task)
        if len(self._unblocked) > 1:
            return
        while self._unblocked:
            try:
                self._deps_known(self._unblocked[0])
            finally:
                self._unblocked.popleft()

    def _deps_known(self, task: Task) -> None:
        self.held_up.pop(task.number, None)
        if task.cancelled:
            return  # it has failed already
        for _at, entry in task.deps:
            if entry.state == ERROR:
                self._session.tasks.fail(task, entry.payload)
                task.cancelled = True  # an actor's queue passes over it
                if isinstance(task.target, KeepsOrder):
                    task.target.pump()
                return
        if isinstance(task.target, KeepsOrder) and task.queued:
            task.target.pump()
        else:
            task.target.enqueue(task)
