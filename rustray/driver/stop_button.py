"""The stop button of a notebook: a cell that ends with KeyboardInterrupt takes the tasks with it that it submitted.

They are told by their numbers, which only grow, and by their threads: what a thread submits that was there before
the cell began is not the cell's. A cell that handles the KeyboardInterrupt itself keeps its tasks.
"""

from __future__ import annotations

import sys
import time
import weakref
from typing import Any

from rustray.driver.cells import kernel_shell
from rustray.driver.session import Session
from rustray.driver.stopping import Stop, finish, unfinished
from rustray.driver.task import Task
from rustray.driver.threads import numbers_alive, present

_spared: weakref.WeakSet[Any] = weakref.WeakSet()


def spare(target: Any) -> None:
    """Leave calls of this actor's channel alone: they are RustRay's own, not the cell's."""
    _spared.add(target)


def is_spared(target: Any) -> bool:
    """Whether that was said of it."""
    return target in _spared


class StopButton:
    """Watches the cells of one session's shell."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._first = 0
        self._others: set[int] = set()
        self.begin()

    def begin(self, *_info: object) -> None:
        """A cell begins."""
        self._first = self._session.tasks.next_number()
        self._others = numbers_alive() - {present.number}

    def end(self, result: Any) -> None:
        """A cell has ended."""
        # There is no result if the shell itself was interrupted, before or after the cell's code.
        stopped = result is None or isinstance(result.error_in_exec, KeyboardInterrupt)
        if not stopped or self._session.ended is not None:
            return
        tasks = [task for task in unfinished(self._session, self._first) if self._is_of_cell(task)]
        if tasks:
            print(f"rustray: {self._stop(tasks)}", file=sys.stderr)

    def _stop(self, tasks: list[Task]) -> str:
        """What was stopped. Who presses the button again hears it too, and who presses it once more waits no longer."""
        began = time.monotonic()
        stop = Stop(self._session, tasks)
        try:
            try:
                return str(finish(stop, began))
            except KeyboardInterrupt:
                return str(finish(stop, began))
        except KeyboardInterrupt:
            return "the tasks of this cell were told to stop"

    def _is_of_cell(self, task: Task) -> bool:
        return task.thread not in self._others and not is_spared(task.target)


def attach(session: Session) -> None:
    """Have the cells of this process's notebook, if there is one, stop what they have submitted to `session`."""
    shell = kernel_shell()
    if shell is None:
        return
    button = StopButton(session)
    shell.events.register("pre_run_cell", button.begin)
    shell.events.register("post_run_cell", button.end)

    def leave() -> None:
        shell.events.unregister("pre_run_cell", button.begin)
        shell.events.unregister("post_run_cell", button.end)

    session.on_end.append(leave)
