"""The cards of cells move: a thread asks their keeper for news, which also shows it that the kernel is there.

A headless client (nbclient, nbconvert) takes a card's news only while a cell runs, and only under that cell. So what
came between two cells is shown again when the next one begins, and each cell ends with a look at all cards: what stands
in a notebook's file is as new as its last cell.
"""

from __future__ import annotations

import dataclasses
import threading
import time
import traceback
from collections.abc import Callable

import rustray
from rustray.driver import cells
from rustray.driver.actor_handle import ActorHandle
from rustray.driver.session import Session
from rustray.errors import RustRayError
from rustray.jupyter.cell_card import CellCard
from rustray.jupyter.cell_state import LOST, CellState

ALONE_S = 30.0
"""How long the keeper is asked for news of nothing, which tells it that the kernel is there,"""
WATCHING_S = 1.0
"""and of cells that are shown: their times go on."""
PAUSE_S = 0.2
"""Between two changes of what is shown."""
AGAIN_S = 1.0
"""After a defect."""
LOOK_S = 0.3
"""For which a cell's end may be delayed by a keeper that does not answer, if there are cards that move."""


class News:
    """See the module.

    Parameters
    ----------
    keeper: the handle of one.
    heard: called with each state of a cell that is shown.
    """

    def __init__(self, session: Session, keeper: ActorHandle, heard: Callable[[CellState], None]) -> None:
        self._session = session
        self._keeper = keeper
        self._heard = heard
        self._lock = threading.Lock()
        self._shown: dict[str, tuple[CellState | None, CellCard]] = {}
        self._between: dict[str, CellCard] = {}
        """Cards that have moved while no cell ran."""
        self._cell_runs = True
        self._wake = threading.Event()
        self._told = ""
        self._shell = shell = cells.kernel_shell()
        if shell is not None:
            shell.events.register("pre_run_cell", self._on_begin)
            shell.events.register("post_run_cell", self._on_end)
        threading.Thread(target=self._ask, name="rustray-news", daemon=True).start()

    def show(self, card: CellCard) -> None:
        """Have this card show each new state of its cell, until that has ended."""
        with self._lock:
            self._shown[card.state.cell] = (None, card)
        self._wake.set()

    def hide(self, cell: str) -> None:
        """Nobody has to show it any more."""
        with self._lock:
            self._shown.pop(cell, None)

    def close(self, how: str) -> None:
        """There will be no more news: the cards say how their cells were left."""
        with self._lock:
            left, self._shown = [card for _state, card in self._shown.values()], {}
        now = time.time()
        for card in left:
            if card.state.ended is None:
                self._move(card, dataclasses.replace(card.state, how=how, ended=now))

    # -- asking ----------------------------------------------------------------------------------------

    def _ask(self) -> None:
        while self._session.ended is None and self._keeper._channel.dead is None:
            try:
                self._ask_once()
            except Exception as error:  # a defect: it is told, and the next cells have their news
                if self._session.ended is None and self._keeper._channel.dead is None:
                    self._report(error)
                    threading.Event().wait(AGAIN_S)
        self.close(LOST)
        self._unregister()

    def _ask_once(self) -> None:
        known = self._known()
        self._wake.clear()
        # Not by get(): what waits in it is watched, and told when it takes long.
        ref = self._keeper.news.remote(known, WATCHING_S if known else ALONE_S)
        self._session.objects.when_ready(ref._entry, self._wake.set)
        if not self._wake.wait(2 * ALONE_S) or not ref._entry.ready:
            return  # another cell is to be shown
        self._take(self._session.reader.value_of(ref._entry))
        if known:
            threading.Event().wait(PAUSE_S)

    def _known(self) -> dict[str, CellState | None]:
        with self._lock:
            return {cell: state for cell, (state, _card) in self._shown.items()}

    def _take(self, states: dict[str, CellState]) -> None:
        for cell, state in states.items():
            with self._lock:
                _before, card = self._shown.get(cell, (None, None))
                if card is None:
                    continue
                if state.ended is None:
                    self._shown[cell] = (state, card)
                else:
                    del self._shown[cell]
                if not self._cell_runs:
                    self._between[cell] = card
            self._heard(state)
            self._move(card, state)

    def _move(self, card: CellCard, state: CellState) -> None:
        try:
            card.update(state)
        except Exception as error:  # its front end may be gone, and other cards are to move
            self.hide(state.cell)
            self._log(error)

    def _report(self, error: Exception) -> None:
        """On the cards, where the user looks, and in full in the kernel's log."""
        told = f"no news: {type(error).__name__}: {error}".partition("\n")[0]
        with self._lock:
            cards = [card for _state, card in self._shown.values()]
        for card in cards:
            card.note = told
            self._move(card, card.state)
            card.note = ""
        if told != self._told:
            self._told = told
            self._log(error)

    def _log(self, error: Exception) -> None:
        if self._shell is not None:
            told = "".join(traceback.format_exception(error))
            self._shell.kernel.log.error("rustray: a card of a %%%%remote cell does not move.\n%s", told)

    # -- the notebook's cells --------------------------------------------------------------------------

    def _on_begin(self, *_info: object) -> None:
        with self._lock:
            self._cell_runs = True
            between, self._between = self._between, {}
        for card in between.values():
            self._move(card, card.state)

    def _on_end(self, *_result: object) -> None:
        try:
            if (known := self._known()) and self._session.ended is None:
                self._take(rustray.get(self._keeper.news.remote(known, 0.0), timeout=LOOK_S))
        except (RustRayError, KeyboardInterrupt):
            pass  # the card says of when it is
        finally:
            self._cell_runs = False

    def _unregister(self) -> None:
        for event, call in (("pre_run_cell", self._on_begin), ("post_run_cell", self._on_end)):
            if self._shell is not None and call in self._shell.events.callbacks[event]:
                self._shell.events.unregister(event, call)
