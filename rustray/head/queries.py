"""What clients may ask the head: one method a question, its arguments and answer plain values."""

from __future__ import annotations

from typing import Any

from rustray.cluster import facts
from rustray.cluster.state import ClusterState
from rustray.errors import ActorNotFoundError
from rustray.head.actors import Actors
from rustray.head.forecasts import Forecasts
from rustray.head.node_links import NodeLinks
from rustray.head.task_classes import TaskClasses
from rustray.model.own_work import is_own_name
from rustray.scheduler.status import Status


class Queries:
    """Read-only views of one head."""

    def __init__(
        self,
        state: ClusterState,
        status: Status,
        nodes: NodeLinks,
        classes: TaskClasses,
        actors: Actors,
        forecasts: Forecasts,
    ) -> None:
        self._state = state
        self._status = status
        self._nodes = nodes
        self._classes = classes
        self._actors = actors
        self._forecasts = forecasts

    def resources(self) -> tuple[dict[str, float], dict[str, float]]:
        """What the cluster has, and what of it is free."""
        return self._status.total(), self._status.available()

    def nodes(self, gateways: bool = False, gone: bool = False) -> list[dict[str, Any]]:
        """One row a node. Gateways, which offer nothing and end with their programs, only when they are asked for.

        With `gone` those that left or were lost of late come after them: see `gone_nodes`.
        """
        rows = self._status.nodes()
        told = [
            {
                "name": node,
                **self._nodes.info.get(node, {}),
                "number": self._state.nodes[node].number,
                "resources": row["total"],
                "available": row["available"],
                "labels": row["labels"],
            }
            for node, row in rows.items()
            if gateways or not self._nodes.info.get(node, {}).get("gateway")
        ]
        return told + (self.gone_nodes() if gone else [])

    def gone_nodes(self) -> list[dict[str, Any]]:
        """One row a node that left or was lost of late, the last one last; "removed" in seconds since the Unix epoch.

        Gateways are left out: they end with their programs.
        """
        gone = [node for node in self._state.nodes.values() if node.removed is not None and node.total]
        return [
            {
                "name": node.name,
                "number": node.number,
                "alive": False,
                "address": node.address,
                "hostname": self._nodes.info.get(node.name, {}).get("hostname", ""),
                "labels": dict(node.labels),
                "removed": node.removed,
                "cause": node.cause,
            }
            for node in sorted(gone, key=lambda node: node.removed or 0.0)
        ]

    def office(self) -> dict[str, Any]:
        """The address of the head that leads, and its epoch."""
        return {"leader": self._state.leader, "epoch": self._state.epoch}

    def actors(self) -> list[dict[str, Any]]:
        """One row an actor, the dead of late included."""
        rows = []
        for record in self._state.actors.values():
            row = facts.plain(record)
            del row["spec"]
            row["id"] = record.id.hex()
            rows.append(row)
        return rows

    def jobs(self) -> list[dict[str, Any]]:
        """One row a job, without what its workers are given of its driver: its environment may have secrets."""
        rows = [facts.plain(job) for job in self._state.jobs.values()]
        for row in rows:
            del row["place"]
        return rows

    def waiting(self) -> list[dict[str, Any]]:
        """Classes that wait for leases."""
        return self._status.waiting()

    def functions(self) -> list[dict[str, Any]]:
        """What is expected of the functions in use, those that ran last first."""
        return self._forecasts.functions()

    def expected(self, keys: list[bytes]) -> dict[bytes, tuple[float, float]]:
        """What is expected of tasks of these classes: see `Forecasts.expected`."""
        return self._forecasts.expected(keys)

    def names(self) -> list[str]:
        """What the functions and actors of living jobs are called."""
        specs = (*(spec for _key, spec in self._classes.specs()), *self._actors.specs.values())
        return sorted({spec["name"] for spec in specs})

    def explain(self, key: bytes, client: int) -> dict[str, Any]:
        """Why a class waits: see `scheduler.status`."""
        return self._status.explain(key, client)

    def actor_named(self, name: str, namespace: str) -> tuple[bytes, Any]:
        """(id, handle) of a living actor; ActorNotFoundError."""
        record = self._state.actor_named(namespace, name)
        if record is None:
            living = sorted(n for space, n in self._state.names if space == namespace and not is_own_name(n))
            raise ActorNotFoundError(
                f"No actor named {name!r} lives in namespace {namespace!r}"
                + (
                    f"; there are {', '.join(map(repr, living[:10]))}."
                    if living
                    else ", which has no named actors."
                )
                + " Actors are found under the namespace given to init() or to options(namespace=...)."
            )
        return record.id, self._actors.specs[record.id]["handle"]

    def actor_names(self, namespace: str | None) -> list[tuple[str, str]]:
        """(namespace, name) of the living, of one namespace or (None) of all."""
        return [(space, name) for space, name in self._state.names if namespace is None or space == namespace]
