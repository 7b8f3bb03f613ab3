"""Whether a head of the cluster answers the node, and what those are told who need one and wait.

The node tells its clients when it has lost the head, and when it has found one again (`node.head_outage`). What runs
does not need the head; new leases, actors, names, `rustray.kv` and questions about the cluster do.

Rule 1. A loss as short as a change of the leader is not worth a word: `TOLD_AFTER_S`.
Rule 2. Whoever waits is told once of a loss, and in a notebook once in each cell that waits.
Rule 3. A request is given up `GIVE_UP_AFTER_S` after it was made or the head was lost, whichever is later. Tasks and
        calls are not: their refs wait for a head, as they wait for a slot.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from rustray.driver import cells
from rustray.driver.reactor import Awaited
from rustray.errors import NotCommittedError, RustRayError, SessionError

TOLD_AFTER_S = 3.0
GIVE_UP_AFTER_S = 60.0
LOOK_S = 0.5
"""Seconds after which who waits looks whether there still is a head."""

Wait = Callable[[Awaited, float | None], bool]


class HeadContact:
    """What one session knows of the head.

    Parameters
    ----------
    wait: waits for something, for so many seconds at most: `Reactor.wait`.
    """

    def __init__(self, wait: Wait) -> None:
        self._wait = wait
        self._lost_since: float | None = None
        self._reason = ""
        self._heads: tuple[str, ...] = ()
        self._told = False
        self._told_in: Any = None

    @property
    def is_lost(self) -> bool:
        """Whether no head answers."""
        return self._lost_since is not None

    def on_lost(self, for_s: float, reason: str, heads: Sequence[str]) -> None:
        """The node has had no head for so long; told again when the reason is another."""
        if self._lost_since is None:
            self._lost_since, self._told = time.monotonic() - for_s, False
        self._reason, self._heads = reason, tuple(heads)

    def on_found(self) -> None:
        """There is one, perhaps another one."""
        self._lost_since = None

    def text(self, now: float) -> str:
        """That no head answers, which were tried, and why; "" when one does."""
        if self._lost_since is None:
            return ""
        return (
            f"no leading head of the cluster has answered for {now - self._lost_since:.0f} s (tried: "
            f"{', '.join(self._heads)}; the last reason: {self._reason.rstrip('.')})"
        )

    def tell(self, now: float, waiting_since: float) -> None:
        """Somebody waits for what needs a head: say so, if that takes long."""
        if self._lost_since is None or now - max(self._lost_since, waiting_since) < TOLD_AFTER_S:
            return
        cell = cells.running_cell()
        if self._told and cell == self._told_in:
            return
        self._told, self._told_in = True, cell
        line = f"rustray: {self.text(now)}. What runs goes on; what needs a head waits for one.\n"
        cells.writer()("stderr", line)

    def wait_for_answer(self, awaited: Awaited, what: str, changes: bool) -> None:
        """Block until `awaited` is ready; it is the head's to answer.

        Parameters
        ----------
        what: the request, for messages.
        changes: whether it would change the cluster's facts.

        Raises
        ------
        NotCommittedError, SessionError (of one that changes nothing): no head has answered for `GIVE_UP_AFTER_S`.
        """
        asked = time.monotonic()
        while not self._wait(awaited, LOOK_S):
            now = time.monotonic()
            if self._lost_since is None:
                continue
            self.tell(now, asked)
            if now - max(asked, self._lost_since) >= GIVE_UP_AFTER_S:
                raise self._given_up(now, what, changes)

    def _given_up(self, now: float, what: str, changes: bool) -> RustRayError:
        text = self.text(now)
        if changes:
            return NotCommittedError(
                f"{what} is not confirmed: {text}. It may still be carried out when a head is back: look before you "
                "repeat it."
            )
        return SessionError(f"{what} has no answer: {text}. The node is well: ask again when a head is back.")
