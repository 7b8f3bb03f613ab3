"""One run of a `%%remote` cell, in the kernel: waiting for it, taking its results, stopping it."""

from __future__ import annotations

import re
from typing import Any

import rustray
from rustray.driver.grouping import grouped_failures
from rustray.driver.refs import ObjectRef
from rustray.errors import GetTimeoutError, RustRayError, SerializationError, TaskError
from rustray.jupyter.cell_card import CellCard
from rustray.jupyter.cell_state import TIMED_OUT, CellState
from rustray.jupyter.cell_tasks import CellRequest
from rustray.jupyter.keeper_link import KeeperLink

STOP_S = 4.0
"""Seconds within which the keeper must say what it has stopped; it takes two."""
SHOWN_S = 5.0
"""Seconds within which the rest of what a cell has printed must have come once its results have."""
READ_ONLY = (
    "Arrays that come from shared memory cannot be written to, for others read them too: "
    "write to a copy, array = array.copy()."
)
_OF_RESULT = re.compile(r"(?:the result|result (\d+)) of (.*?)\(\)(?: -> |: )", re.DOTALL)


class CellRun:
    """See the module.

    Parameters
    ----------
    card: what shows its state, None if nothing does.
    """

    def __init__(self, link: KeeperLink, request: CellRequest, card: CellCard | None) -> None:
        self._link = link
        self._request = request
        self._card = card
        self._rows = link.submit(request)
        self._end = link.follow(request.cell, request.name if request.elements is not None else "")
        if card is not None:
            link.show(request.cell, card.update)

    def rows(self) -> list[list[ObjectRef]]:
        """The refs of its tasks: the value and the wanted variables of each."""
        found: list[list[ObjectRef]] = rustray.get(self._rows)
        return found

    def results(self) -> list[list[Any]]:
        """The same as values, when it has ended and what it has printed is shown.

        KeyboardInterrupt stops it first; its `__notes__` tell what was stopped.
        """
        try:
            rows = self.rows()
            return [self._one_of(rows[0])] if self._request.elements is None else self._all_of(rows)
        except KeyboardInterrupt as error:
            error.add_note(self.stop())
            raise
        finally:
            if self._link.session.ended is None:
                self._link.keeper.delivered.remote(self._request.cell)

    def _one_of(self, row: list[ObjectRef]) -> list[Any]:
        try:
            values: list[Any] = rustray.get(row)
        except SerializationError as error:
            self._end_of_text()
            raise not_brought(error, self._request) from None
        except (RustRayError, ValueError) as error:
            self._end_of_text()
            if "read-only" in str(error) and isinstance(error, ValueError):
                error.add_note(READ_ONLY)
            raise
        self._end_of_text()
        return values

    def _all_of(self, rows: list[list[ObjectRef]]) -> list[list[Any]]:
        state: CellState = rustray.get(self._end)
        self._show(state)
        if not state.failed:
            flat = rustray.get([ref for row in rows for ref in row])
            width = 1 + len(self._request.wanted)
            return [flat[at : at + width] for at in range(0, len(flat), width)]
        failures = []
        first: Exception | None = None
        for position, row in enumerate(rows):
            try:
                rustray.get(row[0])
            except RustRayError as error:
                first = first or error
                failures.append((position, _line(error)))
        assert first is not None
        first.add_note(grouped_failures(len(rows), failures, "element"))
        raise first

    def _end_of_text(self) -> None:
        """Wait until all that it has printed is shown; or five seconds have passed. GetTimeoutError if
        its own `--timeout` has stopped it."""
        done, _late = rustray.wait([self._end], timeout=SHOWN_S)
        if done:
            self._show(rustray.get(self._end))

    def _show(self, state: CellState) -> None:
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
            stopped = rustray.get(self._link.keeper.stop.remote(self._request.cell), timeout=STOP_S)
            self._end_of_text()
        except GetTimeoutError:
            return f"{name} was told to stop, and has not answered yet"
        except KeyboardInterrupt:
            return f"{name} was told to stop"
        return f"{name}: {stopped}"


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
