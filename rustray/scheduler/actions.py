"""What the scheduler asks to be done. These are values; Python makes frozen ones at four times the price."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Grant:
    """Give the client a lease of the class on a worker of the node."""

    lease: int
    key: bytes
    client: int
    node: str


@dataclass(slots=True)
class Revoke:
    """Ask the client for a lease back; it comes by `LeaseReturned` when its running task ends.

    Asked once a lease.
    """

    lease: int
    client: int
    node: str
    reason: str


@dataclass(slots=True)
class Suspend:
    """Stop the worker of the lease (SIGSTOP); `LeaseSuspended` says that it stands, or the lease comes back.

    Its client was asked for it before, in vain. It is resumed within seconds, finishes its task, and returns.
    """

    lease: int
    node: str


@dataclass(slots=True)
class Resume:
    """Let the worker of the lease go on (SIGCONT); its CPU is taken already. Answered by `LeaseResumed`."""

    lease: int
    node: str


@dataclass(slots=True)
class Requeue:
    """Kill the worker of the lease; its owner runs the task again at no charge. `LeaseReturned` follows.

    Instead of suspending it, or after that, when suspended workers would take too much memory of the node.
    """

    lease: int
    node: str


@dataclass(slots=True)
class Infeasible:
    """No node of the cluster could ever run the class, not even an empty one.

    Said once per class and client until the demand changes. The demand stands: it is served when a node
    that fits joins.

    Parameters: missing: what the closest node lacks, in ones. have: all that the closest node has. reason: which nodes
    were compared, if not all ("on node n1"); where its constraint allows no node at all, nothing is missing, and
    this says why ("no node has label zone=a").
    """

    key: bytes
    client: int
    missing: dict[str, float]
    have: dict[str, float]
    reason: str = ""


@dataclass(slots=True)
class Evict:
    """Kill the worker of the lease: what it ran on is no more. Its task fails, or is tried elsewhere at its own charge;
    `LeaseReturned` follows."""

    lease: int
    node: str
    reason: str


@dataclass(slots=True)
class GroupPlaced:
    """All bundles of a placement group have room. `nodes`: where each lies."""

    group: bytes
    nodes: list[str]


@dataclass(slots=True)
class GroupRescheduling:
    """Some bundles of a placement group were lost with their node, and wait for room elsewhere: their indices."""

    group: bytes
    lost: list[int]


Action = Grant | Revoke | Suspend | Resume | Requeue | Infeasible | Evict | GroupPlaced | GroupRescheduling
