"""Histories in which everything happens that may, in any order, told late, twice or unasked: invariants hold."""

from __future__ import annotations

import pytest

from rustray.scheduler.actions import Requeue, Resume, Suspend
from rustray.scheduler.events import (
    ClassAdded,
    Event,
    JobAdded,
    LeaseAdopted,
    LeaseMemory,
    LeaseResumed,
    LeaseReturned,
    LeaseSuspended,
    NodeDraining,
    NodeMemory,
    Predicted,
    Tick,
)
from tests.unit.test_scheduler_random import REQUESTS, World

ADOPTED = 1 << 40


class Chaos(World):
    """The random world, with suspension, memory, guarantees, caps, draining, and leases of an earlier leader."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.stopping: set[int] = set()
        self.stopped: set[int] = set()
        self.killed: set[int] = set()
        self.preemptible: dict[bytes, tuple[bool, bool]] = {}
        self.parking: dict[str, int] = {}
        self.adopted = ADOPTED

    def obey(self, action: object) -> None:
        if isinstance(action, Suspend):
            key, _, node = self.leases[action.lease]
            assert node == action.node and key not in self.pinned and action.lease in self.revoked
            assert action.lease not in self.stopping | self.stopped, "suspended twice"
            assert self.preemptible[key][0]
            self.stopping.add(action.lease)
        elif isinstance(action, Resume):
            assert self.leases[action.lease][2] == action.node and action.lease in self.stopped
            self.stopped.discard(action.lease)
        elif isinstance(action, Requeue):
            assert self.preemptible[self.leases[action.lease][0]] == (True, True)
            self.killed.add(action.lease)
        else:
            super().obey(action)

    def forget(self, *leases: int) -> None:
        super().forget(*leases)
        for lease in leases:
            self.stopping.discard(lease)
            self.stopped.discard(lease)
            self.killed.discard(lease)

    def add_class(self) -> None:
        key, job, pinned = self.draw_class()
        can, may = self.random.random() < 0.9, self.random.random() < 0.5
        request = self.random.choice(REQUESTS)
        self.preemptible[key] = can and "GPU" not in request, may
        self.step(
            ClassAdded(
                key,
                job,
                key.decode(),
                request,
                pinned,
                predicted=self.random.choice([None, 0.001, 0.1, 1.0, 60.0]),
                predicted_memory=self.random.choice([0, 10**6, 10**9]),
                priority=self.random.choice([0, 0, 0, 1, -2]),
                preemptible=can,
                retriable=may,
            )
        )

    def more(self) -> Event | None:
        dice, chance = self.random.random(), self.random
        lease = chance.choice(sorted(self.leases) or [7])
        if dice < 0.45:
            self.now += chance.choice([0.012, 0.11, 0.5, 2.5, 6.0])
            return Tick()
        if dice < 0.65 and self.stopping:
            lease = chance.choice(sorted(self.stopping))
            self.stopping.discard(lease)
            self.stopped.add(lease)
            return LeaseSuspended(lease)
        if dice < 0.67 and lease in self.leases and self.leases[lease][0] not in self.pinned:
            self.stopping.discard(lease)
            self.stopped.add(lease)
            return LeaseSuspended(lease)  # nobody asked for it
        if dice < 0.72:
            self.stopped.discard(lease)
            return LeaseResumed(lease)  # asked for or not
        if dice < 0.77:
            return LeaseMemory(lease, chance.choice([0, 10**6, 10**8, 10**10]))
        if dice < 0.82 and self.nodes:
            return NodeMemory(chance.choice(sorted(self.nodes)), chance.choice([-(10**9), 0, 10**8, 10**10]))
        if dice < 0.87:
            cap = chance.choice([None, None, 1.0, 2.5])
            return JobAdded(chance.randrange(5), chance.choice([0.5, 1.0, 3.0]), chance.choice([0, 1]), cap)
        if dice < 0.92 and self.classes:
            key = chance.choice(sorted(self.classes))
            return Predicted(key, chance.choice([None, 0.01, 1.0, 100.0]), chance.choice([0, 10**7]))
        if dice < 0.94 and self.nodes:
            return NodeDraining(chance.choice(sorted(self.nodes)))
        if dice < 0.97 and self.classes and self.nodes:
            key = chance.choice(sorted(set(self.classes) - self.pinned) or sorted(self.classes))
            self.adopted += 1
            client, node = chance.randrange(6), chance.choice(sorted(self.nodes))
            blocked, suspended = chance.random() < 0.3, chance.random() < 0.3
            known = self.scheduler.status.knows(key) and self.fits_node(key, node)
            if known:
                self.leases[self.adopted] = key, client, node
                if blocked:
                    self.blocked.add(self.adopted)
                if suspended:
                    self.stopped.add(self.adopted)
                return LeaseAdopted(self.adopted, key, client, node, blocked, suspended)
        return None

    def fits_node(self, key: bytes, node: str) -> bool:
        """An earlier leader gave nothing twice but CPUs, which workers that woke may have taken back."""
        request = self.scheduler.status.request(key)
        at = self.scheduler.status.nodes()[node]
        free = {**at["available"], "CPU": at["total"].get("CPU", 0.0)}
        return all(amount <= free.get(name, 0.0) for name, amount in request.items())


@pytest.mark.parametrize("seed", range(20))
def test_invariants_hold_whatever_happens(seed: int) -> None:
    world = Chaos(seed)
    for _ in range(250):
        world.anything()
        event = world.more()
        if event is not None:
            world.step(event)


@pytest.mark.parametrize("seed", range(20))
def test_from_wherever_chance_has_led_every_suspended_worker_goes_on(seed: int) -> None:
    world = Chaos(3000 + seed)
    for _ in range(200):
        world.anything()
        event = world.more()
        if event is not None:
            world.step(event)
    for key in sorted(world.pinned):  # actors never give back, so they go first
        for lease in [lease for lease, (of, _, _) in world.leases.items() if of == key]:
            world.give_back(lease)
    for job in range(5):
        world.step(JobAdded(job))  # no cap, under which a job's actors would keep out its own tasks
    waiting = world.stopped & set(world.leases)
    for _ in range(100):  # each tick, all that was ordered is done, and half of what is to end ends
        waiting &= world.stopped
        world.now += 1.0
        world.step(Tick())
        for lease in sorted(world.stopping):
            world.stopping.discard(lease)
            world.stopped.add(lease)
            world.step(LeaseSuspended(lease))
        for lease in sorted(world.revoked - world.stopped | world.killed):
            if lease in world.leases and (lease in world.killed or world.random.random() < 0.5):
                world.blocked.discard(lease)
                world.forget(lease)
                world.step(LeaseReturned(lease))
    assert not waiting & world.stopped, f"suspended for ever: {waiting}"
