"""What the scheduler is told. Each event is a plain fact; the scheduler's answers are in `actions`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rustray.model.resources import Resources


@dataclass(frozen=True, slots=True)
class NodeAdded:
    """A node joined with `total` resources. A name that is known already is a node that started anew."""

    node: str
    total: Resources
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NodeRemoved:
    """A node left or died: its leases are gone with it."""

    node: str


@dataclass(frozen=True, slots=True)
class ClassAdded:
    """A scheduling class of a job. Telling it again changes nothing.

    Parameters: request: what one lease takes. pinned: each lease hosts an actor; it is never revoked. A pinned
    class ends when nobody demands or has a lease of it any more.
    """

    key: bytes
    job: int
    name: str
    request: Resources
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Demand:
    """How many leases of a class the client could use now, those it holds included; 0 withdraws.

    Absolute, so that telling it twice does no harm. Leases held beyond it are idle: the client keeps them
    until somebody else wants the slot.
    """

    key: bytes
    client: int
    count: int


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
class Tick:
    """Time passed. Turns are ended and overcommitted nodes relieved only here; send it every 50-100 ms."""


Event = (
    NodeAdded
    | NodeRemoved
    | ClassAdded
    | Demand
    | LeaseReturned
    | LeaseBlocked
    | LeaseUnblocked
    | ClientGone
    | JobEnded
    | Tick
)
