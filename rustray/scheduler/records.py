"""The things that the scheduler keeps book of, and the sums that can be read off each one alone.

A *shape* is all classes with one and the same request and constraint: whatever fits one fits all, so questions
of placement are asked once a shape and not once a class. A *claim* is one client's demand for one class. A
*promise* is a slot to come: room on one node, held free for a claim, or for a suspended lease, until revoked
leases come back or are suspended.

A lease is *kept*, or *leaving* (asked back), or *parked* (suspended); a resumed one is kept again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

from rustray.model.resources import CPU, GPU, MEMORY, UNIT, Resources
from rustray.scheduler.constraints import Constraint
from rustray.scheduler.domain import Domain
from rustray.scheduler.queues import Rank, RankedQueue

SPARE = "spare slots"
"""What a class that requests nothing takes, so that a million such tasks do not start a million workers."""

SPARE_PER_CPU = 4
SPARE_REQUEST = Resources({SPARE: UNIT})

LENT = frozenset((CPU, SPARE))
"""What a waiting or suspended worker lends. GPUs and memory stay in use by what it has on them."""

OWED = -(2**31)
"""Tier of a job that has less than its guaranteed minimum: before every other."""

WORKER_MEMORY = 64 * 2**20
"""Bytes that a worker is taken to hold while nothing better is known."""


def capacity(total: Resources) -> Resources:
    """The node's resources and its spare slots (at least one CPU's worth of them)."""
    cpus = max(UNIT, total.get(CPU, 0))
    return total + {SPARE: -(-cpus // UNIT) * SPARE_PER_CPU * UNIT}


def visible(amounts: Mapping[str, int]) -> dict[str, float]:
    """Amounts in ones as users know them, without the spare slots."""
    return {name: units / UNIT for name, units in amounts.items() if name != SPARE}


def dominant_share(usage: Mapping[str, int], cluster: Mapping[str, int]) -> float:
    """The largest fraction of any one of the cluster's resources that `usage` takes.

    Dominant resource fairness: Ghodsi et al., NSDI 2011.
    """
    share = 0.0
    for name, units in usage.items():
        if units > 0:
            there = cluster.get(name)
            part = units / there if there else 1.0
            if part > share:
                share = part
    return share


NOTHING = Resources()


@dataclass(eq=False, repr=False, slots=True)
class Node:
    """A node and what is left of it; or a bundle of a placement group, which is a node for those that run in it.

    `free` is not taken by leases; `open` is not promised either. Both may be negative while more workers
    woke than there are CPUs. `fixed` is what those leases and promises take of what is lent that no preemption
    gets back: of actors, GPU holders and classes that are not preemptible. `name` and `labels` of a bundle are
    those of the node that it lies on, once it is `placed`, and its `number` is its index.
    """

    name: str
    number: int
    total: Resources
    labels: Mapping[str, str]
    free: dict[str, int]
    open: dict[str, int]
    domain: Domain
    coming: dict[str, int] = field(default_factory=dict)  # what leaving leases hold
    fixed: dict[str, int] = field(default_factory=dict)
    leases: dict[int, Lease] = field(default_factory=dict)
    leaving: dict[int, Lease] = field(default_factory=dict)  # revoked, not yet returned
    parked: dict[int, Lease] = field(default_factory=dict)  # suspended
    waking: dict[int, Lease] = field(default_factory=dict)  # parked, and would go on without a CPU
    resting: dict[int, Lease] = field(default_factory=dict)  # parked, or about to be
    promises: dict[Promise, None] = field(default_factory=dict)
    parking: int | None = None  # bytes that suspended workers may hold
    parked_bytes: int = 0  # what they hold, those included that are being stopped
    relief_at: float = 0.0  # when one that starves may be served here again
    killed_at: float = -1e9  # when a worker was last ended for want of memory
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
        """What will be open once all revoked leases have come back. Parked ones come back only if room is made."""
        coming = self.coming
        return {name: units + coming.get(name, 0) for name, units in self.open.items()}

    def covers(self, request: Resources, more: Resources) -> bool:
        """Whether, with so much more to come, nothing would be missing for the request in that outlook."""
        left, coming = self.open, self.coming
        for name, units in request.items():
            if units > left.get(name, 0) + coming.get(name, 0) + more.get(name, 0):
                return False
        return True

    def lacks(self, request: Resources) -> Resources:
        """What is missing for a request in that outlook."""
        lacking = {}
        left, coming = self.open, self.coming
        for name, units in request.items():
            short = units - left.get(name, 0) - coming.get(name, 0)
            if short > 0:
                lacking[name] = short
        return Resources(lacking) if lacking else NOTHING


@dataclass(eq=False, repr=False, slots=True)
class Shape:
    """All classes of one request and constraint, and of one kind: a shape that `stays` is never suspended."""

    request: Resources
    lent: Resources  # the part that a waiting worker lends
    held: Resources  # the part that it keeps
    constraint: Constraint
    domain: Domain
    stays: bool = False
    target: Node | None = None  # the node of a soft affinity, while it could run the shape
    cost: float = 0.0  # its dominant share of the cluster
    hosts: int = 0  # nodes that could run it if they were empty
    classes: int = 0
    jobs: RankedQueue[Job] = field(
        default_factory=RankedQueue
    )  # those with claims of this shape to be served
    moved: dict[Job, None] = field(default_factory=dict)  # those whose ranks there may be wrong
    promises: dict[Promise, None] = field(default_factory=dict)
    nodes: RankedQueue[Node] = field(default_factory=RankedQueue)  # candidates, see placement
    read: int = -1  # how far the log of released nodes was read
    cpus: int = 0  # units of CPU in the request; none in a bundle, which is charged for them itself
    toll: float = 0.0  # what a lease in use is charged a second, see service: its cost, and none in a bundle
    looked: int = 0  # where the search for victims goes on, see reclaim


@dataclass(eq=False, repr=False, slots=True)
class Job:
    """A job, what it uses now (lent CPUs and revoked leases not counted, promises counted), and who waits."""

    number: int
    turn: int  # when it was last served: the lowest is served next
    cluster: Resources  # what all nodes have together
    weight: float = 1.0
    priority: int = 0  # of all its classes, besides their own
    minimum: int = 0  # units of CPU that were guaranteed
    floor: int = 0  # as much of it as all guarantees together leave
    cap: int | None = None  # units of CPU that it never exceeds
    cpus: int = 0  # units of CPU of all its running leases, revoked ones included
    pledged: int = 0  # units of CPU of its promises
    usage: dict[str, int] = field(default_factory=dict)
    weighed: float | None = 0.0  # its share, None when it is to be found anew
    served: float = 0.0  # share-seconds of its tasks by weight, see service
    pace: float = 0.0  # share of its leases in use
    stamp: float = 0.0  # when `served` was right
    resting: int = 0  # suspended leases
    demanding: int = 0  # classes that somebody wants something of, pinned ones not counted
    stale: bool = False  # its share, or turn, may have changed since its lines were ranked
    classes: dict[bytes, SchedulingClass] = field(default_factory=dict)
    lines: dict[Shape, RankedQueue[Claim]] = field(default_factory=dict)  # waiting claims, never empty
    holders: RankedQueue[Claim] = field(default_factory=RankedQueue)  # see `by_spare`
    unranked: dict[Claim, None] = field(default_factory=dict)  # those whose place there may be wrong
    tiers: dict[int, dict[Lease, None]] = field(default_factory=dict)  # leases that may be revoked
    promises: dict[Promise, None] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """The dominant share of the cluster that it uses now, by weight."""
        share = self.weighed
        if share is None:
            share = self.weighed = dominant_share(self.usage, self.cluster) / self.weight
        return share

    def by_spare(self) -> RankedQueue[Claim]:
        """Claims with leases, by what would be left to each after one lease, so that big leases and many leases
        compare: the one that can spare most first."""
        for claim in self.unranked:
            leases = len(claim.leases)
            if leases:
                spare = leases + len(claim.promises) - 1
                self.holders.put(claim, (-spare * claim.cls.shape.cost, claim.turn))
            else:
                self.holders.discard(claim)
        self.unranked.clear()
        return self.holders

    @property
    def waits(self) -> bool:
        """Whether it wants more than it has."""
        return bool(self.lines or self.resting)

    @property
    def owed(self) -> bool:
        """Whether it has less than it was guaranteed."""
        return self.floor > 0 and self.usage.get(CPU, 0) < self.floor

    def capped(self, cpus: int) -> bool:
        """Whether so many more units of CPU would be more than it may have, all promises kept."""
        return self.cap is not None and cpus > 0 and self.cpus + self.pledged + cpus > self.cap


@dataclass(eq=False, repr=False, slots=True)
class SchedulingClass:
    key: bytes
    job: Job
    name: str
    pinned: bool
    shape: Shape
    priority: int = 0
    retriable: bool = False
    memory: int = 0  # bytes expected of a worker, 0: not known
    run_s: float | None = None  # expected seconds of one task
    start: int = 0  # the level it comes up to, see levels
    level: int = 0
    tier: int = 0  # level by priority: what is compared
    used: float = 0.0  # lease-seconds at this level; less than nothing: given back of those above
    share: float = 0.0  # its fair share in leases, see levels
    share_at: float = -inf  # when that was found
    running: int = 0  # leases in use
    stamp: float = 0.0  # when `used` was right
    idle_since: float = 0.0
    demanding: int = 0  # claims that want something
    claims: dict[int, Claim] = field(default_factory=dict)


@dataclass(eq=False, repr=False, slots=True)
class Claim:
    """What one client wants and has of one class."""

    cls: SchedulingClass
    client: int
    turn: int
    wanted: int = 0
    need: int = (
        0  # leases that it waits for without even a promise; if less than 0, it has more than it wants
    )
    since: float = 0.0  # waiting since, seconds
    bare_since: float = 0.0  # waiting with nothing since
    told_infeasible: bool = False
    near: tuple[str, ...] = ()  # the nodes where its tasks' arguments lie, the most bytes first
    awake: int = 0  # leases that run: neither blocked nor parked, nor idle and on their way back
    in_use: int = 0  # those of them that are not idle
    surplus: int = 0  # leases that it keeps without use
    leases: dict[int, Lease] = field(default_factory=dict)
    leaving: dict[int, Lease] = field(default_factory=dict)  # revoked, not yet returned
    parked: dict[int, Lease] = field(default_factory=dict)  # suspended
    promises: dict[Promise, None] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """Leases that it has for the time being, and slots to come. Waiting workers count: whoever started
        much that now waits for others should let those others go first."""
        return len(self.leases) + len(self.promises)

    @property
    def held(self) -> int:
        """All of its leases, whatever their state."""
        return len(self.leases) + len(self.leaving) + len(self.parked)

    @property
    def standing(self) -> int:
        """How much it has already, compared with others that wait: parked leases, which ask for themselves, count
        too. Of a pinned class each lease is another actor, and the next one has nothing."""
        return 0 if self.cls.pinned else self.wanted - self.need - len(self.leaving)

    @property
    def rank(self) -> Rank:
        return self.cls.tier, self.standing, self.turn


@dataclass(eq=False, repr=False, slots=True)
class Lease:
    number: int
    claim: Claim
    node: Node
    granted: float  # when, seconds
    since: float  # running since, without a stop
    hold: Resources  # what it takes of its node now: all of its request, or what a waiting worker keeps
    blocked: bool = False
    revoked: bool = False  # it is to make room: leaving
    parked: bool = False
    stopping: bool = False  # its suspension, or its end, was ordered
    revocable: bool = False  # it is in its job's list of its tier
    counted: bool = True  # among its claim's `awake`: false for one that was idle when it was revoked
    asked: float = -1.0  # when its client was asked for it, which is done once
    shield: float = 0.0  # until then nobody takes it
    parked_at: float = 0.0
    memory: int = 0  # bytes, as reported
    weighs: int = 0  # bytes that it counts for in its node's `parked_bytes`
    tier: int = 0  # in whose list of its job it is
    promise: Promise | None = None  # that it is resumed

    @property
    def may_be_revoked(self) -> bool:
        """A blocked lease is not worth revoking: its CPU is lent already. An actor's is never asked for."""
        return not (self.revoked or self.blocked or self.parked or self.claim.cls.pinned)

    @property
    def bytes(self) -> int:
        """Memory that its worker is taken to hold."""
        cls = self.claim.cls
        asked_for = cls.shape.request.get(MEMORY, 0) // UNIT
        return self.memory or cls.memory or asked_for or WORKER_MEMORY


@dataclass(eq=False, repr=False, slots=True)
class Promise:
    """Room on a node for one more lease of a claim, or for one that is parked there.

    `urgent`: for a guarantee, or for one that starves: whoever makes room is given no slice. `ahead`: nor is a lease
    of a worse tier.
    """

    claim: Claim
    node: Node
    takes: Resources  # of its node's `open`
    lease: Lease | None = None
    urgent: bool = False
    ahead: bool = False
    shield: float = 0.0  # seconds that nobody takes the slot when it is had
    tier: int = 0  # of its class when it was made
    cpus: int = 0  # what it is to its job's `pledged`


def stays(request: Resources, pinned: bool, preemptible: bool) -> bool:
    """Whether what runs on such a lease is never suspended."""
    return pinned or not preemptible or GPU in request
