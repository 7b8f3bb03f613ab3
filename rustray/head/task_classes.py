"""The scheduling classes of tasks that nodes have told of, by their keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rustray.model.resources import Resources
from rustray.scheduler import events
from rustray.scheduler.constraints import Constraint
from rustray.scheduler.prediction import Estimate

Spec = dict[str, Any]


class TaskClasses:
    """Which job each is of, what it asks for, and on which nodes clients use it."""

    def __init__(self) -> None:
        self._classes: dict[bytes, tuple[int, Spec]] = {}
        self._users: dict[bytes, set[str]] = {}
        self._unused: dict[bytes, None] = {}
        """Those that the last user has let go, until they are forgotten or used again."""

    def __contains__(self, key: bytes) -> bool:
        return key in self._classes

    def __getitem__(self, key: bytes) -> tuple[int, Spec]:
        """(job, spec)"""
        return self._classes[key]

    def add(self, key: bytes, job: int, spec: Spec) -> None:
        """There is a class."""
        self._classes[key] = (job, spec)

    def use(self, key: bytes, node: str) -> None:
        """A client on this node uses it."""
        self._users.setdefault(key, set()).add(node)
        self._unused.pop(key, None)

    def let_go(self, keys: Iterable[bytes], node: str) -> None:
        """On this node nobody uses them any more."""
        for key in keys:
            users = self._users.get(key)
            if users is not None:
                users.discard(node)
                if not users:
                    del self._users[key]
                    self._unused[key] = None

    def used_on(self, node: str) -> list[bytes]:
        """Those that clients on this node use."""
        return [key for key, users in self._users.items() if node in users]

    def unused(self) -> list[bytes]:
        """Those that were used, and are not."""
        return list(self._unused)

    def forget(self, key: bytes) -> None:
        """Nothing asks for it any more."""
        self._classes.pop(key, None)
        self._users.pop(key, None)
        self._unused.pop(key, None)

    def spec_of(self, key: bytes) -> Spec | None:
        """What it asks for, if it is known."""
        return self._classes[key][1] if key in self._classes else None

    def specs(self) -> list[tuple[bytes, Spec]]:
        """Of all classes."""
        return [(key, spec) for key, (_job, spec) in self._classes.items()]

    def forget_job(self, job: int) -> list[bytes]:
        """The job is over; the keys of its classes."""
        gone = [key for key, (of, _spec) in self._classes.items() if of == job]
        for key in gone:
            self.forget(key)
        return gone


def class_event(key: bytes, job: int, spec: Spec, estimate: Estimate | None) -> events.ClassAdded:
    """What the scheduler is told of a class of tasks."""
    return events.ClassAdded(
        key,
        job,
        spec["name"],
        resources_of(spec["resources"]),
        predicted=estimate.run_s if estimate is not None else None,
        predicted_memory=estimate.memory if estimate is not None else 0,
        priority=spec.get("priority", 0),
        preemptible=spec.get("preemptible", True),
        retriable=spec.get("retriable", False),
        constraint=Constraint.of(spec.get("constraint")),
    )


def resources_of(amounts: dict[str, float]) -> Resources:
    """Resources from {"CPU": 1.0, ..., custom names}."""
    custom = {name: amount for name, amount in amounts.items() if name not in ("CPU", "GPU", "memory")}
    return Resources.of(
        cpu=amounts.get("CPU", 0.0),
        gpu=amounts.get("GPU", 0.0),
        memory=amounts.get("memory", 0.0),
        custom=custom,
    )
