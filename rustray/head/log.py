"""Where the head's commands go: to a replicated log, or, in an embedded cluster, straight to the state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from rustray.cluster.state import ClusterState

Then = Callable[[dict[str, Any]], None]


class Log(Protocol):
    """Commands in one order, the same at every head. `raft.Replica` is one, `LocalLog` another."""

    state: ClusterState

    def submit(self, op: str, payload: dict[str, Any], then: Then) -> None:
        """Have a command applied; `then(result)` is called once, when it is committed or has failed."""

    def heads(self) -> list[dict[str, Any]]:
        """One row a head: "address", "state", "term", "committed", "lag", "rtt_s": see `MetricsQueries.heads`."""


class LocalLog:
    """The log of a cluster that ends with its only server: a command is committed when it is applied."""

    def __init__(self) -> None:
        self.state = ClusterState()
        self._applied = 0

    def submit(self, op: str, payload: dict[str, Any], then: Then) -> None:
        self._applied += 1
        then(self.state.apply(op, payload))

    def heads(self) -> list[dict[str, Any]]:
        row = {
            "address": "",
            "state": "leads",
            "term": 1,
            "committed": self._applied,
            "lag": 0,
            "rtt_s": None,
        }
        return [row]
