"""How soon an actor that died may be started again: at once after a long life, later and later if it keeps dying."""

from __future__ import annotations

FIRST_PAUSE_S = 0.1
"""Before the second restart in a row: longer than a worker takes to come up, so that the machine is left to others."""
LONGEST_PAUSE_S = 10.0
"""What it waits for (a database, a file) is mostly back within minutes: it should not be late by more than this."""
STEADY_S = 10.0
"""An actor that lived for so long has not died of how it begins: its next restart is a first one again."""


class RestartPace:
    """Deaths of actors in a row, as this leader has seen them: the next one begins anew.

    The first restart is immediate, for what befell the process has mostly nothing to do with the actor.
    """

    def __init__(self) -> None:
        self._deaths: dict[bytes, int] = {}
        self._alive_since: dict[bytes, float] = {}
        self._not_before: dict[bytes, float] = {}

    def on_alive(self, actor: bytes, now: float) -> None:
        """Its constructor has returned."""
        self._alive_since[actor] = now

    def on_death(self, actor: bytes, now: float) -> None:
        """Its process has ended by itself or was killed."""
        since = self._alive_since.pop(actor, None)
        if since is not None and now - since >= STEADY_S:
            self._deaths.pop(actor, None)
        deaths = self._deaths[actor] = self._deaths.get(actor, 0) + 1
        if deaths > 1:
            pause = min(FIRST_PAUSE_S * 2.0 ** min(deaths - 2, 16), LONGEST_PAUSE_S)
            self._not_before[actor] = now + pause

    def not_before(self, actor: bytes) -> float:
        """The time from which on it may be started."""
        return self._not_before.get(actor, 0.0)

    def forget(self, actor: bytes) -> None:
        """It will not be started any more."""
        for known in (self._deaths, self._alive_since, self._not_before):
            known.pop(actor, None)
