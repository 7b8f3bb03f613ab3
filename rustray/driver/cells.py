"""Which notebook cell the output of a task belongs to, and how it gets there.

What a background thread prints reaches, as the versions of ipykernel go, the cell that started the thread or
the one that ran last; neither need be the one that asked. So output of tasks is sent to a cell by its name, as
the kernel's own streams would send it.

The cell of a task is found by the task's number: numbers only grow, and the first one of each cell is noted
when the cell starts. Submitting a task costs nothing for it. Of a thread that outlives its cell it is noted
when the next one starts, so what it submits later is still of the cell that started it. (Headless clients such as
nbclient listen to the running cell only: there, text that comes after its cell has ended is lost.)
"""

from __future__ import annotations

import bisect
import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from rustray.driver import output, tracebacks
from rustray.driver.folding import Source
from rustray.driver.redrawing import Shown
from rustray.driver.stopping import unfinished_numbers
from rustray.driver.task import Task
from rustray.driver.threads import numbers_alive, present
from rustray.driver.transcript import STREAMS, Transcript

if TYPE_CHECKING:
    from rustray.driver.session import Session

KEEP_CELLS = 1000
"""Cells that are known, beside those of which tasks have not ended; and threads that have ended."""
KEEP_OF_THREAD = 8
"""Cells of one thread, as of one that runs cells itself beside others (a subshell)."""
SPARE = 100
"""Cells more than these before some are forgotten."""
OF_TASK = "; rustray.logs(ref) has more of it"

Write = Callable[[str, str], None]
"""Called with kind ("stdout", "stderr", or that of a display, see `driver.output`) and text."""


class CellTable:
    """The cells of one session, by the number of the first task that each could have submitted.

    Of a task whose cell is forgotten there is none: what it shows is in its log only. No cell is forgotten that has
    a task which has not ended.

    Parameters
    ----------
    unfinished: gives the numbers of the tasks that have not ended.
    """

    def __init__(self, unfinished: Callable[[], Iterable[int]]) -> None:
        self._unfinished = unfinished
        self._first: list[int] = []
        self._cells: list[Any] = []  # None: of the tasks from this number on the cell is forgotten
        self._most = KEEP_CELLS + SPARE
        self._of_threads: dict[int, list[tuple[int, Any]]] = {}  # None: by the number alone from here on
        self._alive: set[int] = set()
        self._gone: deque[int] = deque()

    def begin(self, first: int, cell: Any) -> None:
        """From task number `first` on, tasks are of `cell`."""
        self._first.append(first)
        self._cells.append(cell)
        if len(self._first) > self._most:
            self._forget()
            self._most = len(self._first) + SPARE

    def _forget(self) -> None:
        live = sorted(self._unfinished())
        old = len(self._first) - KEEP_CELLS
        kept: list[tuple[int, Any]] = []
        for at, (first, cell) in enumerate(zip(self._first, self._cells, strict=True)):
            if at < old:
                next_live = bisect.bisect_left(live, first)
                if next_live == len(live) or live[next_live] >= self._first[at + 1]:
                    cell = None
            if cell is not None or (kept and kept[-1][1] is not None):
                kept.append((first, cell))
        self._first = [first for first, _cell in kept]
        self._cells = [cell for _first, cell in kept]

    def outlived(self, first: int, alive: set[int]) -> None:
        """The next cell begins with task number `first`, and these threads (`driver.threads`) are there: those that
        were not there before are of the cell that has run last. Those that are there no more have ended, or one of
        them runs the next cell."""
        for thread in alive - self._alive if self._cells else ():
            self._of_threads.setdefault(thread, []).append((first, self.latest()))
        for thread in self._alive - alive:
            if thread in self._of_threads:
                self._of_threads[thread].append((first, None))
                del self._of_threads[thread][:-KEEP_OF_THREAD]
                self._gone.append(thread)
        while len(self._gone) > KEEP_CELLS:
            if (thread := self._gone.popleft()) not in alive:
                self._of_threads.pop(thread, None)
        self._alive = alive

    def cell_of(self, number: int, thread: int = 0) -> Any:
        """The cell that submitted the task of this number, in this thread; None if it is forgotten."""
        for first, cell in reversed(self._of_threads.get(thread, ())):
            if first <= number:
                if cell is None:
                    break
                return cell
        at = bisect.bisect_right(self._first, number) - 1
        return self._cells[at] if at >= 0 else None

    def latest(self) -> Any:
        """The cell that runs, or that ran last."""
        return self._cells[-1]


