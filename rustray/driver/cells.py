"""Which notebook cell the output of a task belongs to.

What a background thread prints reaches, as the versions of ipykernel go, the cell that started the thread or
the one that ran last; neither need be the one that asked. So text of tasks is sent to a cell by its name, as
the kernel's own stream would send it.

The cell of a task is found by the task's number: numbers only grow, and the first one of each cell is noted
when the cell starts. Submitting a task costs nothing for it. (Headless clients such as nbclient listen to
the running cell only: there, text that comes after its cell has ended is lost.)
"""

from __future__ import annotations

import bisect
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rustray.driver.output import prefixed, print_log
from rustray.driver.task import Task

if TYPE_CHECKING:
    from rustray.driver.session import Session

KEEP_CELLS = 1000

Write = Callable[[str, str], None]
"""Called with stream ("stdout" or "stderr") and text."""


class CellTable:
    """The cells of one session, by the number of the first task that each could have submitted.

    Output of a task whose cell is forgotten goes to the oldest cell that is known.
    """

    def __init__(self) -> None:
        self._first: list[int] = []
        self._cells: list[Any] = []

    def begin(self, first: int, cell: Any) -> None:
        """From task number `first` on, tasks are of `cell`."""
        self._first.append(first)
        self._cells.append(cell)
        if len(self._first) > KEEP_CELLS:
            del self._first[0], self._cells[0]

    def cell_of(self, number: int) -> Any:
        """The cell that submitted the task of this number."""
        return self._cells[max(0, bisect.bisect_right(self._first, number) - 1)]

    def latest(self) -> Any:
        """The cell that runs, or that ran last."""
        return self._cells[-1]


def attach(session: Session) -> None:
    """Have what the tasks of `session` print shown by the cells that submit them, if this is a notebook."""
    shell = kernel_shell()
    if shell is None:
        return
    table = CellTable()

    def begin(*_info: object) -> None:
        table.begin(session.tasks.next_number(), shell.get_parent())

    def show(stream: str, text: str, name: str, pid: int, task: Task | None) -> None:
        if is_redirected(stream):
            print_log(stream, text, name, pid, task)
        else:
            cell = table.latest() if task is None else table.cell_of(task.number)
            send(shell, cell, stream, prefixed(text, name, pid))

    begin()
    session.output.sink = show
    shell.events.register("pre_run_cell", begin)
    session.on_end.append(lambda: shell.events.unregister("pre_run_cell", begin))


def writer() -> Write:
    """What writes to the cell that is running now, also later and from other threads."""
    shell = kernel_shell()
    cell = None if shell is None else shell.get_parent()

    def write(stream: str, text: str) -> None:
        if shell is None or is_redirected(stream):
            out = getattr(sys, stream)
            out.write(text)
            out.flush()
        else:
            send(shell, cell, stream, text)

    return write


def send(shell: Any, cell: Any, stream: str, text: str) -> None:
    """Publish `text` under the header of the request that ran `cell`."""
    getattr(sys, stream).flush()  # what the cell itself has printed comes first
    kernel = shell.kernel
    kernel.session.send(
        kernel.iopub_socket,  # hands over to the kernel's own thread: any thread may send
        "stream",
        {"name": stream, "text": text},
        parent=cell,
        ident=f"stream.{stream}".encode(),
    )


def kernel_shell() -> Any:
    """The interactive shell of this process's Jupyter kernel, None where there is none."""
    ipykernel = sys.modules.get("ipykernel.zmqshell")
    if ipykernel is None:
        return None
    shell_class = ipykernel.ZMQInteractiveShell
    return shell_class.instance() if shell_class.initialized() else None


def running_cell() -> Any:
    """Names the cell that runs now, None outside of notebooks."""
    shell = kernel_shell()
    return None if shell is None else shell.get_parent().get("header", {}).get("msg_id")


def is_redirected(stream: str) -> bool:
    """Whether the user has put something else in place of the kernel's stream, as `%%capture` does."""
    return not hasattr(getattr(sys, stream), "pub_thread")
