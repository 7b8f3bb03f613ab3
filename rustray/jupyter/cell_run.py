"""One run of a `%%remote` cell, in the kernel: waiting for it, taking its results, stopping it.

A kernel that is to be restarted is interrupted first, as by the stop button (jupyter_client's `shutdown_kernel`). So a
stop waits until it shows that no restart follows: what runs goes on for the next kernel.
"""

from __future__ import annotations

import dataclasses
import math
import re
import time
from typing import Any

import rustray
from rustray.driver import cells
from rustray.driver.grouping import grouped_failures
from rustray.driver.refs import ObjectRef
from rustray.driver.stopping import Stopped
from rustray.errors import GetTimeoutError, RustRayError, SerializationError, TaskCancelledError, TaskError
from rustray.jupyter import notebook
from rustray.jupyter.cell_card import CellCard
from rustray.jupyter.cell_state import FAILED, STOPPED, TIMED_OUT, CellState
from rustray.jupyter.cell_tasks import CellRequest, Sent
from rustray.jupyter.keeper_link import KeeperLink
from rustray.jupyter.named_cells import CELLS
from rustray.jupyter.parcel import Parcel

STOP_S = 4.0
"""Seconds within which the keeper must say what it has stopped; it takes two."""
SHOWN_S = 2.0
"""Seconds within which the rest of what a cell has printed must have come once it is stopped."""
RESTART_S = 0.25
"""Seconds within which it shows that a kernel was interrupted because it is to be restarted."""
LOOK_S = 0.01
CARD_S = 2.0
"""Seconds of silence after which a cell that is waited for shows how it is. While it prints that is plain to see, and a
card would stand in the middle of it."""
READ_ONLY = (
    "Arrays that come from shared memory cannot be written to, for others read them too: "
    "write to a copy, array = array.copy()."
)
_OF_RESULT = re.compile(r"(?:the result|result (\d+)) of (.*?)\(\)(?: -> |: )", re.DOTALL)


class CellRun:
    """See the module. To be entered: an interrupt inside, wherever it comes, stops what has been submitted, unless the
    kernel is restarted, and has what was stopped in its `__notes__`.

    Parameters
    ----------
    card: what shows its state from the beginning; None: one does that shows up when nothing comes for long.

    Attributes
    ----------
    partial: the results of a `--map` of which some elements have failed, with their errors; so has the error raised as
        its `results`.
    """

    def __init__(self, link: KeeperLink, request: CellRequest, card: CellCard | None) -> None:
        self._link = link
        self._request = request
        self._card = card
        self._sent = False
        self._silence = _Silence()
        self._left_running = False
        """For the next kernel."""
        self._end: ObjectRef | None = None
        self.partial: list[Any] | None = None

    def __enter__(self) -> CellRun:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, KeyboardInterrupt):
            error.add_note(self._stop_surely())
        card = self._card
        if error is not None and card is not None and card.state.ended is None:
            if self._end is None or not isinstance(error, KeyboardInterrupt):
                how = STOPPED if isinstance(error, KeyboardInterrupt) else FAILED
                self._show(dataclasses.replace(card.state, how=how, ended=time.time()))
        if self._left_running or self._request.background:
            return
        if self._sent and self._link.session.ended is None:
            self._link.keeper.delivered.remote(self._request.cell)

    def submit(self) -> ObjectRef:
        """Have it run; gives the ref of what `KeeperLink.submit` gives."""
        request, link = self._request, self._link
        self._sent = True  # from here on it may have left
        submitted = link.submit(request)
        self._silence.begin()
        self._end = link.follow(
            request.cell,
            request.name,
            named=request.elements is not None,
            wants_results=not request.background,
            heard=self._silence.begin,
        )
        if self._card is not None:
            link.news.show(self._card)
        return submitted

    def _show_card_in_silence(self) -> None:
        started = time.time()
        while not rustray.wait([self._end], timeout=self._silence.left())[0]:
            if not self._silence.left():
                self._show_card(started)
                return

    def _show_card(self, started: float) -> None:
        request = self._request
        state = self._link.state(request.cell)
        self._card = CellCard(state or CellState.begins(request.cell, request.name, started))
        self._card.display()
        self._link.news.show(self._card)

    def rows(self) -> list[list[ObjectRef]]:
        """Run a background cell; gives the refs of its tasks: the value and the wanted variables of each."""
        submitted = self.submit()
        _check(submitted)
        return self._link.submitted_rows(self._request.cell, submitted)

    def results(self) -> list[list[Any]]:
        """Run another cell; gives the same as values, when it has ended. Then all that it has printed has come too."""
        submitted = self.submit()
        if self._card is None:
            self._show_card_in_silence()
        state, sent = self._ended(submitted)
        self._show(state)
        if state.how == TIMED_OUT:
            raise GetTimeoutError(
                f"%%remote --timeout: {self._request.name} was stopped after {self._request.timeout:g} s."
            )
        if len(sent) < state.total:
            _check(submitted)
            raise TaskCancelledError(f"{self._request.name} was stopped before all of it was submitted.")
        return [self._one_of(sent[0])] if self._request.elements is None else self._all_of(sent)

    def _ended(self, submitted: ObjectRef) -> tuple[CellState, list[list[Sent]]]:
        try:
            end: tuple[CellState, list[list[Sent]]] = rustray.get(self._end)
        except RustRayError:
            _check(submitted)
            raise
        cells.CellOutput.show_due(math.inf)  # what a flood has left out is told above the value
        return end

    def _one_of(self, row: list[Sent]) -> list[Any]:
        try:
            return [opened(one) for one in row]
        except SerializationError as error:
            raise not_brought(error, self._request) from None
        except ValueError as error:
            if "read-only" in str(error):
                error.add_note(READ_ONLY)
            raise

    def _all_of(self, rows: list[list[Sent]]) -> list[list[Any]]:
        results: list[list[Any]] = []
        failures = []
        first: RustRayError | None = None
        for position, row in enumerate(rows):
            try:
                results.append([opened(one) for one in row])
            except RustRayError as error:
                first = first or error
                failures.append((position, _line(error)))
                results.append([error])
        if first is not None:
            told = grouped_failures(len(rows), failures, "element")
            if len(failures) < len(rows):
                self.partial = [row[0] for row in results]
                first.results = self.partial  # type: ignore[attr-defined]
                where = f"{CELLS}[{self._request.name!r}]"
                told += f"\n{where} has the values of the others, in order, with the errors in their places."
            first.add_note(told)
            raise first
        return results

    def _show(self, state: CellState) -> None:
        """Show its last state."""
        if self._card is not None:
            self._link.news.hide(self._request.cell)
            self._card.update(state)

    def _stop_surely(self) -> str:
        """Who presses the button again, before the keeper was told to stop, means just that."""
        if not self._sent:
            return f"{self._request.name} had not begun"
        pressed = time.monotonic()
        until = pressed + RESTART_S
        while True:
            try:
                if _restart_shows(until):
                    self._left_running = True
                    return f"{self._request.name} goes on; %rustray attach shows it in the next kernel"
                stopping = self._link.begin_stop(
                    self._request.cell, self._request.total, time.monotonic() - pressed
                )
            except KeyboardInterrupt:
                until = 0.0
                continue
            except RustRayError as error:
                return f"{self._request.name} could not be stopped: {error}"
            return f"{self._request.name}{self._stopped(stopping)}"

    def _stopped(self, stopping: ObjectRef, patiently: bool = True) -> str:
        """What the keeper says of it. Who presses the button again hears it too, for nothing is to end later by that;
        who presses it once more waits no longer.
        """
        try:
            stopped: Stopped = rustray.get(stopping, timeout=STOP_S)
            if self._end is not None and rustray.wait([self._end], timeout=SHOWN_S)[0]:
                self._show(rustray.get(self._end)[0])
                cells.CellOutput.show_due(math.inf)  # what a flood has left out is told above the error
        except GetTimeoutError:
            return " was told to stop, and has not answered yet"
        except KeyboardInterrupt:
            return self._stopped(stopping, False) if patiently else " was told to stop"
        except RustRayError as error:
            return f" could not be stopped: {error}"
        return f": {stopped}"


