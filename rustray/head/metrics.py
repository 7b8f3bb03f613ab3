"""Samples of the whole cluster, made of those of its nodes."""

from __future__ import annotations

import itertools
from collections import deque
from typing import Any

KEEP = 600
"""Samples kept: five minutes."""
_SUMS = (
    "memory",
    "memory_total",
    "tasks_per_s",
    "failed_per_s",
    "workers",
    "busy",
    "store",
    "store_capacity",
)


class Metrics:
    """One series for the cluster: see `node.monitor` for what a node's sample has.

    The node that has been here longest sets the pace: with each sample of it goes the latest of every other.
    """

    def __init__(self) -> None:
        self._samples: deque[dict[str, Any]] = deque(maxlen=KEEP)
        self._latest: dict[str, dict[str, Any]] = {}

    def add(self, node: str, sample: dict[str, Any], idle_leases: int, waiting: int) -> None:
        """A node's sample has come.

        Parameters
        ----------
        idle_leases: leases that clients keep without use. waiting: leases asked for and not given.
        """
        self._latest[node] = sample
        if node != next(iter(self._latest)):
            return
        parts = self._latest.values()
        whole: dict[str, Any] = {name: sum(part[name] for part in parts) for name in _SUMS}
        whole["time"] = sample["time"]
        cpus = sum(part["cpus"] for part in parts)
        whole["cpu"] = sum(part["cpu"] * part["cpus"] for part in parts) / max(1, cpus)
        whole["busy"] = max(0, whole["busy"] - idle_leases)
        whole["waiting"] = waiting
        self._samples.append(whole)

    def forget(self, node: str) -> None:
        """The node has gone."""
        self._latest.pop(node, None)

    def latest(self, node: str) -> dict[str, Any]:
        """The node's last sample, {} when there is none."""
        return self._latest.get(node, {})

    def since(self, time: float) -> list[dict[str, Any]]:
        """Those of the last five minutes that are newer than `time` (seconds since the epoch), oldest first."""
        newer = itertools.takewhile(lambda sample: sample["time"] > time, reversed(self._samples))
        return list(newer)[::-1]
