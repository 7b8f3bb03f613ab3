"""The kernel's side of a keeper: it runs cells there and shows what they print."""

from __future__ import annotations

import contextlib
import shlex
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import rustray
from rustray.driver import cells, output, stop_button
from rustray.driver.actor_handle import ActorHandle
from rustray.driver.folding import Source
from rustray.driver.refs import ObjectRef
from rustray.driver.session import Session
from rustray.driver.stopping import Stopped, unfinished_numbers
from rustray.driver.task_logs import LogEntry, TaskLog
from rustray.errors import ActorError, RustRayError
from rustray.jupyter import notebook, worked_on
from rustray.jupyter.cell_state import LEFT, STOPPED, CellState
from rustray.jupyter.cell_tasks import CellRequest
from rustray.jupyter.console.opening import attached
from rustray.jupyter.keeper import NotebookKeeper
from rustray.jupyter.kept_cell import Entry
from rustray.jupyter.known_cells import KnownCells
from rustray.jupyter.news import LOOK_S, News
from rustray.model import ids
from rustray.model.own_work import KEEPER_NAME, is_own_name
from rustray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

ANSWER_S = 10.0
"""Seconds in which a keeper must answer what the user waits for; stopping a cell takes two."""


class KeeperLink:
    """A keeper, seen from a kernel.

    Parameters
    ----------
    keeper: its handle.

    Attributes
    ----------
    news: moves the cards of its cells.
    """

    def __init__(self, session: Session, keeper: ActorHandle) -> None:
        self.session = session
        self.keeper = keeper
        self._writers = _writers_of(session)
        self._known = KnownCells()
        stop_button.spare(keeper._channel)
        session.on_behalf.append(self)
        self.news = News(session, keeper, self._known.heard)

    def is_open(self, session: Session) -> bool:
        """Whether it is of this session, and the keeper lives as far as is known."""
        return self.session is session and self.keeper._channel.dead is None

    # -- cells -----------------------------------------------------------------------------------------

    def submit(self, request: CellRequest) -> ObjectRef:
        """Have a cell run; gives the ref of what `submit` gives."""
        ref: ObjectRef = self.keeper.submit.remote(request)
        return ref

    def follow(
        self, cell: str, name: str, named: bool, wants_results: bool, heard: Callable[[], None] | None = None
    ) -> ObjectRef:
        """Show in the notebook's present cell what `cell` shows; the ref of what `follow_cell` gives at its end.

        Parameters
        ----------
        name: what the user calls it.
        named: whether that stands in front of each line, with the process. Lines of several tasks need it: those that
            are alike are told once, and one does not go on in the middle of another.
        heard: called from any thread when something comes.
        """
        where = f"; %rustray logs {shlex.quote(name)} has more of it"
        show = shows(name if named else "", where)

        def write(kind: str, text: str, pid: int) -> None:
            if heard is not None:
                heard()
            show(kind, text, pid)

        with self._writers.lock:  # cells of subshells run beside others; the call has the next number
            self._writers.begin(self.session.tasks.next_number(), write)
            ref: ObjectRef = self.keeper.follow_cell.remote(cell, wants_results)
        return ref

    def cells(self) -> list[CellState]:
        """All that the keeper knows, the oldest first."""
        found: list[CellState] = rustray.get(self.keeper.cells.remote(), timeout=ANSWER_S)
        for state in found:
            self._known.heard(state)
        return found

    def state(self, cell: str) -> CellState | None:
        """How a cell is; None if the keeper does not say it at once."""
        try:
            found: dict[str, CellState] = rustray.get(self.keeper.news.remote({cell: None}, 0.0), timeout=LOOK_S)
        except RustRayError:  # whoever waits for the cell learns of it
            return None
        return found.get(cell)

    def results(self, cell: str) -> list[list[ObjectRef]]:
        """The refs of a cell's tasks, one row each; [] if they are not kept any more."""
        rows: list[list[ObjectRef]] = rustray.get(self.keeper.results.remote(cell), timeout=ANSWER_S)
        self._known.submitted(cell, rows)
        return rows

    def submitted_rows(self, cell: str, submitted: ObjectRef) -> list[list[ObjectRef]]:
        """The same of a cell in the background, by what `submit` has given, when it has been submitted."""
        rows: list[list[ObjectRef]] = rustray.get(submitted)
        self._known.submitted(cell, rows)
        return rows

    def log_of_cell(self, cell: str) -> TaskLog:
        """What a cell has printed and displayed, its beginning left out where it is long."""
        return _task_log(rustray.get(self.keeper.log.remote(cell), timeout=ANSWER_S))

    def stop(self, cell: str) -> Stopped:
        """End the tasks of a cell; GetTimeoutError if the keeper says nothing in time."""
        stopped: Stopped = rustray.get(self.keeper.stop.remote(cell), timeout=ANSWER_S)
        return stopped

    def begin_stop(self, cell: str, total: int, late_s: float) -> ObjectRef:
        """The same of a cell for which one has waited; the ref of what it gives.

        Parameters
        ----------
        total: how many tasks it has, should it not have come to the keeper yet.
        late_s: seconds for which it has been wanted.
        """
        ref: ObjectRef = self.keeper.give_up.remote(cell, total, late_s)
        return ref

    # -- their tasks, for `rustray.cancel` and `rustray.logs` -------------------------------------------

    def submitted(self, ref: ObjectRef) -> bool:
        """See `driver.on_behalf`, here and below."""
        return bool(self.keeper._channel.worker == ids.owner_of(ref.binary()))

    def cancel(self, ref: ObjectRef, force: bool, recursive: bool) -> None:
        rustray.get(self.keeper.cancel.remote(ref.binary(), force, recursive), timeout=ANSWER_S)

    def told(self, ref: ObjectRef) -> tuple[str, str]:
        return self._known.told(ids.number_of(ref.binary()), time.time())

    def log(self, ref: ObjectRef) -> TaskLog:
        return _task_log(rustray.get(self.keeper.log_of.remote(ref.binary()), timeout=ANSWER_S))


