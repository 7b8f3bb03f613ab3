"""What nodes measure, taken in: samples, what functions took, events, and the network between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rustray.head.history import History
from rustray.head.node_links import NodeLinks
from rustray.head.scheduling import Scheduling
from rustray.scheduler import events


class Measurements:
    """All of it; bounded, and in no log.

    Parameters
    ----------
    wall: seconds since the epoch. history: what this head knows of the past; it goes on from there.

    Attributes
    ----------
    network: by the node that measured, (number of the other node, round trip in seconds, bytes sent a second).
    running: by node, (since in seconds since the epoch, pid, function, task id) of tasks that have run for a while.
    head_rtt: round trip to each node in seconds, by its name, as the links measure it.
    """

    def __init__(
        self, nodes: NodeLinks, scheduling: Scheduling, wall: Callable[[], float], history: History
    ) -> None:
        self._nodes = nodes
        self._wall = wall
        self._scheduling = scheduling
        self.metrics, self.functions, self.events = history.metrics, history.functions, history.events
        self.running: dict[str, list[tuple[Any, ...]]] = {}
        self.network: dict[str, list[tuple[int, float, float]]] = {}
        self.head_rtt: dict[str, float] = {}

    def on_sample(self, node: str, sample: dict[str, Any]) -> None:
        """What the node's monitor has seen."""
        self._scheduling.step(events.NodeMemory(node, int(sample["memory_total"] - sample["memory"])))
        gateway = self._nodes.info.get(node, {}).get("gateway", False)
        self.metrics.add(node, sample, self._scheduled, gateway=gateway)
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
        now = self._wall()
        self.functions.ran(ran, now)
        self.functions.owned(node, owned, now)
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
