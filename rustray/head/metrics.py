"""Samples of the whole cluster, made of those of its nodes, and those of each node."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from rustray.metrics.series import KEEP, Series

_OF_MACHINES = (
    "cpus",
    "memory",
    "memory_total",
    "disk_read_per_s",
    "disk_write_per_s",
    "net_in_per_s",
    "net_out_per_s",
)
"""Nodes that share a machine all measure the same."""
_OF_NODES = (
    "tasks_per_s",
    "failed_per_s",
    "workers",
    "busy",
    "store",
    "store_capacity",
    "spilled",
)
OF_A_NODE = ("time", "cpu", *_OF_MACHINES, *_OF_NODES, "suspended", "objects")

Scheduled = Callable[[], Mapping[str, Any]]
"""What the scheduler knows at the time of a sample: "waiting" (leases asked for and not given), "levels" (of them, by
level), "suspended", "leases" (given), and "idle" (leases that clients keep without use)."""


class _OfNode:
    def __init__(self) -> None:
        self.series = Series(OF_A_NODE)
        self.gpus: deque[tuple[float, list[dict[str, Any]]]] = deque(maxlen=KEEP)


class Metrics:
    """One series for the cluster and one a node: see `node.monitor` for what a node's sample has.

    The node that has been here longest sets the pace: with each sample of it goes the latest of every other. What is
    the machine's counts once where several nodes share one.
    """

    def __init__(self) -> None:
        self._samples: deque[dict[str, Any]] = deque(maxlen=KEEP)
        self._latest: dict[str, dict[str, Any]] = {}
        self._nodes: dict[str, _OfNode] = {}

    def add(self, node: str, sample: dict[str, Any], scheduled: Scheduled, keep: bool = True) -> None:
        """A node's sample has come.

        Parameters
        ----------
        keep: whether it is one of those of which people ask: gateways are not.
        """
        self._latest[node] = sample
        if keep:
            self._keep(node, sample)
        if node != next(iter(self._latest)):
            return
        parts = self._latest.values()
        machines = {part["machine"]: part for part in sorted(parts, key=lambda part: part["time"])}.values()
        whole: dict[str, Any] = {name: sum(part[name] for part in parts) for name in _OF_NODES}
        whole |= {name: sum(machine[name] for machine in machines) for name in _OF_MACHINES}
        whole["time"] = sample["time"]
        whole["cpu"] = sum(machine["cpu"] * machine["cpus"] for machine in machines) / max(1, whole["cpus"])
        whole |= scheduled()
        whole["busy"] = max(0, whole["busy"] - whole.pop("idle"))
        self._samples.append(whole)

    def _keep(self, node: str, sample: dict[str, Any]) -> None:
        kept = self._nodes.get(node)
        if kept is None:
            kept = self._nodes[node] = _OfNode()
        # Tasks count where they ran, while those of the whole cluster count where their results are.
        ran = {"tasks_per_s": sample["ran_per_s"], "failed_per_s": sample["ran_failed_per_s"]}
        kept.series.add({**sample, **ran})
        if sample["gpus"]:
            kept.gpus.append((sample["time"], sample["gpus"]))

    def forget(self, node: str) -> None:
        """The node has gone."""
        self._latest.pop(node, None)
        self._nodes.pop(node, None)

    def since(self, time: float) -> list[dict[str, Any]]:
        """Those of the last five minutes that are newer than `time` (seconds since the epoch), oldest first."""
        newer = itertools.takewhile(lambda sample: sample["time"] > time, reversed(self._samples))
        return list(newer)[::-1]

    def of_nodes(self, time: float) -> dict[str, list[dict[str, Any]]]:
        """The same of each node, by its name, with "gpus"."""
        answer: dict[str, list[dict[str, Any]]] = {}
        for node, kept in self._nodes.items():
            gpus = dict(kept.gpus)
            answer[node] = [
                {**sample, "gpus": gpus.get(sample["time"], [])} for sample in kept.series.since(time)
            ]
        return answer
