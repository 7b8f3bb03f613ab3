"""`rustray.status()`: the cluster at a glance, as text in a terminal and as a table in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from rustray.driver.current import current
from rustray.model.quantities import byte_size, deviation, duration
from rustray.model.table import html_table


@dataclass(frozen=True)
class NodeStatus:
    """One node: what its tasks and actors occupy of what it offers.

    `resources` is {name: (used, total)}; memory in bytes.
    """

    name: str
    hostname: str
    alive: bool
    resources: dict[str, tuple[float, float]]

    def _repr_html_(self) -> str:
        rows = [("host", self.hostname), ("state", "alive" if self.alive else "lost"), *_amounts(self)]
        return html_table(("node", self.name), rows)


@dataclass(frozen=True)
class FunctionStatus:
    """What has been learned of a function, in this run and earlier ones.

    `run_s` and `spread_s` are seconds that a task takes, and their standard deviation, None and 0.0 before one has
    ended; `memory` bytes of a worker that runs it, 0 before that was measured.
    """

    name: str
    run_s: float | None
    spread_s: float
    memory: int

    def __str__(self) -> str:
        told = []
        if self.run_s is not None:
            spread = f" ± {deviation(self.spread_s)}" if self.spread_s > 0 else ""
            told.append(f"{duration(self.run_s)}{spread} a task")
        if self.memory:
            told.append(byte_size(self.memory))
        return ", ".join(told)


@dataclass(frozen=True)
class ClusterStatus:
    """The nodes, and what goes on in the cluster.

    Attributes
    ----------
    workers, busy: worker processes, and those that run something; None before that has been measured.
    memory, memory_total: bytes in use and in all, of the nodes' machines, each counted once; 0 before they have been
        measured.
    store, store_capacity: the same of the object store.
    cpu: percent of these machines' cores. tasks_per_s: finished in the last half second, as a rate.
    functions: what is expected of the functions in use, those that ran last first.
    """

    nodes: tuple[NodeStatus, ...]
    workers: int = 0
    busy: int | None = None
    cpu: float = 0.0
    memory: int = 0
    memory_total: int = 0
    store: int = 0
    store_capacity: int = 0
    tasks_per_s: float = 0.0
    functions: tuple[FunctionStatus, ...] = ()

    def facts(self) -> list[tuple[str, str]]:
        """What is true of the cluster as a whole: (name, value) for reading."""
        workers = f"{self.workers}" if self.busy is None else f"{self.busy} busy of {self.workers}"
        told = [
            ("Workers", workers),
            ("Object store", f"{byte_size(self.store)} of {byte_size(self.store_capacity)}"),
        ]
        if self.memory_total:  # else it has not been measured yet
            told += [
                ("CPU load", f"{self.cpu:.0f} %"),
                ("Memory", f"{byte_size(self.memory)} of {byte_size(self.memory_total)}"),
                ("Tasks", f"{self.tasks_per_s:,.0f} a second"),
            ]
        return told

    def __repr__(self) -> str:
        lines = []
        for node in self.nodes:
            state = "" if node.alive else "  (lost)"
            lines.append(f"{node.name}  {node.hostname}{state}")
            lines += [f"  {name:<18}{used}" for name, used in _amounts(node)]
        lines.append("cluster")
        lines += [f"  {name:<18}{value}" for name, value in self.facts()]
        if self.functions:
            lines.append("functions that ran last, as they are expected to be")
            lines += [f"  {function.name:<18}{function}" for function in self.functions]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        amounts = [dict(_amounts(node)) for node in self.nodes]
        names = list(dict.fromkeys(name for one in amounts for name in one))
        rows = [
            [node.name + ("" if node.alive else " (lost)"), node.hostname]
            + [has.get(name, "–") for name in names]
            for node, has in zip(self.nodes, amounts, strict=True)
        ]
        facts = " · ".join(f"{escape(name)} <b>{escape(value)}</b>" for name, value in self.facts())
        told = f"<div>{facts}</div>{html_table(('Node', 'Host', *names), rows)}"
        if self.functions:
            rows = [[one.name, str(one)] for one in self.functions]
            told += html_table(("Functions that ran last", "Expected"), rows)
        return told


def status() -> ClusterStatus:
    """The cluster that this process is connected to, as it is now; SessionError when there is none."""
    return cluster_status(
        *map(current().requests.query, ("nodes", "workers", "store", "metrics", "functions"))
    )


def cluster_status(
    nodes: Iterable[dict[str, Any]],
    workers: Sequence[dict[str, Any]],
    store: dict[str, int],
    samples: Sequence[dict[str, Any]],
    functions: Iterable[dict[str, Any]] = (),
) -> ClusterStatus:
    """From what the node and head answer to those queries; of the samples the last one counts.

    The one that is asked answers "workers" and "store" for itself alone, and may be a gateway: they count only until
    there is a sample.
    """
    found = tuple(_node(row) for row in nodes)
    told: dict[str, Any] = {
        "workers": len(workers),
        "store": store["used"],
        "store_capacity": store["capacity"],
    }
    if samples:
        measured = ("busy", "cpu", "memory", "memory_total", "tasks_per_s")
        told |= {name: samples[-1][name] for name in (*measured, *told)}
    return ClusterStatus(found, functions=tuple(FunctionStatus(**row) for row in functions), **told)


def _node(row: dict[str, Any]) -> NodeStatus:
    total, free = row["resources"], row["available"]
    amounts = {name: (amount - free.get(name, 0.0), amount) for name, amount in sorted(total.items())}
    return NodeStatus(row["name"], row.get("hostname", ""), row.get("alive", True), amounts)


def _amounts(node: NodeStatus) -> list[tuple[str, str]]:
    told = []
    for name, (used, total) in node.resources.items():
        if name != "memory":
            told.append((name, f"{used:g} of {total:g} in use"))
        elif used:  # few tasks ask for memory, and what is used of it is another matter
            told.append(("memory asked for", f"{byte_size(used)} of {byte_size(total)}"))
    return told
