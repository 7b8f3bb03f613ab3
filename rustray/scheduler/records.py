"""The things that the scheduler keeps book of, and the sums that can be read off each one alone.

A *shape* is all classes with one and the same request and constraint: whatever fits one fits all, so questions
of placement are asked once a shape and not once a class. A *claim* is one client's demand for one class. A
*promise* is a slot to come: room on one node, held free for a claim until revoked leases come back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rustray.model.resources import CPU, UNIT, Resources
from rustray.scheduler.constraints import Constraint
from rustray.scheduler.domain import Domain
from rustray.scheduler.queues import Rank, RankedQueue

SPARE = "spare slots"
"""What a class that requests nothing takes, so that a million such tasks do not start a million workers."""

SPARE_PER_CPU = 4
SPARE_REQUEST = Resources({SPARE: UNIT})

LENT = frozenset((CPU, SPARE))
"""What a waiting worker lends. GPUs and memory stay in use by what it has on them."""


def capacity(total: Resources) -> Resources:
    """The node's resources and its spare slots (at least one CPU's worth of them)."""
    cpus = max(UNIT, total.get(CPU, 0))
    return total + {SPARE: -(-cpus // UNIT) * SPARE_PER_CPU * UNIT}


def visible(amounts: Mapping[str, int]) -> dict[str, float]:
    """Amounts in ones as users know them, without the spare slots."""
    return {name: units / UNIT for name, units in amounts.items() if name != SPARE}


@dataclass(eq=False, slots=True)
class Node:
    """A node and what is left of it; or a bundle of a placement group, which is a node for those that run in it.

    `free` is not taken by leases; `open` is not promised either. Both may be negative while more workers
    woke than there are CPUs. `name` and `labels` of a bundle are those of the node that it lies on, once it is
    `placed`, and its `number` is its index.
    """

    name: str
    number: int
    total: Resources
    labels: Mapping[str, str]
    free: dict[str, int]
    open: dict[str, int]
    domain: Domain
    leases: dict[int, Lease] = field(default_factory=dict)
    leaving: dict[int, Lease] = field(default_factory=dict)  # revoked, not yet returned
    promises: dict[Promise, None] = field(default_factory=dict)
    gone: bool = False
    draining: bool = False  # it is to leave: nothing new goes there
    placed: bool = True  # False for a bundle that waits for room
    host: Node | None = None  # the node that a bundle lies on

    def load(self) -> Rank:
        """Rank of the node for placement: the share in use of its fullest resource, then leases, then age."""
        left = self.open
        share = 0.0
        for name, units in self.total.items():
            used = 1.0 - left[name] / units
            if used > share:
                share = used
        return share, len(self.leases) + len(self.leaving), self.number

    def outlook(self) -> dict[str, int]:
        """What will be open once all revoked leases have come back."""
        left = dict(self.open)
        for lease in self.leaving.values():
            for name, units in lease.hold.items():
                left[name] = left.get(name, 0) + units
        return left


@dataclass(eq=False, slots=True)
class Shape:
    """All classes of one request and constraint."""

    request: Resources
    lent: Resources  # the part that a waiting worker lends
    held: Resources  # the part that it keeps
    constraint: Constraint
    domain: Domain
    target: Node | None = None  # the node of a soft affinity, while it could run the shape
    cost: float = 0.0  # its dominant share of the cluster
    hosts: int = 0  # nodes that could run it if they were empty
    classes: int = 0
    jobs: RankedQueue[Job] = field(default_factory=RankedQueue)  # those with waiting claims of this shape
    promises: dict[Promise, None] = field(default_factory=dict)
    nodes: RankedQueue[Node] = field(default_factory=RankedQueue)  # candidates, see placement
    read: int = -1  # how far the log of released nodes was read


@dataclass(eq=False, slots=True)
class Job:
    """A job, what it uses now (lent CPUs and revoked leases not counted, promises counted), and who waits."""

    number: int
    turn: int  # when it was last served: the lowest is served next
    usage: dict[str, int] = field(default_factory=dict)
    share: float = 0.0
    classes: dict[bytes, SchedulingClass] = field(default_factory=dict)
    lines: dict[Shape, RankedQueue[Claim]] = field(default_factory=dict)  # waiting claims, never empty
    holders: RankedQueue[Claim] = field(default_factory=RankedQueue)  # the one that can spare most first

    @property
    def rank(self) -> Rank:
        return self.share, self.turn


@dataclass(eq=False, slots=True)
class SchedulingClass:
    key: bytes
    job: Job
    name: str
    pinned: bool
    shape: Shape
    claims: dict[int, Claim] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Claim:
    """What one client wants and has of one class."""

    cls: SchedulingClass
    client: int
    turn: int
    wanted: int = 0
    since: float = 0.0  # waiting since, seconds
    told_infeasible: bool = False
    near: tuple[str, ...] = ()  # the nodes where its tasks' arguments lie, the most bytes first
    leases: dict[int, Lease] = field(default_factory=dict)
    leaving: dict[int, Lease] = field(default_factory=dict)  # revoked, not yet returned
    promises: dict[Promise, None] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """Leases that it has for the time being, and slots to come. Waiting workers count: whoever started
        much that now waits for others should let those others go first."""
        return len(self.leases) + len(self.promises)

    @property
    def need(self) -> int:
        """Leases that it waits for without even a promise."""
        return self.wanted - len(self.leases) - len(self.leaving) - len(self.promises)

    @property
    def surplus(self) -> int:
        """Leases that it keeps without use. An actor's lease is always in use."""
        return 0 if self.cls.pinned else len(self.leases) - self.wanted

    @property
    def standing(self) -> int:
        """How much it has already, compared with others that wait; of a pinned class each lease is another
        actor, and the next one has nothing."""
        return 0 if self.cls.pinned else self.kept

    @property
    def rank(self) -> Rank:
        return self.standing, self.turn


@dataclass(eq=False, slots=True)
class Lease:
    number: int
    claim: Claim
    node: Node
    granted: float  # when, seconds
    blocked: bool = False
    revoked: bool = False

    @property
    def hold(self) -> Resources:
        """What it takes of its node now."""
        shape = self.claim.cls.shape
        return shape.held if self.blocked else shape.request

    @property
    def revocable(self) -> bool:
        """A blocked lease is not worth revoking: its CPU is lent already."""
        return not (self.revoked or self.blocked or self.claim.cls.pinned)


@dataclass(eq=False, slots=True)
class Promise:
    claim: Claim
    node: Node
