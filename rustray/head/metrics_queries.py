"""What clients may ask of what was measured: one method a question, its arguments and answer plain values."""

from __future__ import annotations

from typing import Any

from rustray.cluster.state import ClusterState
from rustray.head.log import Log
from rustray.head.measurements import Measurements
from rustray.head.node_links import NodeLinks
from rustray.metrics.task_events import ANSWERED
from rustray.scheduler.levels import QUANTA
from rustray.scheduler.status import Status

HEAD = "head"
"""What the leading head is called in rows of the network, where it has no address."""


class MetricsQueries:
    """See the module; `docs/metrics.md` has all names and units."""

    def __init__(
        self, state: ClusterState, log: Log, status: Status, nodes: NodeLinks, measured: Measurements
    ) -> None:
        self._state = state
        self._log = log
        self._status = status
        self._nodes = nodes
        self._measured = measured

    def metrics(self, since: float = 0.0) -> list[dict[str, Any]]:
        """Samples of the cluster after `since`, seconds since the epoch: see `head.metrics`."""
        return self._measured.metrics.since(since)

    def node_metrics(self, since: float = 0.0) -> dict[str, list[dict[str, Any]]]:
        """Samples of each node, by its name, after `since`: see `node.monitor`."""
        return self._measured.metrics.of_nodes(since)

    def function_metrics(self, histograms: bool = True) -> list[dict[str, Any]]:
        """What functions took: see `metrics.functions`."""
        return self._measured.functions.rows(histograms)

    def task_events(self, cursor: int = 0, limit: int = ANSWERED) -> dict[str, Any]:
        """Tasks that have ended: see `metrics.task_events`; and "running", those that have begun a while ago and not
        ended: (since in seconds since the epoch, node, worker's process id, function, task id)."""
        running = [
            (since, node, *fields) for node, rows in self._measured.running.items() for since, *fields in rows
        ]
        return {**self._measured.events.since(cursor, limit), "running": running}

    def tasks(self) -> list[dict[str, Any]]:
        """How many tasks of which function are in which state on which node."""
        names = {node.number: node.name for node in self._state.nodes.values()}
        return self._measured.functions.tasks(names)

    def levels(self) -> list[dict[str, Any]]:
        """By level, the most urgent first: "level", "waiting", "running", "suspended" (leases) and "quantum_s", the
        lease-seconds after which a class goes down; None at the last."""
        rows = self._status.queues()
        return [{**row, "quantum_s": QUANTA[row["level"]] if row is not rows[-1] else None} for row in rows]

    def heads(self) -> list[dict[str, Any]]:
        """One row a head: "address", "state" ("leads", "follows" or "does not answer"), "term", "committed" (entries of
        the log), "lag" (of those that the leader has, how many it has not taken in), "rtt_s" from the leader (None: not
        measured) and "epoch"."""
        return [{**row, "epoch": self._state.epoch} for row in self._log.heads()]

    def network(self) -> list[dict[str, Any]]:
        """One row a connection: "from" and "to" (names of nodes, addresses of heads), "rtt_s" and "bytes_per_s" (sent;
        None between heads and nodes). Without gateways, which come and go with programs that ask."""
        head = self._state.leader or HEAD
        gateways = {name for name, info in self._nodes.info.items() if info.get("gateway")}
        names = {node.number: node.name for node in self._state.nodes.values()}
        rows: list[dict[str, Any]] = [
            {"from": head, "to": node, "rtt_s": rtt, "bytes_per_s": None}
            for node, rtt in self._measured.head_rtt.items()
        ]
        for node, links in self._measured.network.items():
            rows += [
                {"from": node, "to": names.get(other, str(other)), "rtt_s": rtt, "bytes_per_s": sent}
                for other, rtt, sent in links
            ]
        rows += [
            {"from": head, "to": row["address"], "rtt_s": row["rtt_s"], "bytes_per_s": None}
            for row in self._log.heads()
            if row["rtt_s"] is not None
        ]
        return [row for row in rows if gateways.isdisjoint((row["from"], row["to"]))]