class CellOutput:
    """What tasks show in one cell.

    Parameters
    ----------
    shell, parent: the kernel's, and the request that ran the cell.
    where: tells where to find what is left out of a flood, see `Transcript`.
    """

    _lock = threading.RLock()
    _waiting: set[CellOutput] = set()

    def __init__(self, shell: Any, parent: dict[str, Any], where: str) -> None:
        self._shell = shell
        self._parent = parent
        self._transcript = Transcript(where)

    def take(self, kind: str, text: str, source: Source | None = None) -> None:
        """Show text, in front of each line its source; from any thread."""
        with self._lock:
            self._show(self._transcript.take(time.monotonic(), kind, text, source))
            if self._transcript.waits:
                self._waiting.add(self)

    @classmethod
    def show_due(cls, now: float) -> None:
        """Show in all cells what was held back and is due; with infinity, everything."""
        if not cls._waiting:
            return
        with cls._lock:
            for cell in list(cls._waiting):
                cell._show(cell._transcript.due(now))
                if not cell._transcript.waits:
                    cls._waiting.discard(cell)

    def _show(self, shown: Shown) -> None:
        for kind, text in shown:
            if is_redirected(kind) and self._runs():
                self._capture(kind, text)
            else:
                publish(self._shell, self._parent, kind, text)

    def _runs(self) -> bool:
        of_running: dict[str, Any] = self._shell.get_parent()
        return of_running.get("header") == self._parent.get("header")

    def _capture(self, kind: str, text: str) -> None:
        if kind == "display_data":
            content = json.loads(text)
            self._shell.display_pub.publish(content["data"], content["metadata"])
        else:
            output.write(kind, text)


def attach(session: Session) -> None:
    """Have what the tasks of `session` print shown by the cells that submit them, if this is a notebook; else here."""
    tracebacks.install()
    shell = kernel_shell()
    if shell is None:
        session.on_tick.append(output.terminal.tick)
        session.on_end.append(output.terminal.end)
        return
    table = CellTable(lambda: unfinished_numbers(session))

    def begin(*_info: object) -> None:
        first = session.tasks.next_number()
        table.outlived(first, numbers_alive() - {present.number})
        table.begin(first, CellOutput(shell, shell.get_parent(), OF_TASK))

    def show(kind: str, text: str, name: str, pid: int, task: Task | None) -> None:
        cell = table.latest() if task is None else table.cell_of(task.number, task.thread)
        if cell is not None:
            cell.take(kind, text, Source(name, pid))

    def end(*_info: object) -> None:
        CellOutput.show_due(float("inf"))

    def leave() -> None:
        shell.events.unregister("pre_run_cell", begin)
        shell.events.unregister("post_run_cell", end)
        end()

    begin()
    session.output.sink = show
    shell.events.register("pre_run_cell", begin)
    shell.events.register("post_run_cell", end)
    session.on_tick.append(lambda: CellOutput.show_due(time.monotonic()))
    session.on_end.append(leave)


def writer(where: str = "") -> Write:
    """What shows text and displays in the cell that is running now, also later and from other threads."""
    shell = kernel_shell()
    return output.write if shell is None else CellOutput(shell, shell.get_parent(), where).take


def publish(shell: Any, cell: Any, kind: str, text: str) -> None:
    """Send text or a display under the header of the request that ran `cell`."""
    for stream in STREAMS if kind not in STREAMS else (kind,):
        getattr(sys, stream).flush()  # what the cell itself has printed comes first
    kernel = shell.kernel
    content = {"name": kind, "text": text} if kind in STREAMS else json.loads(text)
    kernel.session.send(
        kernel.iopub_socket,  # hands over to the kernel's own thread: any thread may send
        "stream" if kind in STREAMS else kind,
        content,
        parent=cell,
        ident=(f"stream.{kind}" if kind in STREAMS else kind).encode(),
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


def is_redirected(kind: str) -> bool:
    """Whether the user has put something else in place of the kernel's stream, as `%%capture` does."""
    return not hasattr(sys.stderr if kind == "stderr" else sys.stdout, "pub_thread")
