"""Samples of the whole cluster, made of those of its nodes, and those of each node."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rustray.metrics.series import KEEP, Series

HANDED = 200
"""Nodes whose samples are handed to other heads: those that have been here longest."""

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
    "spilled_per_s",
    "restored_per_s",
)
_OF_DRIVERS = ("tasks_per_s", "failed_per_s")
"""Counted where the results are, which may be a gateway."""
OF_A_NODE = ("time", "cpu", *_OF_MACHINES, *_OF_NODES, "suspended", "objects")

Scheduled = Callable[[], Mapping[str, Any]]
"""What the scheduler knows at the time of a sample: "waiting" (leases asked for and not given), "levels" (of them, by
level), "suspended", "leases" (given), and "idle" (leases that clients keep without use)."""


Handed = tuple[str, list[float], list[dict[str, Any]]]
"""(name of a node, what OF_A_NODE names of its newest sample, its GPUs)"""


class _OfNode:
    def __init__(self) -> None:
        self.series = Series(OF_A_NODE)
        self.gpus: deque[tuple[float, list[dict[str, Any]]]] = deque(maxlen=KEEP)

    def add(self, sample: Mapping[str, float], gpus: list[dict[str, Any]]) -> None:
        self.series.add(sample)
        if gpus:
            self.gpus.append((sample["time"], gpus))


class Metrics:
    """One series for the cluster and one a node: see `node.monitor` for what a node's sample has.

    The node that has been here longest sets the pace: with each sample of it goes the latest of every other. What is
    the machine's counts once where several nodes share one. Of gateways, which offer nothing, only the tasks count that
    their programs have submitted; they set the pace where there is no node.
    """

    def __init__(self) -> None:
        self._samples: deque[dict[str, Any]] = deque(maxlen=KEEP)
        self._latest: dict[str, dict[str, Any]] = {}
        self._gateways: dict[str, dict[str, Any]] = {}
        self._nodes: dict[str, _OfNode] = {}

    def lead(self) -> None:
        """This head leads from now on: it has heard no node yet."""
        self._latest.clear()
        self._gateways.clear()

    def hand(self, since: float) -> tuple[list[dict[str, Any]], list[Handed]]:
        """For another head: samples of the cluster after `since`, and the newest of each of HANDED nodes."""
        nodes = []
        for name, kept in itertools.islice(self._nodes.items(), HANDED):
            sample = kept.series.latest
            gpus = kept.gpus[-1][1] if kept.gpus and kept.gpus[-1][0] == sample["time"] else []
            nodes.append((name, list(sample.values()), gpus))
        return self.since(since), nodes

    def take(self, samples: Sequence[dict[str, Any]], nodes: Iterable[Handed]) -> None:
        """Another head has handed these."""
        for first in samples[:1]:
            while self._samples and self._samples[-1]["time"] >= first["time"]:
                self._samples.pop()
        self._samples.extend(samples)
        told = {name: (dict(zip(OF_A_NODE, values, strict=True)), gpus) for name, values, gpus in nodes}
        self._nodes = {name: self._nodes.get(name) or _OfNode() for name in told}
        for name, (sample, gpus) in told.items():
            if sample["time"] != self._nodes[name].series.latest.get("time"):
                self._nodes[name].add(sample, gpus)

    def add(self, node: str, sample: dict[str, Any], scheduled: Scheduled, gateway: bool = False) -> None:
        """The sample of a node has come, or of a gateway."""
        if gateway:
            self._gateways[node] = sample
        else:
            self._latest[node] = sample
            self._keep(node, sample)
        if node != next(iter(self._latest or self._gateways)):
            return
        parts = self._latest.values()
        machines = {part["machine"]: part for part in sorted(parts, key=lambda part: part["time"])}.values()
        whole: dict[str, Any] = {name: sum(part[name] for part in parts) for name in _OF_NODES}
        whole |= {name: sum(machine[name] for machine in machines) for name in _OF_MACHINES}
        for name in _OF_DRIVERS:
            whole[name] += sum(part[name] for part in self._gateways.values())
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
        kept.add({**sample, **ran}, sample["gpus"])

    def forget(self, node: str) -> None:
        """The node has gone."""
        self._latest.pop(node, None)
        self._gateways.pop(node, None)
        self._nodes.pop(node, None)

    def since(self, time: float) -> list[dict[str, Any]]:
        """Those of the last five minutes that are newer than `time` (seconds since the epoch), oldest first."""
        newer = itertools.takewhile(lambda sample: sample["time"] > time, reversed(self._samples))
        return list(newer)[::-1]

    def of_nodes(self, time: float) -> dict[str, list[dict[str, Any]]]:
        """The same of each node, by its name, with "gpus"."""
        answer: dict[str, list[dict[str, Any]]] = {}
        for node, kept in self._nodes.items():
            gpus = dict(itertools.takewhile(lambda at: at[0] > time, reversed(kept.gpus)))
            answer[node] = [
                {**sample, "gpus": gpus.get(sample["time"], [])} for sample in kept.series.since(time)
            ]
        return answer