class Writers:
    """What writes the text that comes by `follow_cell` calls, by the number of the call.

    Attributes
    ----------
    lock: held from `begin` until the call has its number.
    """

    def __init__(self, session: Session) -> None:
        self.lock = threading.Lock()
        self._table = cells.CellTable(lambda: unfinished_numbers(session))

    def begin(self, first: int, write: Callable[[str, str, int], None]) -> None:
        """Calls from number `first` on are written by this."""
        self._table.begin(first, write)

    def take(self, kind: str, text: str, _name: str, pid: int, task: Any) -> None:
        """Something has come."""
        write = self._table.cell_of(task.number)
        if write is not None:
            write(kind, text, pid)


def _task_log(entries: list[Entry]) -> TaskLog:
    """What a keeper tells of a cell's text, as `rustray.logs` gives it."""
    return TaskLog([LogEntry(*entry) for entry in entries])


def shows(name: str, where: str = "") -> Callable[[str, str, int], None]:
    """What shows kind, text and pid in the cell that is running now.

    Parameters
    ----------
    name: in front of each line; "" for none.
    where: tells where to find what is left out of a flood, see `Transcript`.
    """
    shell = cells.kernel_shell()
    if shell is None:
        return lambda kind, text, pid: output.terminal.take(kind, text, name, pid, None)
    cell = cells.CellOutput(shell, shell.get_parent(), where)
    return lambda kind, text, pid: cell.take(kind, text, Source(name, pid) if name else None)


def _writers_of(session: Session) -> Writers:
    sinks: dict[Any, Any] = session.output.sinks_of
    if "follow_cell" not in sinks:
        writers = Writers(session)
        sinks["follow_cell"] = writers.take
    found: Writers = sinks["follow_cell"].__self__
    return found


# -- the keepers of this notebook --------------------------------------------------------------------------

_mine: KeeperLink | None = None
_others: list[KeeperLink] = []
_making = threading.Lock()


def keeper_of(session: Session) -> KeeperLink:
    """The keeper of this kernel's cells, made if there is none."""
    global _mine
    with _making:  # cells of subshells run beside others
        if _mine is None or not _mine.is_open(session):
            _mine = _made_for(session)
        return _mine


def _made_for(session: Session) -> KeeperLink:
    options = {
        "name": KEEPER_NAME + uuid.uuid4().hex[:12],
        "namespace": notebook.notebook_path() or None,
        "lifetime": "detached",
        "num_cpus": 0,
        # A cell that runs is a call that waits; none is to keep the stop button waiting.
        "max_concurrency": 100_000,
        # Near the kernel, where it can be: a gateway hosts no actors.
        "scheduling_strategy": NodeAffinitySchedulingStrategy(session.info["node"], soft=True),
    }
    keeper = rustray.remote(**options)(NotebookKeeper).remote(notebook.grace_s())
    link = KeeperLink(session, keeper)
    session.on_leave.append(lambda: _leave(link))
    where = attached()
    if where is not None and where.heads:  # the notebook's own is found without this
        with contextlib.suppress(OSError):  # then the next kernel goes to the newest cluster, as a new notebook
            worked_on.remember(notebook.notebook_path(), where.name)
    return link


def present_keeper(session: Session) -> KeeperLink | None:
    """The keeper of this kernel's cells, None if there is none yet."""
    return _mine if _mine is not None and _mine.session is session else None


def known_keepers(session: Session) -> list[KeeperLink]:
    """That of this kernel's cells, and before it those of earlier kernels that were attached."""
    return [link for link in (*_others, _mine) if link is not None and link.is_open(session)]


def other_keepers(session: Session) -> list[KeeperLink]:
    """Those of earlier kernels of this notebook; they are attached."""
    mine = present_keeper(session)
    found = []
    namespace = notebook.notebook_path() or session.info["namespace"]
    for _namespace, name in session.requests.query("actor_names", namespace):
        if not is_own_name(name):
            continue
        try:
            keeper = rustray.get_actor(name, namespace)
        except ActorError:
            continue  # it has just ended
        if mine is None or keeper != mine.keeper:
            known = (link for link in _others if link.keeper == keeper and link.is_open(session))
            found.append(next(known, None) or KeeperLink(session, keeper))
    _others[:] = found
    return found


def _leave(link: KeeperLink) -> None:
    """The kernel leaves the cluster: its cells end with it, unless it comes back at once."""
    restarts = notebook.is_restarting()
    link.news.close(LEFT if restarts else STOPPED)
    if not restarts:
        link.keeper._channel.kill(True)
