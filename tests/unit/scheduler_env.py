"""A cluster with a clock, for scenarios of the scheduler that are written down as transcripts.

The verbs of `Env` tell the scheduler one event each, check every invariant, and write what it answered to ``said``;
leases are called by their order of granting: 1, 2, 3. All classes are known to run long, so all are at the lowest
level; those of others are in the tests of levels.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from rustray.model.resources import Resources
from rustray.scheduler.actions import Action, Grant, Infeasible, Requeue, Resume, Revoke, Suspend
from rustray.scheduler.core import Scheduler
from rustray.scheduler.events import (
    ClassAdded,
    Demand,
    Event,
    LeaseBlocked,
    LeaseResumed,
    LeaseReturned,
    LeaseSuspended,
    LeaseUnblocked,
    NodeAdded,
    Tick,
)


class Env:
    def __init__(self, **options: Any) -> None:
        self.scheduler = Scheduler(**options)
        self.now = 100.0
        self.holders: dict[int, tuple[str, int, str]] = {}  # lease -> class, client, node
        self.asked_back: list[int] = []
        self.actions: list[Action] = []
        self.said = ""

    def step(self, event: Event) -> Env:
        self.actions = self.scheduler.step(event, self.now)
        self.scheduler.sanity_check()
        words = []
        for action in self.actions:
            if isinstance(action, Grant):
                key = action.key.decode()
                assert action.lease not in self.holders
                self.holders[action.lease] = key, action.client, action.node
                words.append(f"grant {action.lease} of {key} to {action.client} on {action.node}")
            elif isinstance(action, Revoke):
                assert action.lease not in self.asked_back, "asked twice"
                self.asked_back.append(action.lease)
                words.append(f"revoke {action.lease} from {action.client}")
            elif isinstance(action, Suspend):
                words.append(f"suspend {action.lease}")
            elif isinstance(action, Resume):
                words.append(f"resume {action.lease}")
            elif isinstance(action, Requeue):
                words.append(f"requeue {action.lease}")
            elif isinstance(action, Infeasible):
                words.append(f"infeasible {action.key.decode()} for {action.client}")
        self.said = "; ".join(words)
        return self

    def node(self, name: str = "n1", cpu: float = 1, **more: Any) -> Env:
        return self.step(NodeAdded(name, Resources.of(cpu=cpu, **more)))

    def cls(self, key: str, job: int = 1, cpu: float = 1, pinned: bool = False, **more: Any) -> Env:
        options: dict[str, Any] = {"predicted": 60.0}
        for name in ("predicted", "predicted_memory", "priority", "preemptible", "retriable"):
            if name in more:
                options[name] = more.pop(name)
        request = Resources.of(cpu=cpu, **more)
        return self.step(ClassAdded(key.encode(), job, key, request, pinned, **options))

    def demand(self, key: str, count: int, client: int = 1) -> Env:
        return self.step(Demand(key.encode(), client, count))

    def returned(self, *leases: int) -> Env:
        said = []
        for lease in leases:
            self.holders.pop(lease, None)
            said.append(self.step(LeaseReturned(lease)).said)
        self.said = "; ".join(filter(None, said))
        return self

    def blocked(self, lease: int) -> Env:
        return self.step(LeaseBlocked(lease))

    def unblocked(self, lease: int) -> Env:
        return self.step(LeaseUnblocked(lease))

    def suspended(self, *leases: int) -> Env:
        said = [self.step(LeaseSuspended(lease)).said for lease in leases]
        self.said = "; ".join(filter(None, said))
        return self

    def resumed(self, lease: int) -> Env:
        return self.step(LeaseResumed(lease))

    def tick(self, seconds: float = 0.2) -> Env:
        self.now += seconds
        return self.step(Tick())

    def held(self) -> Counter[str]:
        return Counter(key for key, _, _ in self.holders.values())

    def run(self, rounds: int) -> Counter[str]:
        """Pass `rounds` turns in which revoked leases come back; how often each class was granted."""
        granted: Counter[str] = Counter()
        for _ in range(rounds):
            self.tick()
            for lease in [lease for lease in self.asked_back if lease in self.holders]:
                self.returned(lease)
                granted.update(a.key.decode() for a in self.actions if isinstance(a, Grant))
        return granted


# -- granting


def at_wake(env: Env) -> Env:
    """Go to the time that the scheduler asked to be woken at."""
    wake = env.scheduler.next_wake()
    assert wake is not None
    return env.tick(max(0.0, wake - env.now))


def behind_long() -> Env:
    """One slot, taken for long, and a class that waits for it."""
    env = Env().node(cpu=1).cls("long", job=1).cls("quick", job=2, predicted=None).demand("long", 1)
    return env.tick(10.0).demand("quick", 1, client=2)
