"""A cluster with a clock and placement groups, for scenarios and random histories of the scheduler."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rustray.model.resources import Resources
from rustray.scheduler.actions import Evict, Grant, GroupPlaced, GroupRescheduling, Infeasible, Revoke
from rustray.scheduler.constraints import ANYWHERE, Constraint
from rustray.scheduler.core import Scheduler
from rustray.scheduler.events import (
    ClassAdded,
    Demand,
    LeaseReturned,
    NodeAdded,
    NodeRemoved,
    PlacementGroupAdded,
    PlacementGroupRemoved,
    Tick,
)

CPU = Resources.of(cpu=1)
SOON = 40  # ticks in which what is owed is given


class Env:
    """A cluster that does what the scheduler says; `lazy` clients keep leases that they are asked for."""

    def __init__(self, recovering: bool = False, **nodes: float) -> None:
        self.scheduler = Scheduler(recovering=recovering)
        self.now = 0.0
        self.at: dict[int, tuple[bytes, str]] = {}
        self.placed: dict[bytes, list[str]] = {}
        self.infeasible: dict[str, str] = {}
        self.evicted: list[int] = []
        self.rescheduled: list[tuple[bytes, list[int]]] = []
        self.revoked: list[int] = []
        for name, cpus in nodes.items():
            self.step(NodeAdded(name, Resources.of(cpu=cpus)))

    def step(self, event: Any) -> Env:
        for action in self.scheduler.step(event, self.now):
            if isinstance(action, Grant):
                assert action.lease not in self.at
                self.at[action.lease] = action.key, action.node
            elif isinstance(action, GroupPlaced):
                self.placed[action.group] = action.nodes
            elif isinstance(action, GroupRescheduling):
                del self.placed[action.group]
                self.rescheduled.append((action.group, action.lost))
            elif isinstance(action, Infeasible):
                self.infeasible[action.key.decode()] = action.reason
            elif isinstance(action, Evict):
                assert self.at[action.lease][1] == action.node
                self.evicted.append(action.lease)
            elif isinstance(action, Revoke):
                self.revoked.append(action.lease)
        self.scheduler.sanity_check()
        return self

    def group(
        self, name: str, bundles: list[float], strategy: str = "PACK", job: int = 1, **more: Any
    ) -> Env:
        requests = tuple(Resources.of(cpu=cpus) for cpus in bundles)
        self.step(PlacementGroupAdded(name.encode(), job, requests, strategy, **more))
        return self

    def where(self, name: str) -> list[str] | None:
        return self.placed.get(name.encode())

    def remove(self, name: str) -> Env:
        self.placed.pop(name.encode(), None)
        return self.step(PlacementGroupRemoved(name.encode()))

    def ask(
        self,
        key: str,
        count: int,
        group: str = "",
        bundle: int = -1,
        cpu: float = 1,
        job: int = 1,
        pinned: bool = False,
    ) -> Counter[str]:
        constraint = Constraint(group=group.encode(), bundle=bundle) if group else ANYWHERE
        request = Resources.of(cpu=cpu)
        self.step(ClassAdded(key.encode(), job, key, request, pinned=pinned, constraint=constraint))
        self.step(Demand(key.encode(), 1, count))
        return self.nodes(key)

    def nodes(self, key: str) -> Counter[str]:
        return Counter(node for of, node in self.at.values() if of == key.encode())

    def back(self, *leases: int) -> None:
        for lease in leases:
            if self.at.pop(lease, None) is not None:
                self.step(LeaseReturned(lease))

    def gone(self, name: str) -> Env:
        self.at = {lease: at for lease, at in self.at.items() if at[1] != name}
        return self.step(NodeRemoved(name))

    def ticks(self, count: int = SOON) -> Env:
        """Time passes, and what is asked back or evicted comes back."""
        for _ in range(count):
            self.now += 0.2
            self.step(Tick())
            due, self.revoked, self.evicted = [*self.revoked, *self.evicted], [], []
            self.back(*due)
        return self

    def free(self) -> float:
        return self.scheduler.status.available().get("CPU", 0.0)


# -- room
