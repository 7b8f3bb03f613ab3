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


class LocalLog:
    """The log of a cluster that ends with its only server: a command is committed when it is applied."""

    def __init__(self) -> None:
        self.state = ClusterState()

    def submit(self, op: str, payload: dict[str, Any], then: Then) -> None:
        then(self.state.apply(op, payload))
