"""Where a task of this process is: what its owner alone can say, in plain values.

A description is a dict: "task" (id, hexadecimal), "function", "state" and what goes with it:

    done        "value": "here", "in the store"; of one that was put or that is another's there is no "function"
    failed      "error_type", "error"
    ended       it was a task of this process, and nothing refers to its results any more
    arguments   "missing": the objects that it waits for, hexadecimal
    queued      "position" of "queued" tasks here, counted from 1, and the "leases" of its class; "ran_s": seconds for
                which every one of these has been at its present task, at least
    sent        "behind": how many tasks its worker runs before it, and "ran_s", "worker", "pid", as of
    running     "since_s": seconds for which it has been seen running, at least; "suspended"; "cancelled"
    actor       a call that waits for its actor: "position", "queued"
    interrupted a call that ran when its actor died, and it is not known yet whether that restarts
    pending     another's, or one that is to be made again

"class" and "client" (of a task) and "actor" (of a call) name what the head can say more of: see `head.explaining`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rustray.driver.entry import BLOCK, ERROR, PENDING, Entry
from rustray.driver.target import KeepsOrder
from rustray.error_packing import read_summary
from rustray.model import ids

if TYPE_CHECKING:
    from rustray.driver.session import Session
    from rustray.driver.target import Target
    from rustray.driver.task import Task

ERROR_CHARACTERS = 1000

Description = dict[str, Any]


class Explaining:
    """What one session says of its tasks."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def on_explain(self, token: int, number: int) -> None:
        """The head asks, for somebody else."""
        self._session.tell(("explained", token, self.of_number(number)))

    def of_entry(self, entry: Entry) -> Description:
        """Of what a ref refers to."""
        with self._session.objects.lock:
            about: Description = {"task": ids.task_of(entry.id).hex()}
            if entry.state != PENDING:
                return about | _settled(entry)
            if entry.task is None:
                return about | {"state": "pending"}
            return self.of_task(entry.task)

    def of_number(self, number: int) -> Description:
        """Of the task that has this number in its id."""
        session = self._session
        with session.objects.lock:
            task = self._find(number)
            if task is not None:
                return self.of_task(task)
            oid = ids.make_object_id(session.client, number, 0)
            entry = session.objects.entries.get(oid)
            if entry is not None and entry.state != PENDING:
                return {"task": ids.task_of(oid).hex(), **_settled(entry)}
            ended = number < session.tasks.next_number()
            return {"task": ids.task_of(oid).hex(), "state": "ended" if ended else "unknown"}

    def of_task(self, task: Task) -> Description:
        """Of a task that has not ended. Caller has the table's lock."""
        oid = ids.make_object_id(self._session.client, task.number, 0)
        about: Description = {"task": ids.task_of(oid).hex(), "function": task.target.name}
        about |= {"client": self._session.client, **task.target.describe(task)}
        if task.where is None and task.missing:
            missing = [entry.id.hex() for _at, entry in task.deps if entry.state == PENDING]
            about |= {"state": "arguments", "missing": missing}
        if task.cancelled:
            about["cancelled"] = True
        return about

    def name_of(self, task: Task) -> str:
        """Of its function, or of the method, as "Counter.add"."""
        if not isinstance(task.target, KeepsOrder):
            return str(task.target.name)
        actor: Any = task.target
        return str(actor.method_name(task.function))

    def in_words(self, task: Task) -> str:
        """The same in two or three words, as quickly for the last task of a long queue as for the first."""
        with self._session.objects.lock:
            if task.cancelled:
                return "being cancelled"
            if task.where is not None:
                return "running" if is_running(task) else "sent to a worker"
            if task.missing:
                return "waits for its arguments"
            return "waits for its actor" if isinstance(task.target, KeepsOrder) else "waits for a worker"

    def _find(self, number: int) -> Task | None:
        session = self._session
        task = session.arguments.held_up.get(number)
        if task is None:
            targets: list[Target] = [*session.leases.classes(), *session.actors.channels()]
            for target in targets:
                if (task := target.find(number)) is not None:
                    break
        return task


def is_running(task: Task) -> bool:
    """Whether a worker is at it, of a task that has been sent. Caller has the table's lock."""
    if isinstance(task.target, KeepsOrder):
        actor: Any = task.target
        return bool(actor.concurrent) or next(iter(actor.in_flight), None) == task.number
    return bool(task.where.page.started == task.number)


def _settled(entry: Entry) -> Description:
    about: Description = {"state": "done", "value": "in the store" if entry.state == BLOCK else "here"}
    if entry.state == ERROR:
        told = read_summary(entry.payload)
        about = {"state": "failed", "error_type": told.type_name, "error": told.message[:ERROR_CHARACTERS]}
        if told.function_name:
            about["function"] = told.function_name
    return about
