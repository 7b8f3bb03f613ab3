"""What the head expects of functions: learned from what clients and nodes measure, told to the scheduler and clients.

Clients report run times a few times a second at most (`driver.measured`), nodes the memory of workers with a lease.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rustray.head.node_links import NodeLinks
from rustray.head.scheduling import Scheduling
from rustray.head.task_classes import TaskClasses
from rustray.scheduler import events
from rustray.scheduler.prediction import Estimate, Predictions

FUNCTIONS_SHOWN = 10


class Forecasts:
    """The estimates of one head.

    Parameters
    ----------
    wall: seconds since the epoch.

    Attributes
    ----------
    predictions: of all functions, those of earlier runs included.
    """

    def __init__(
        self, wall: Callable[[], float], nodes: NodeLinks, scheduling: Scheduling, classes: TaskClasses
    ) -> None:
        self._wall = wall
        self._nodes = nodes
        self._scheduling = scheduling
        self._classes = classes
        self.predictions = Predictions()

    def of(self, spec: dict[str, Any] | None) -> Estimate | None:
        """What is expected of tasks of the class with this spec."""
        if spec is None or not spec.get("function"):
            return None
        return self.predictions.estimate(spec["function"])

    def tell_client(self, client: int, key: bytes, spec: dict[str, Any]) -> None:
        """A client is about to run tasks of a class: tell it how long they take, if that very code has run before."""
        estimate = self.of(spec)
        if estimate is not None and estimate.run_s is not None:
            self._nodes.to_client(client, ("estimate", client, key, estimate.run_s, estimate.spread_s))

    def on_predicted(self, _node: str, rows: Iterable[tuple[bytes, int, float, float]]) -> None:
        """A client has measured tasks: (class, count, seconds in all, sum of the squares of their seconds)."""
        for key, count, seconds, squares in rows:
            spec = self._classes.spec_of(key)
            if spec is not None and spec.get("function"):
                self.predictions.observe(spec["function"], count, seconds, squares, self._wall())
                self._tell_scheduler(key, spec)

    def on_worker_memory(self, _node: str, rows: Iterable[tuple[bytes, int]]) -> None:
        """Workers have grown or shrunk: (class that they run, bytes)."""
        for key, size in rows:
            spec = self._classes.spec_of(key)
            if spec is not None and spec.get("function"):
                self.predictions.note_memory(spec["function"], size, self._wall())
                self._tell_scheduler(key, spec)

    def functions(self) -> list[dict[str, Any]]:
        """Of the functions of living jobs, as `rustray.status` shows them: those that ran last first."""
        named = {
            spec["function"]: spec["name"] for _key, spec in self._classes.specs() if spec.get("function")
        }
        rows = []
        for function in self.predictions.latest(named)[:FUNCTIONS_SHOWN]:
            estimate = self.predictions.estimate(function)
            if estimate is not None:
                known = {"run_s": estimate.run_s, "spread_s": estimate.spread_s, "memory": estimate.memory}
                rows.append({"name": named[function], **known})
        return rows

    def expected(self, keys: Iterable[bytes]) -> dict[bytes, tuple[float, float]]:
        """What tasks of these classes take, of those whose very code has run before: seconds, standard deviation."""
        found = {}
        for key in keys:
            estimate = self.of(self._classes.spec_of(key))
            if estimate is not None and estimate.run_s is not None:
                found[key] = (estimate.run_s, estimate.spread_s)
        return found

    def learn(self, kept: dict[str, Any]) -> None:
        """Take in what earlier runs have learned (`Predictions.to_dict`); it is news for the classes that are here."""
        self.predictions.merge(kept)
        for key, spec in self._classes.specs():
            self._tell_scheduler(key, spec)

    def _tell_scheduler(self, key: bytes, spec: dict[str, Any]) -> None:
        estimate = self.of(spec)
        if estimate is not None:
            self._scheduling.step(events.Predicted(key, estimate.run_s, estimate.memory))
