"""Nodes that the head hears, but that cannot reach each other: one of such a pair has to go.

What is between them would wait for ever: results, calls of actors, objects. The head alone can say that a node is down
so that all believe it, and then tasks run again, actors restart and objects are made again as after any loss of a node.

Rule 1. A node says, again and again, which others it cannot reach. The head waits `CONFIRM_S` for the others' view.
Rule 2. Of a pair, the one goes that fewer others reach; among equals one without drivers; then the younger.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

CONFIRM_S = 2.0
"""Seconds for which a complaint must last."""
FRESH_S = 3.0
"""Seconds after which a complaint that is not repeated is forgotten."""


class Reachability:
    """The complaints of nodes about each other, by their numbers."""

    def __init__(self) -> None:
        self._complaints: dict[tuple[int, int], tuple[float, float]] = {}
        """(by, about) -> since when, and when last"""

    def __bool__(self) -> bool:
        """Whether there are complaints."""
        return bool(self._complaints)

    def hear(self, now: float, by: int, about: Iterable[int]) -> None:
        """A node cannot reach these others."""
        for other in about:
            since, _last = self._complaints.get((by, other), (now, now))
            self._complaints[by, other] = (since, now)

    def decide(
        self, now: float, members: Collection[int], with_drivers: Collection[int]
    ) -> tuple[int, int] | None:
        """(the node that is to go, the one that it cannot reach or that cannot reach it), or None.

        Parameters
        ----------
        members: the nodes that are linked to the head. with_drivers: those that have drivers.
        """
        self._complaints = {
            pair: (since, last)
            for pair, (since, last) in self._complaints.items()
            if now - last <= FRESH_S and set(pair) <= set(members)
        }
        lasting = [pair for pair, (since, _last) in self._complaints.items() if now - since >= CONFIRM_S]
        if not lasting:
            return None
        apart = self._apart()
        goes = max(
            {node for pair in lasting for node in pair},
            key=lambda n: (len(apart[n]), n not in with_drivers, n),
        )
        other = min(apart[goes])
        return goes, other

    def _apart(self) -> Mapping[int, set[int]]:
        """Which nodes each one is cut off from, whoever of the two has said so."""
        apart: dict[int, set[int]] = defaultdict(set)
        for by, about in self._complaints:
            apart[by].add(about)
            apart[about].add(by)
        return apart
