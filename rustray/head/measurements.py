"""What nodes measure, taken in: samples, what functions took, events, and the network between them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rustray.head.metrics import Metrics
from rustray.head.node_links import NodeLinks
from rustray.head.scheduling import Scheduling
from rustray.metrics.functions import Functions
from rustray.metrics.task_events import TaskEvents
from rustray.scheduler import events

EPOCH_SHIFT = 32
"""Events are numbered from epoch << 32 on, so a cursor of an earlier leader is known for one."""


class Measurements:
    """All of it, since this head began to lead; bounded, and in no log: a new leader begins anew.

    Attributes
    ----------
    network: by the node that measured, (number of the other node, round trip in seconds, bytes sent a second).
    running: by node, (since in seconds since the epoch, pid, function, task id) of tasks that have run for a while.
    head_rtt: round trip to each node in seconds, by its name, as the links measure it.
    """

    def __init__(self, nodes: NodeLinks, scheduling: Scheduling, epoch: int) -> None:
        self._nodes = nodes
        self._scheduling = scheduling
        self.metrics = Metrics()
        self.functions = Functions()
        self.events = TaskEvents(epoch << EPOCH_SHIFT)
        self.running: dict[str, list[tuple[Any, ...]]] = {}
        self.network: dict[str, list[tuple[int, float, float]]] = {}
        self.head_rtt: dict[str, float] = {}

    def on_sample(self, node: str, sample: dict[str, Any]) -> None:
        """What the node's monitor has seen."""
        self._scheduling.step(events.NodeMemory(node, int(sample["memory_total"] - sample["memory"])))
        gateway = self._nodes.info.get(node, {}).get("gateway", False)
        self.metrics.add(node, sample, self._scheduled, keep=not gateway)
        self.network[node] = sample["links"]

    def _scheduled(self) -> dict[str, Any]:
        status = self._scheduling.status
        levels = [row["waiting"] for row in status.queues()]
        return {
            "waiting": sum(levels),
            "levels": levels,
            "suspended": status.suspended(),
            "leases": status.held(),
            "idle": status.idle_leases(),
        }

    def on_figures(
        self,
        node: str,
        ran: Iterable[tuple[Any, ...]],
        owned: Iterable[tuple[Any, ...]],
        ended: Iterable[tuple[Any, ...]],
        skipped: int,
        running: list[tuple[Any, ...]],
    ) -> None:
        """What workers on the node ran, and what owners there have. See `metrics.functions`.

        Parameters
        ----------
        ended: events of tasks: (start, seconds, pid, function, outcome, task id). skipped: tasks without one.
        running: (since, pid, function, task id) of tasks that have not ended.
        """
        self.functions.ran(ran)
        self.functions.owned(node, owned)
        self.events.add(
            ((start, seconds, node, *fields) for start, seconds, *fields in ended),
            skipped,
        )
        self.running[node] = running

    def forget(self, node: str) -> None:
        """The node has gone."""
        self.metrics.forget(node)
        self.functions.forget(node)
        self.running.pop(node, None)
        self.network.pop(node, None)
        self.head_rtt.pop(node, None)