class _Silence:
    """Since a cell has shown something, or was submitted. Known to what shows that, so it knows nothing of the cell."""

    def __init__(self) -> None:
        self._since = 0.0

    def begin(self) -> None:
        """From any thread."""
        self._since = time.monotonic()

    def left(self) -> float:
        """Seconds until it is one that needs a card."""
        return max(0.0, self._since + CARD_S - time.monotonic())


def _check(submitted: ObjectRef) -> None:
    """Raise why the keeper has not submitted a cell, if it has not; as it is, for it is no error of the user's code."""
    try:
        rustray.get(submitted)
    except TaskError as error:
        raise (error.cause or error) from None


def _restart_shows(until: float) -> bool:
    """Whether the kernel is to be restarted; waits until that monotonic time to learn it."""
    while cells.kernel_shell() is not None and not notebook.is_ending() and time.monotonic() < until:
        time.sleep(LOOK_S)
    return notebook.is_restarting()


def opened(sent: Sent) -> Any:
    """The value of what a keeper has sent."""
    return sent.open() if isinstance(sent, Parcel) else rustray.get(sent)


def _line(error: Exception) -> str:
    """The error in a line, as "ValueError: no"."""
    cause = error.cause if isinstance(error, TaskError) and error.cause is not None else error
    return f"{type(cause).__name__}: {cause}".partition("\n")[0]


def not_brought(error: SerializationError, request: CellRequest) -> SerializationError:
    """The error of a result that cannot travel, told by its name in the cell."""
    cause = error.cause if isinstance(error, TaskError) else error
    found = _OF_RESULT.match(str(cause))
    if found is None or found[2] != request.name:
        return error  # raised by the cell's own code
    index = int(found[1] or 0)
    what = request.wanted[index - 1] if index else "the value of its last line"
    told = f"{what} ({error.path})" if error.path and not index else f"{what}{error.path}"
    return SerializationError(
        f"%%remote brings back what the cell asks for, and {told} cannot be sent: {error.reason}. "
        "End the cell with something else, or keep it in an actor.",
        path=f"{what}{error.path}",
        reason=error.reason,
    )
