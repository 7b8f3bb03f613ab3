"""A cell's state as it is shown: a line of text, and the same with a bar. It moves where the front end can."""

from __future__ import annotations

import time
import uuid
from html import escape

from rustray.driver import cells
from rustray.jupyter.cell_state import DONE, RUNNING, CellState

_COLOURS = {RUNNING: "var(--jp-brand-color1, #1976d2)", DONE: "var(--jp-success-color1, #388e3c)"}
_WRONG = "var(--jp-error-color1, #d32f2f)"


class CellCard:
    """The card of one cell, shown where it is displayed.

    Parameters
    ----------
    state: as it is now.
    """

    def __init__(self, state: CellState) -> None:
        self._state = state
        self._display_id = ""

    def __repr__(self) -> str:
        return card_text(self._state, time.time())

    def _repr_html_(self) -> str:
        return card_html(self._state, time.time())

    def display(self) -> None:
        """Show it in the notebook's present cell."""
        from IPython.display import display

        self._display_id = uuid.uuid4().hex
        display(self, display_id=self._display_id)  # type: ignore[no-untyped-call]

    def update(self, state: CellState) -> None:
        """It has another state; from any thread."""
        self._state = state
        shell = cells.kernel_shell()
        if shell is None or not self._display_id:
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


def card_text(state: CellState, now: float) -> str:
    """As "training: running for 12 s"."""
    return f"{state.name}: {state.told(now)}"


def card_html(state: CellState, now: float) -> str:
    """The same; of a `--map` with a bar."""
    colour = _COLOURS.get(state.how, _WRONG)
    line = (
        f'<span style="color:{colour}">&#9679;</span> <b>{escape(state.name)}</b> '
        f"<span>{escape(state.told(now))}</span>"
    )
    if not state.mapped or not state.total:
        return f"<div>{line}</div>"
    parts = ((state.done, _COLOURS[DONE]), (state.failed, _WRONG))
    bars = "".join(
        f'<div style="width:{100 * count / state.total:.1f}%;background:{of}"></div>' for count, of in parts
    )
    bar = (
        '<div style="display:flex;height:4px;max-width:24em;margin-top:3px;border-radius:2px;overflow:hidden;'
        f'background:var(--jp-border-color2, rgba(128,128,128,.3))">{bars}</div>'
    )
    return f"<div>{line}{bar}</div>"
