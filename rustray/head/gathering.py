"""Questions that only the nodes themselves can answer: each is asked, and what has come in time is the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rustray.head.node_links import NodeLinks

NODES_ANSWER_S = 1.0
LARGEST = 20

Answered = Callable[[bool, Any], None]


class _Asked:
    def __init__(self, deadline: float, missing: set[str], answered: Answered) -> None:
        self.deadline = deadline
        self.missing = missing
        self.answered = answered
        self.rows: list[dict[str, Any]] = []


class Gathering:
    """The questions of one head that are on their way.

    Parameters
    ----------
    now: monotonic seconds.
    """

    def __init__(self, now: Callable[[], float], nodes: NodeLinks) -> None:
        self._now = now
        self._nodes = nodes
        self._asked: dict[int, _Asked] = {}
        self._tokens = 0

    def ask_objects(self, answered: Answered, largest: int = LARGEST) -> None:
        """One row a node: "node", "used", "capacity", "spilled" (bytes), "count", and "objects", the `largest` that it
        has: "id", "size" (bytes), "place" ("memory" or "disk"), "owner" (client, and its "owner_node") and
        "references" (clients and nodes that hold it, values that contain it). A node that is late is left out."""
        self._ask(answered, "objects", max(0, int(largest)))

    def _ask(self, answered: Answered, what: str, *args: Any) -> None:
        names = {link.name for link in self._nodes if not link.info.get("gateway")}
        if not names:
            answered(True, [])
            return
        self._tokens += 1
        self._asked[self._tokens] = _Asked(self._now() + NODES_ANSWER_S, names, answered)
        for name in list(names):
            self._nodes.to_node(name, ("gather", self._tokens, what, args))

    def on_gathered(self, node: str, token: int, row: dict[str, Any]) -> None:
        """A node has answered."""
        asked = self._asked.get(token)
        if asked is None or node not in asked.missing:
            return  # too late
        asked.missing.discard(node)
        asked.rows.append({"node": node, **row})
        if not asked.missing:
            self._end(token)

    def tick(self, now: float) -> None:
        """Nodes that do not answer in time are not waited for."""
        for token, asked in list(self._asked.items()):
            if now >= asked.deadline:
                self._end(token)

    def _end(self, token: int) -> None:
        asked = self._asked.pop(token)
        asked.answered(True, sorted(asked.rows, key=lambda row: str(row["node"])))
