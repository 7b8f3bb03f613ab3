"""Random histories: every invariant after every step, and nobody who could be served is left out."""

from __future__ import annotations

import random

import pytest

from rustray.model.resources import Resources
from rustray.scheduler.actions import Grant, Infeasible, Revoke
from rustray.scheduler.core import Scheduler
from rustray.scheduler.events import (
    ClassAdded,
    ClientGone,
    Demand,
    Event,
    JobEnded,
    LeaseBlocked,
    LeaseReturned,
    LeaseUnblocked,
    NodeAdded,
    NodeRemoved,
    Tick,
)

REQUESTS = [
    *[Resources.of(cpu=1)] * 4,
    Resources.of(cpu=2),
    Resources.of(cpu=0.5),
    Resources(),
    Resources.of(gpu=1),
    Resources.of(cpu=1, gpu=0.5),
    Resources.of(cpu=1, memory=40),
    Resources.of(cpu=4),
    Resources.of(custom={"disk": 1}),
    Resources.of(cpu=64),
]
TOTALS = [
    Resources.of(cpu=1),
    Resources.of(cpu=2, memory=100),
    Resources.of(cpu=4, gpu=1, memory=100),
    Resources.of(cpu=8, custom={"disk": 2}),
]


class World:
    """A cluster that does what the scheduler says, and otherwise what chance says."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.scheduler = Scheduler()
        self.now = 0.0
        self.nodes: set[str] = set()
        self.leases: dict[int, tuple[bytes, int, str]] = {}
        self.blocked: set[int] = set()
        self.revoked: set[int] = set()
        self.classes: dict[bytes, int] = {}
        self.pinned: set[bytes] = set()
        self.demands: dict[tuple[bytes, int], int] = {}
        self.infeasible: set[tuple[bytes, int]] = set()
        self.made = 0

    def step(self, event: Event) -> None:
        for action in self.scheduler.step(event, self.now):
            self.obey(action)
        self.scheduler.sanity_check()

    def obey(self, action: object) -> None:
        if isinstance(action, Grant):
            assert action.lease not in self.leases and action.node in self.nodes
            self.leases[action.lease] = action.key, action.client, action.node
            of_claim = [lease for lease in self.leases.values() if lease[:2] == (action.key, action.client)]
            assert len(of_claim) <= self.demands[action.key, action.client], "more than was wanted"
        elif isinstance(action, Revoke):
            key, client, node = self.leases[action.lease]
            assert (client, node) == (action.client, action.node) and key not in self.pinned
            assert action.lease not in self.revoked, "asked twice"
            self.revoked.add(action.lease)
        elif isinstance(action, Infeasible):
            assert action.missing or action.reason or not self.nodes

    def forget(self, *leases: int) -> None:
        for lease in leases:
            del self.leases[lease]
            self.revoked.discard(lease)
            self.blocked.discard(lease)

    def forget_where(
        self, key: bytes | None = None, client: int | None = None, node: str | None = None
    ) -> None:
        asked = (key, client, node)
        self.forget(
            *[
                number
                for number, lease in self.leases.items()
                if all(a is None or a == b for a, b in zip(asked, lease, strict=True))
            ]
        )

    def draw_class(self) -> tuple[bytes, int, bool]:
        """Key and job of a new class, and whether it is pinned."""
        self.made += 1
        key, job = b"c%d" % self.made, self.random.randrange(5)
        self.classes[key] = job
        pinned = self.random.random() < 0.1
        if pinned:
            self.pinned.add(key)
        return key, job, pinned

    def add_class(self) -> None:
        key, job, pinned = self.draw_class()
        self.step(ClassAdded(key, job, key.decode(), self.random.choice(REQUESTS), pinned))

    def add_node(self) -> None:
        name = f"n{self.random.randrange(8)}"  # now and then one that is there already
        self.forget_where(node=name)
        self.nodes.add(name)
        self.step(NodeAdded(name, self.random.choice(TOTALS)))

    def demand(self, most: int = 6) -> None:
        if self.classes:
            key, client = self.random.choice(list(self.classes)), self.random.randrange(6)
            self.demands[key, client] = self.random.choice([0, 1, 1, self.random.randint(2, most)])
            self.step(Demand(key, client, self.demands[key, client]))

    def give_back(self, lease: int) -> None:
        self.forget(lease)
        self.step(LeaseReturned(lease))

    def anything(self) -> None:
        self.now += self.random.choice([0.0, 0.001, 0.03])
        dice, some_lease = self.random.random(), self.random.choice(list(self.leases) or [0])
        if dice < 0.40:
            self.demand()
        elif dice < 0.55 and self.revoked:
            self.give_back(self.random.choice(sorted(self.revoked)))
        elif dice < 0.65 and some_lease:
            self.give_back(some_lease)
        elif dice < 0.75 and some_lease:
            self.blocked.add(some_lease)
            self.step(LeaseBlocked(some_lease))
        elif dice < 0.84 and self.blocked:
            woken = self.random.choice(sorted(self.blocked))
            self.blocked.discard(woken)
            self.step(LeaseUnblocked(woken))
        elif dice < 0.93:
            self.step(Tick())
        elif dice < 0.96:
            self.add_class()
        elif dice < 0.975:
            self.add_node()
        elif dice < 0.98 and len(self.nodes) > 1:
            gone = self.random.choice(sorted(self.nodes))
            self.nodes.discard(gone)
            self.forget_where(node=gone)
            self.step(NodeRemoved(gone))
        elif dice < 0.99:
            client = self.random.randrange(6)
            self.forget_where(client=client)
            self.demands = {pair: n for pair, n in self.demands.items() if pair[1] != client}
            self.step(ClientGone(client))
        elif dice < 0.995:
            job = self.random.randrange(5)
            for key in [key for key, of in self.classes.items() if of == job]:
                del self.classes[key]
                self.forget_where(key=key)
                self.demands = {pair: n for pair, n in self.demands.items() if pair[0] != key}
            self.step(JobEnded(job))


@pytest.mark.parametrize("seed", range(12))
def test_all_invariants_hold_through_a_random_history(seed: int) -> None:
    world = World(seed)
    for _ in range(700):
        world.anything()


@pytest.mark.parametrize("seed", range(12))
def test_every_waiter_gets_a_lease_in_bounded_turns(seed: int) -> None:
    """From wherever chance has led: when holders return what they are asked for, nobody is left out."""
    world = World(1000 + seed)
    for _ in range(400):
        world.anything()
    for key in world.pinned & set(world.classes):  # actors never give back, so they go first
        for client in range(6):
            world.demands[key, client] = 0
            world.step(Demand(key, client, 0))
    for lease in [lease for lease, (key, _, _) in world.leases.items() if key in world.pinned]:
        world.give_back(lease)
    for lease in sorted(world.blocked):
        world.step(LeaseUnblocked(lease))
    world.blocked.clear()

    owed = {
        (row["class"].encode(), row["client"])
        for row in world.scheduler.status.waiting()
        if not row["infeasible"] and not row["held"]
    }
    served: set[tuple[bytes, int]] = set()
    for _ in range(3 * (len(owed) + len(world.leases)) + 10):
        world.now += 0.11
        world.step(Tick())
        for lease in sorted(world.revoked):
            world.give_back(lease)
        served |= {lease[:2] for lease in world.leases.values()}
        if owed <= served:
            break
    assert owed <= served, f"never served: {owed - served}"


@pytest.mark.parametrize("seed", range(6))
def test_equal_jobs_end_with_equal_shares_and_rest(seed: int) -> None:
    world = World(2000 + seed)
    slots, jobs = world.random.randint(4, 20), world.random.randint(2, 4)
    world.nodes.add("n1")
    world.step(NodeAdded("n1", Resources.of(cpu=slots)))
    for job in range(jobs):
        key = b"j%d" % job
        world.step(ClassAdded(key, job, key.decode(), Resources.of(cpu=1), predicted=60.0))
        world.demands[key, job] = 50
        world.step(Demand(key, job, 50))
        for lease in world.random.sample(sorted(world.revoked), len(world.revoked) // 2):
            world.give_back(lease)
    for _ in range(10):
        world.now += 0.2
        world.step(Tick())
        for lease in sorted(world.revoked):
            world.give_back(lease)
    held = [sum(lease[1] == job for lease in world.leases.values()) for job in range(jobs)]
    assert max(held) - min(held) <= 1 and sum(held) == slots
    before = dict(world.leases)
    for _ in range(20):
        world.now += 0.2
        world.step(Tick())
    assert not world.revoked and world.leases == before
