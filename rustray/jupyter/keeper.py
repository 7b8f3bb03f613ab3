"""The keeper of a notebook's `%%remote` cells: an actor that submits their tasks and owns their results.

It is detached and has no CPU, so a kernel that restarts loses nothing: the next one of the same notebook finds it by
its name. It never unpickles what cells read or give.

Rule 1. Whoever follows a cell gets all that it has printed, from its beginning, and then what it prints (`kept_cell`).
Rule 2. Results are kept until the kernel has them; those of background cells until newer ones come.
Rule 3. It ends when no kernel has asked for the grace period and no cell runs.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from rustray.actor import exit_actor
from rustray.driver.cells import CellTable
from rustray.driver.current import current
from rustray.driver.patience import Patience
from rustray.driver.refs import ObjectRef
from rustray.driver.stopping import KILL_S, KIND_S, LOOK_S, Stop, Stopped, unfinished_numbers
from rustray.errors import RustRayError, TaskCancelledError
from rustray.jupyter.arrivals import Arrivals
from rustray.jupyter.cell_state import FAILED, STOPPED, TIMED_OUT, CellState
from rustray.jupyter.cell_tasks import CellRequest, CellTasks, Sent
from rustray.jupyter.kept_cell import Entry, KeptCell
from rustray.jupyter.parcel import as_it_is
from rustray.model import ids
from rustray.progress.predictions import Predictions
from rustray.runtime_context import get_runtime_context
from rustray.worker.context import running

CELLS_KEPT = 100
RESULTS_KEPT = 20
"""Cells that have ended, and results of background cells, that are kept."""
ARRIVES_S = 60.0
"""Calls that follow a cell may come before the one that submits it, whose arguments lie in the store; by so much."""
SUBMITS_S = 0.5
"""For which a cell that is stopped may still be submitting a task; what comes after that is stopped as it comes."""
PAUSE_S = 0.05
"""News of one kernel come no closer than this."""


class NotebookKeeper:
    """See the module.

    Parameters
    ----------
    grace_s: seconds without a kernel after which it ends, if nothing runs.
    """

    def __init__(self, grace_s: float) -> None:
        self._session = session = current()
        self._grace_s = grace_s
        self._loop = asyncio.get_event_loop()
        self._cells: dict[str, KeptCell] = {}
        self._arrivals = Arrivals()
        """Of cells that somebody has asked for too early."""
        self._by_number = CellTable(lambda: unfinished_numbers(session))
        # One after the other, and in no call's context: the tasks of a cell have numbers that follow each other, and
        # go on when the kernel whose call submitted them is gone.
        self._submitting = concurrent.futures.ThreadPoolExecutor(1, "rustray-cells")
        self._news = asyncio.Event()
        self._predictions = Predictions(session)
        self._asking = 0
        self._seen = time.monotonic()
        self._stops: set[asyncio.Task[Stopped]] = set()
        """The loop itself keeps no task alive."""
        self._lingering = self._loop.create_task(self._linger())
        session.output.sink = self._on_output
        patience = Patience(session, self._warn, lambda: any(self._running()), lambda: None)
        session.on_tick.append(lambda: patience.tick(time.monotonic()))

    # -- running cells ---------------------------------------------------------------------------------

    async def submit(self, request: CellRequest) -> list[list[ObjectRef]]:
        """Run a cell; of a background cell the refs of its tasks, one row each: the value and the wanted variables."""
        if not self._arrivals.come(request.cell):
            raise TaskCancelledError(f"{request.name} was stopped before the keeper had it.")
        tasks = CellTasks(self._session, request, lambda: self._tell_change(cell))
        cell = self._cells[request.cell] = KeptCell(request, tasks, self._loop)
        if request.timeout is not None:
            cell.timer = self._loop.call_later(request.timeout, self._time_out, cell)
        submission = self._loop.run_in_executor(self._submitting, self._submit, cell)
        submission.add_done_callback(lambda _submission: cell.submitted.set())
        try:
            await asyncio.shield(submission)
        except Exception:  # the kernel is told, and what was submitted before it is not to go on alone
            self._arrivals.refuse(request.cell)
            await self._stop(cell, FAILED)
            cell.ended.set()
            del self._cells[request.cell]
            raise
        self._forget_old()
        if tasks.left_out and request.background:
            raise TaskCancelledError(f"{request.name} was stopped before all of it was submitted.")
        return tasks.rows if request.background else []

    def _submit(self, cell: KeptCell) -> None:
        self._by_number.begin(self._session.tasks.next_number(), cell.request.cell)
        cell.tasks.submit()
        cell.request = cell.tasks.request

    def _tell_change(self, cell: KeptCell) -> None:
        """From any thread."""
        if not cell.change_told:
            cell.change_told = True
            self._loop.call_soon_threadsafe(self._on_change, cell)

    def _on_change(self, cell: KeptCell) -> None:
        cell.change_told = False  # what changes from here on is told again
        if cell.tasks.ended_at is not None:
            cell.ended.set()
            if cell.timer is not None:
                cell.timer.cancel()  # it would keep the cell until then
        self._news.set()

    def _on_output(self, kind: str, text: str, _name: str, pid: int, task: Any) -> None:
        cell = None if task is None else self._cells.get(self._by_number.cell_of(task.number))
        if cell is not None:
            cell.show(kind, text, pid)

    def _running(self) -> list[KeptCell]:
        return [cell for cell in list(self._cells.values()) if not cell.ended.is_set()]

    def _warn(self, line: str) -> None:
        """Something keeps cells waiting that have not begun."""
        for cell in self._running():
            if not cell.tasks.count(time.monotonic(), {}).running:
                cell.show("stderr", line, 0)

    async def stop(self, cell: str) -> Stopped:
        """End the tasks of a cell, within two seconds."""
        return await self._stop_or_refuse(cell, 0, 0.0)

    async def give_up(self, cell: str, total: int, late_s: float) -> Stopped:
        """The same for the kernel that waits for the cell, which is to have `total` tasks: it wants no results, and
        `late_s` have passed already.
        """
        if cell in self._cells:
            self._cells[cell].given_up = True
        return await self._stop_or_refuse(cell, total, late_s)

    async def _stop_or_refuse(self, cell: str, total: int, late_s: float) -> Stopped:
        kept = self._cells.get(cell)
        if kept is None:
            self._arrivals.refuse(cell)
            return Stopped(dropped=total)
        return await self._stop(kept, STOPPED, late_s)

    async def cancel(self, oid: bytes, force: bool, recursive: bool) -> None:
        """End the one task that makes this object, as `rustray.cancel` does."""
        for cell in self._running():
            for task in cell.tasks.unfinished():
                if task.number == ids.number_of(oid):
                    self._session.tasks.cancel(task, force, recursive)

    async def _stop(self, cell: KeptCell, why: str, late_s: float = 0.0) -> Stopped:
        if cell.ended.is_set():
            return Stopped()
        cell.why_ended = why
        began = time.monotonic() - late_s
        if cell.tasks.end_submission():
            await _wait_for(cell.submitted, SUBMITS_S)
        stop = Stop(self._session, cell.tasks.unfinished())
        await asyncio.to_thread(stop.interrupt)  # of a big loop for a second, in which others ask
        if not await _ends(stop, began + KIND_S):
            stop.kill()
            await _ends(stop, time.monotonic() + KILL_S)
        outcome = stop.outcome()
        return replace(outcome, dropped=outcome.dropped + cell.tasks.left_out)

    def _time_out(self, cell: KeptCell) -> None:
        if not cell.ended.is_set():
            task = self._loop.create_task(self._stop(cell, TIMED_OUT))
            self._stops.add(task)
            task.add_done_callback(self._stops.discard)

    # -- what kernels ask ------------------------------------------------------------------------------

    async def follow_cell(self, cell: str, wants_results: bool) -> tuple[CellState, list[list[Sent]]]:
        """Its state at its end, with its results as `submit` orders them: small ones as they are, others as refs.

        Until then what it prints goes to the caller, as the output of this call.
        """
        if cell not in self._cells and not self._arrivals.is_refused(cell):
            await self._arrivals.wait(cell, ARRIVES_S)
        kept = self._cells.get(cell)
        if kept is None:
            raise RustRayError(f"The cell {cell} has not come to its keeper, or is not kept any more.")
        call = running.get()
        assert call is not None
        follower = (call.channel, call.number)
        kept.add_follower(follower)
        try:
            await kept.ended.wait()
        finally:
            kept.remove_follower(follower)
        rows = kept.tasks.rows if wants_results and not kept.given_up else []
        return kept.state({}), [[as_it_is(ref) for ref in row] for row in rows]

    async def news(self, known: Mapping[str, CellState], wait_s: float) -> dict[str, CellState]:
        """The cells of `known` whose state is another one now; waits up to `wait_s` seconds for one.

        After that it gives all of them, for what is expected of them moves.

        That a kernel asks shows that it is there.
        """
        self._asking += 1
        deadline = self._loop.time() + wait_s
        try:
            while True:
                self._news.clear()
                states = self._states(known)
                changed = {cell: state for cell, state in states.items() if state != known[cell]}
                left = deadline - self._loop.time()
                if changed or left <= 0:
                    return changed or states
                await _wait_for(self._news, left)
                if known:
                    await asyncio.sleep(PAUSE_S)
        finally:
            self._asking -= 1
            self._seen = time.monotonic()

    async def delivered(self, cell: str) -> None:
        """The kernel has the results of a cell for which it has waited."""
        if cell in self._cells and self._cells[cell].ended.is_set():
            self._cells[cell].tasks.let_results_go()

    async def cells(self) -> list[CellState]:
        """All cells that it knows, the oldest first."""
        return list(self._states(self._cells).values())

    def _states(self, cells: Iterable[str]) -> dict[str, CellState]:
        """The states of those that are known."""
        found = {cell: self._cells[cell] for cell in cells if cell in self._cells}
        keys = [key for cell in found.values() for key in cell.tasks.keys]
        known = self._predictions.look(time.monotonic(), keys)
        return {cell: kept.state(known) for cell, kept in found.items()}

    async def results(self, cell: str) -> list[list[ObjectRef]]:
        """The refs of its tasks, one row each; [] if they are not kept any more."""
        if cell not in self._cells:
            return []
        await self._cells[cell].submitted.wait()
        return self._cells[cell].tasks.rows

    async def log(self, cell: str) -> list[Entry]:
        """What a cell has printed and displayed, its beginning left out where it is long; [] where it is forgotten."""
        return self._cells[cell].log() if cell in self._cells else []

    async def log_of(self, oid: bytes) -> list[Entry]:
        """The same of the cell one of whose tasks makes this object; [] where the cell is forgotten."""
        cell = self._cells.get(self._by_number.cell_of(ids.number_of(oid)))
        return [] if cell is None else cell.log()

    # -- the end ---------------------------------------------------------------------------------------

    def _forget_old(self) -> None:
        ended = [cell for cell in self._cells.values() if cell.ended.is_set()]
        for cell in ended[: max(0, len(ended) - CELLS_KEPT)]:
            del self._cells[cell.request.cell]
        with_results = [cell for cell in ended if cell.tasks.rows]
        for cell in with_results[: max(0, len(with_results) - RESULTS_KEPT)]:
            cell.tasks.let_results_go()

    async def _linger(self) -> None:
        while True:
            await asyncio.sleep(min(10.0, self._grace_s / 4))
            alone = not self._asking and time.monotonic() - self._seen > self._grace_s
            if alone and not self._running():
                get_runtime_context().current_actor.end.remote()
                return

    async def end(self) -> None:
        """Rule 3."""
        exit_actor()


async def _ends(stop: Stop, deadline: float) -> bool:
    """Whether all of it ends until this monotonic time; at least one look later."""
    while True:
        began = time.monotonic()
        if not stop.left():
            return True
        await asyncio.sleep(max(LOOK_S, 4 * (time.monotonic() - began)))  # of a big loop a look takes long
        if time.monotonic() > deadline:
            return not stop.left()


async def _wait_for(event: asyncio.Event, timeout: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), timeout)
    except TimeoutError:
        pass  # nothing has happened, which is an answer too
