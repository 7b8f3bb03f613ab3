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

CREATED = "CREATED"
RESCHEDULING = "RESCHEDULING"
REMOVED = "REMOVED"
"""States of a placement group, with PENDING: it waits for room for the first time, has it, has lost a part of it,
is no more."""

STRATEGIES = ("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD")

ACTOR_ID_BYTES = GROUP_ID_BYTES = 16


@dataclass(slots=True)
class Job:
    """`client` is its driver; `end` is None while that runs. `place` is what workers of the job need to know of
    the driver, opaque, and `options` are what `init` was told; `detached` counts the living detached actors,
    which go on with the job when its driver has ended. Times are seconds since the epoch."""

    id: int
    client: int
    name: str
    namespace: str
    options: dict[str, Any]
    place: bytes
    start: float
    detached: int = 0
    end: float | None = None
    cause: str = ""


@dataclass(slots=True)
class Node:
    """`removed` is None while it belongs to the cluster. `number` is never given twice. `total` is in resource
    units."""

    name: str
    number: int
    address: str
    total: dict[str, int]
    labels: dict[str, str]
    added: float
    removed: float | None = None
    cause: str = ""


@dataclass(slots=True)
class Actor:
    """An actor. `node`, `worker` and `pid` tell where it lives while it is ALIVE ("", 0, 0 otherwise);
    `incarnation` is the number of the one that lives or is being started. It is `complete` when its
    constructor's arguments are known: in `spec`, or told later, in `arguments`; both are empty once DEAD."""

    id: bytes
    job: int
    name: str
    namespace: str
    class_name: str
    detached: bool
    max_restarts: int
    spec: bytes
    complete: bool
    created: float
    arguments: bytes = b""
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


@dataclass(slots=True)
class PlacementGroup:
    """Bundles of resources reserved together. `actor` made it, b"" for the job itself: with its maker it ends,
    unless `detached`. `bundles` are in resource units; `selectors` are what labels the bundles' nodes must
    have; `nodes` are where the bundles lie, "" for one that lies nowhere (now)."""

    id: bytes
    job: int
    actor: bytes
    name: str
    namespace: str
    strategy: str
    bundles: list[dict[str, int]]
    selectors: list[dict[str, str]]
    detached: bool
    created: float
    nodes: list[str]
    state: str = PENDING
    cause: str = ""
    removed: float | None = None


def plain(record: Job | Node | Actor | PlacementGroup) -> dict[str, Any]:
    """The record as a dict of plain values; ``type(record)(**plain(record))`` brings it back."""
    return asdict(record)
