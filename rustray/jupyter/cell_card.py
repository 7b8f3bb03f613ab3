"""A cell's state as it is shown: a line of text, and the same with a bar. It moves where the front end can.

What a notebook's file keeps of a card may be read long after its kernel has ended, so a card never says that something
runs without saying when that was.
"""

from __future__ import annotations

import time
from html import escape

from rustray.driver import cells
from rustray.jupyter.cell_state import DONE, LEFT, LOST, RUNNING, STOPPED, CellState
from rustray.model import colours
from rustray.progress.bar import colour_bar, laid_out

_COLOURS = {
    RUNNING: colours.RUNNING,
    LEFT: colours.RUNNING,
    DONE: colours.DONE,
    STOPPED: colours.CANCELLED,
    LOST: colours.WAITING,
}


class CellCard:
    """The card of one cell, shown where it is displayed.

    Parameters
    ----------
    state: as it is now.
    label: what it is called here, its name if not given.
    from_before: whether an earlier kernel has run it: the card tells which cell it was, what it gives, and the last
        lines of one that has ended (of others they are shown as they come).

    Attributes
    ----------
    note: what else is to be said of it.
    """

    def __init__(self, state: CellState, label: str = "", from_before: bool = False) -> None:
        self.state = state
        self.note = ""
        self._label = label or state.name
        self._from_before = from_before
        self._tail = state.tail if from_before and state.ended is not None else ()
        # Of the cell: a front end that still has the card of an earlier kernel moves that one too.
        self._display_id = f"rustray-{state.cell}"
        self._shown = False

    def __repr__(self) -> str:
        told = card_text(self.state, time.time(), self._label, self._more())
        return "\n".join([told, *(f"    {line}" for line in self._tail)])

    def _repr_html_(self) -> str:
        tail = escape("\n".join(self._tail))
        text = f'<pre style="margin:0 0 0 1.2em;opacity:.8">{tail}</pre>' if tail else ""
        return card_html(self.state, time.time(), self._label, self._more()) + text

    def _more(self) -> str:
        parts = [self.note] * bool(self.note)
        if self._from_before:
            parts += [self.state.origin, f"begun {clock(self.state.started)}"]
            parts += [f"gives {', '.join(self.state.wanted)}"] * bool(self.state.wanted)
        return "; ".join(parts)

    def display(self) -> None:
        """Show it in the notebook's present cell."""
        from IPython.display import display

        self._shown = True
        display(self, display_id=self._display_id)  # type: ignore[no-untyped-call]

    def update(self, state: CellState) -> None:
        """It has another state; from any thread."""
        self.state = state
        shell = cells.kernel_shell()
        if shell is None or not self._shown:
            return  # a terminal: what was printed stays as it is
        kernel = shell.kernel
        content = {
            "data": {"text/plain": repr(self), "text/html": self._repr_html_()},
            "metadata": {},
            "transient": {"display_id": self._display_id},
        }
        # Under the cell that runs now: front ends find the display by its id, but headless clients listen to that cell.
        kernel.session.send(
            kernel.iopub_socket,
            "update_display_data",
            content,
            parent=shell.get_parent(),
            ident=b"update_display_data",
        )


def card_text(state: CellState, now: float, label: str = "", more: str = "") -> str:
    """As "training: running for 12 s (as of Mar 5 12:03:20)"."""
    told = f"{label or state.name}: {_told(state, now)}{_as_of(state, now)}"
    return told + (f"; {more}" if more else "")


def card_html(state: CellState, now: float, label: str = "", more: str = "") -> str:
    """The same; of a `--map` with a bar."""
    dot = f'<span style="color:{_COLOURS.get(state.how, colours.FAILED)}">&#9679;</span>'
    as_of = f'<small style="opacity:.6;white-space:nowrap">{_as_of(state, now)}</small>'
    line = f"{dot} <b>{escape(label or state.name)}</b> <span>{escape(_told(state, now))}</span>{as_of}"
    counts = state.total, state.done, state.failed, state.without_value, state.running
    return laid_out(
        line,
        f'<small style="margin-left:1.2em">{escape(more)}</small>' if more else "",
        colour_bar(*counts) if state.mapped else "",
    )


def _told(state: CellState, now: float) -> str:
    told = state.told(now)
    return f"{told}, %rustray attach shows it" if state.how == LEFT else told


def _as_of(state: CellState, now: float) -> str:
    return f" (as of {clock(now)})" if state.how == RUNNING else ""


def clock(at: float) -> str:
    """A time of this place, as "Mar 5 12:03:20"."""
    local = time.localtime(at)
    return time.strftime(f"%b {local.tm_mday} %H:%M:%S", local)
