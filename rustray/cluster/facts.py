"""The records of the cluster's facts, and what an actor may become."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

PENDING = "PENDING"
ALIVE = "ALIVE"
RESTARTING = "RESTARTING"
DEAD = "DEAD"

TRANSITIONS: dict[str, frozenset[str]] = {
    PENDING: frozenset((ALIVE, RESTARTING, DEAD)),
    ALIVE: frozenset((RESTARTING, DEAD)),
    RESTARTING: frozenset((ALIVE, RESTARTING, DEAD)),  # it may fail again before it lives
    DEAD: frozenset(),
}

ACTOR_ID_BYTES = 16


@dataclass(slots=True)
class Job:
    """`end` is None while it runs. Times are seconds since the epoch."""

    id: int
    name: str
    namespace: str
    start: float
    end: float | None = None
    cause: str = ""


@dataclass(slots=True)
class Node:
    """`removed` is None while it belongs to the cluster. `total` is in resource units."""

    name: str
    address: str
    total: dict[str, int]
    labels: dict[str, str]
    added: float
    removed: float | None = None
    cause: str = ""


@dataclass(slots=True)
class Actor:
    """An actor. `node`, `worker` and `pid` tell where it lives while it is ALIVE ("", 0, 0 otherwise);
    `incarnation` is the number of the one that lives or is being started; `spec` is empty once DEAD."""

    id: bytes
    job: int
    name: str
    namespace: str
    class_name: str
    detached: bool
    max_restarts: int
    spec: bytes
    created: float
    restarts: int = 0
    state: str = PENDING
    incarnation: int = 0
    node: str = ""
    worker: int = 0
    pid: int = 0
    cause: str = ""
    died: float | None = None

    @property
    def may_restart(self) -> bool:
        return self.max_restarts < 0 or self.restarts < self.max_restarts


def plain(record: Job | Node | Actor) -> dict[str, Any]:
    """The record as a dict of plain values; ``type(record)(**plain(record))`` brings it back."""
    return asdict(record)
