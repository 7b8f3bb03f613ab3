"""What the scheduler is told. Each event is a plain fact; the scheduler's answers are in `actions`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rustray.model.labels import Match
from rustray.model.resources import Resources
from rustray.scheduler.constraints import ANYWHERE, Constraint


@dataclass(frozen=True, slots=True)
class LeaseAdopted:
    """A lease that an earlier leader granted and a node still has. Its class is told before.

    A lease whose class or node is not known, or whose number is known already, is left as it is.

    Parameters: blocked: its worker waits in `get`. suspended: its worker is stopped.
    """

    lease: int
    key: bytes
    client: int
    node: str
    blocked: bool = False
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class NodeAdded:
    """A node joined with `total` resources. A name that is known already is a node that started anew.

    Parameters: leases: what it runs already, so that nothing is granted on top of that in the same step.
    """

    node: str
    total: Resources
    labels: Mapping[str, str] = field(default_factory=dict)
    leases: tuple[LeaseAdopted, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeDraining:
    """A node is to leave: it gets nothing new, and its leases are asked back. Actors stay until they are moved."""

    node: str


@dataclass(frozen=True, slots=True)
class NodeMemory:
    """How much memory is free on the machine of a node now. So much more may suspended workers hold than they do;
    where it is less than nothing, some are run anew elsewhere. Until it is told there is no bound.
    """

    node: str
    free_bytes: int


@dataclass(frozen=True, slots=True)
class JobAdded:
    """What a job may expect; a job that is not told has weight 1. Told again, the new terms hold.

    Parameters: weight: jobs that wait share in proportion to it. min_cpus: CPUs that the job is served first,
    from others if need be, and that nobody takes from it (all guarantees together shrink to what there is).
    max_cpus: never more CPUs than that at once; only workers that wake from a wait may exceed it for a moment.
    priority: added to that of each of its classes that is told from now on.
    """

    job: int
    weight: float = 1.0
    min_cpus: float = 0.0
    max_cpus: float | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class NodeRemoved:
    """A node left or died: its leases are gone with it."""

    node: str


@dataclass(frozen=True, slots=True)
class ClassAdded:
    """A scheduling class of a job. Telling it again changes nothing.

    Parameters
    ----------
    request: what one lease takes.
    pinned: each lease hosts an actor; it is never revoked. A pinned class ends when nobody demands or has a
        lease of it any more.
    predicted: expected seconds of one task; None: not known, taken for quick until it shows otherwise.
    predicted_memory: expected bytes of a worker that runs it; 0: not known.
    priority: higher is more urgent. Each step shifts the class's levels by one: priority 1 at level 1 is as
        urgent as priority 0 at level 0.
    preemptible: whether its workers may be suspended. Those of pinned classes and those with GPUs never are.
    retriable: whether its tasks may be run anew at no charge, if their suspended workers take too much memory.
    constraint: where its leases may go, and where rather than elsewhere.
    """

    key: bytes
    job: int
    name: str
    request: Resources
    pinned: bool = False
    predicted: float | None = None
    predicted_memory: int = 0
    priority: int = 0
    preemptible: bool = True
    retriable: bool = False
    constraint: Constraint = ANYWHERE


@dataclass(frozen=True, slots=True)
class Predicted:
    """A new estimate for a class.

    Parameters: run_s: expected seconds of one task, None if not known. memory: bytes of a worker that runs it,
    0 if not known.
    """

    key: bytes
    run_s: float | None
    memory: int = 0


@dataclass(frozen=True, slots=True)
class ClassUnused:
    """A class ends, unless somebody demands or has a lease of it."""

    key: bytes


@dataclass(frozen=True, slots=True)
class Demand:
    """How many leases of a class the client could use now, those it holds included; 0 withdraws.

    Absolute, so that telling it twice does no harm. Leases held beyond it are idle: the client keeps them
    until somebody else wants the slot.

    Parameters: near: bytes of the tasks' arguments that lie on each node; one that has many is taken before others
    if it has room now.
    """

    key: bytes
    client: int
    count: int
    near: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class LeaseReturned:
    """A lease came back, asked for or not, or its worker died."""

    lease: int


@dataclass(frozen=True, slots=True)
class LeaseBlocked:
    """The worker of a lease waits in `get`: its CPU is lent until it wakes. GPUs and memory stay taken."""

    lease: int


@dataclass(frozen=True, slots=True)
class LeaseUnblocked:
    """The worker of a lease woke: it takes its CPU back at once, even if that leaves less than nothing."""

    lease: int


@dataclass(frozen=True, slots=True)
class LeaseSuspended:
    """The worker of a lease was stopped: its CPU is others' until it is resumed. Memory and GPUs stay taken."""

    lease: int


@dataclass(frozen=True, slots=True)
class LeaseResumed:
    """The worker of a lease runs again. Unasked, it takes its CPU back like one that woke."""

    lease: int


@dataclass(frozen=True, slots=True)
class LeaseMemory:
    """How much memory the worker of a lease holds now, in bytes."""

    lease: int
    bytes: int


@dataclass(frozen=True, slots=True)
class OrdersLost:
    """What was ordered of a lease's worker, or asked of its client, may not have arrived: it is said again."""

    lease: int


@dataclass(frozen=True, slots=True)
class ClientGone:
    """A client's connection ended: its demands and the leases that it held are void.

    If the client was itself the worker of a lease, that lease is returned by its own `LeaseReturned`.
    """

    client: int


@dataclass(frozen=True, slots=True)
class JobEnded:
    """A job is over: its classes, demands and leases are void."""

    job: int


@dataclass(frozen=True, slots=True)
class PlacementGroupAdded:
    """Bundles that are to be reserved together. Classes whose constraint names the group run in them.

    Parameters: job: charged for them; they end with it. strategy: "PACK", "SPREAD", "STRICT_PACK" or "STRICT_SPREAD".
    selectors: what labels the nodes of the bundles must have, one each or none at all. nodes: where an earlier leader
    has placed them, "" for a bundle that has no room; tell it before `NodeAdded`.
    """

    group: bytes
    job: int
    bundles: tuple[Resources, ...]
    strategy: str = "PACK"
    selectors: tuple[tuple[Match, ...], ...] = ()
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlacementGroupRemoved:
    """A placement group is no more: what runs in it is killed, what waits for it can run nowhere."""

    group: bytes


@dataclass(frozen=True, slots=True)
class Recovered:
    """A new leader has been told what the nodes hold: a scheduler that was made `recovering` serves from now on."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed. Levels, turns and preemption advance only here; send it every 50-100 ms, and at
    `Scheduler.next_wake` if that is sooner."""


Event = (
    NodeAdded
    | NodeRemoved
    | NodeDraining
    | NodeMemory
    | JobAdded
    | ClassAdded
    | ClassUnused
    | Predicted
    | Demand
    | LeaseAdopted
    | LeaseReturned
    | LeaseBlocked
    | LeaseUnblocked
    | LeaseSuspended
    | LeaseResumed
    | LeaseMemory
    | OrdersLost
    | ClientGone
    | JobEnded
    | PlacementGroupAdded
    | PlacementGroupRemoved
    | Recovered
    | Tick
)
