"""One run of a `%%remote` cell, in the kernel: waiting for it, taking its results, stopping it."""

from __future__ import annotations

import re
import time
from typing import Any

import rustray
from rustray.driver.grouping import grouped_failures
from rustray.driver.refs import ObjectRef
from rustray.errors import GetTimeoutError, RustRayError, SerializationError, TaskError
from rustray.jupyter.cell_card import CellCard
from rustray.jupyter.cell_state import TIMED_OUT, CellState
from rustray.jupyter.cell_tasks import CellRequest, Sent
from rustray.jupyter.keeper_link import KeeperLink
from rustray.jupyter.parcel import Parcel

STOP_S = 4.0
"""Seconds within which the keeper must say what it has stopped; it takes two."""
SHOWN_S = 2.0
"""Seconds within which the rest of what a cell has printed must have come once it is stopped."""
CARD_S = 2.0
"""Seconds after which a cell that is waited for shows how it is."""
READ_ONLY = (
    "Arrays that come from shared memory cannot be written to, for others read them too: "
    "write to a copy, array = array.copy()."
)
_OF_RESULT = re.compile(r"(?:the result|result (\d+)) of (.*?)\(\)(?: -> |: )", re.DOTALL)


class CellRun:
    """See the module.

    Parameters
    ----------
    card: what shows its state from the beginning; None: one does that shows up when the cell takes long.
    """

    def __init__(self, link: KeeperLink, request: CellRequest, card: CellCard | None) -> None:
        self._link = link
        self._request = request
        self._card = card
        self._submitted = link.submit(request)
        self._end = link.follow(
            request.cell,
            request.name,
            named=request.elements is not None,
            wants_results=not request.background,
        )
        if card is not None:
            link.show(request.cell, card.update)

    def _show_card(self) -> None:
        request = self._request
        self._card = CellCard(CellState.begins(request.cell, request.name, time.time() - CARD_S))
        self._card.display()
        self._link.show(request.cell, self._card.update)

    def rows(self) -> list[list[ObjectRef]]:
        """Of a background cell, the refs of its tasks: the value and the wanted variables of each."""
        try:
            return self._link.submitted_rows(self._request.cell, self._submitted)
        except KeyboardInterrupt as error:
            error.add_note(self.stop())
            raise

    def results(self) -> list[list[Any]]:
        """Of another cell, the same as values, when it has ended; then all that it has printed has come too.

        KeyboardInterrupt stops it first; its `__notes__` tell what was stopped.
        """
        try:
            if self._card is None and not rustray.wait([self._end], timeout=CARD_S)[0]:
                self._show_card()
            _rows, (state, sent) = rustray.get([self._submitted, self._end])
            self._show(state)
            return [self._one_of(sent[0])] if self._request.elements is None else self._all_of(sent)
        except KeyboardInterrupt as error:
            error.add_note(self.stop())
            raise
        finally:
            if self._link.session.ended is None:
                self._link.keeper.delivered.remote(self._request.cell)

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
        results, failures = [], []
        first: RustRayError | None = None
        for position, row in enumerate(rows):
            try:
                results.append([opened(one) for one in row])
            except RustRayError as error:
                first = first or error
                failures.append((position, _line(error)))
        if first is not None:
            first.add_note(grouped_failures(len(rows), failures, "element"))
            raise first
        return results

    def _show(self, state: CellState) -> None:
        """Show its last state; GetTimeoutError if its `--timeout` has stopped it."""
        if self._card is not None:
            self._link.hide(self._request.cell)
            self._card.update(state)
        if state.how == TIMED_OUT:
            raise GetTimeoutError(
                f"%%remote --timeout: {self._request.name} was stopped after {self._request.timeout:g} s."
            )

    def stop(self) -> str:
        """End its tasks, and only its; says what was stopped."""
        name = self._request.name
        try:
            stopped = self._link.stop(self._request.cell, STOP_S)
            if rustray.wait([self._end], timeout=SHOWN_S)[0]:
                self._show(rustray.get(self._end)[0])
        except GetTimeoutError:
            return f"{name} was told to stop, and has not answered yet"
        except KeyboardInterrupt:
            return f"{name} was told to stop"
        except RustRayError as error:
            return f"{name} could not be stopped: {error}"
        return f"{name}: {stopped}"


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
