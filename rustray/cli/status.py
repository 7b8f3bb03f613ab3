"""``rustray status``: the nodes of a cluster, its heads, and what is in use."""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import dataclass
from typing import Any

import rustray.clusters
from rustray.cli.asking import add_address, connected, reached
from rustray.cluster.commands import NODE_LEFT
from rustray.clusters import entering
from rustray.driver.registry import CONNECTION_FILE, TOKEN_FILE, clusters
from rustray.model.own_work import is_own_code
from rustray.model.quantities import byte_size, counted, duration
from rustray.status import ClusterStatus, cluster_status

LATE_S = 900.0
LEFT_LATE_S = 60.0
"""Seconds for which nodes that have died are shown, and those that have left in order."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Answers:
    """What a cluster has said of itself.

    Attributes
    ----------
    name: of the cluster, "" where it has none here.
    nodes, gone: rows of the nodes that belong to it, and of those that did.
    waiting: rows of the classes that ask for slots. tasks: of the tasks, by function and state.
    heads: {"address": ..., "state": "leads", "answers" or "does not answer", "pid": ...} of each; pid is None where it
        does not run on this machine.
    """

    name: str
    nodes: list[Row]
    gone: list[Row]
    heads: list[Row]
    epoch: int
    waiting: list[Row]
    tasks: list[Row]
    whole: ClusterStatus
    token_file: str


def add_commands(commands: Any) -> None:
    """Add ``status``."""
    status: argparse.ArgumentParser = commands.add_parser(
        "status",
        help="nodes, heads, and what is in use",
        description="Print the nodes and heads of a cluster, what is in use, and what waits.",
    )
    which = status.add_mutually_exclusive_group()
    which.add_argument("name", nargs="?", metavar="NAME", help="of a cluster, see 'rustray list'")
    add_address(which)
    status.add_argument("--json", action="store_true", help="for programs")
    status.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the nodes and heads."""
    return show(options.name or options.address, options.json)


def show(address: str, as_json: bool) -> int:
    """The same of the cluster at `address`."""
    with connected(address) as (query, facts):
        rows = query("nodes", True)
        office = query("office")
        answers = Answers(
            _name(facts),
            rows,
            gone_of_late(query("gone_nodes"), time.time()),
            _heads(facts.get("heads", []), office["leader"]),
            office["epoch"],
            query("waiting"),
            query("tasks"),
            cluster_status(rows, query("workers"), query("store"), query("metrics")),
            _token_file(facts),
        )
    if as_json:
        print(json.dumps(_plain(answers), indent=2))
    else:
        _print(answers)
    return 0


def gone_of_late(rows: list[Row], now: float) -> list[Row]:
    """Those of the nodes that are gone which are worth a line: who has left in order is soon forgotten."""
    return [
        row for row in rows if now - row["removed"] < (LEFT_LATE_S if row["cause"] == NODE_LEFT else LATE_S)
    ]


def _name(facts: Row) -> str:
    """Of the cluster to which the node with these facts belongs; "" where it has none here."""
    if (name := entering.name_of(facts.get("heads", ()))) is not None:
        return name
    return next((one.name for one in rustray.clusters.list() if one.address == facts["folder"]), "")


def _heads(addresses: list[str], leader: str) -> list[Row]:
    pids = {row.get("address"): row["pid"] for row in clusters() if row["role"] == "head"}
    return [
        {
            "address": address,
            "state": "leads" if address == leader else "answers" if answers else "does not answer",
            "pid": pids.get(address),
        }
        for address, answers in reached(addresses).items()
    ]


def _token_file(facts: Row) -> str:
    """That of the cluster, or beside the memory of a head, if one runs here; else what the node here has of it."""
    name = entering.name_of(facts.get("heads", ()))
    if name is not None and (token_file := rustray.clusters.find(name).token_file):
        return token_file
    for other in clusters():
        if other["role"] == "head" and set(other["heads"]) & set(facts.get("heads", ())):
            path = os.path.join(other.get("storage", ""), TOKEN_FILE)
            if os.path.exists(path):
                return path
    return os.path.join(facts["folder"], CONNECTION_FILE)


def _plain(told: Answers) -> dict[str, Any]:
    nodes = []
    for row in told.nodes:
        plain = {key: row.get(key) for key in ("name", "number", "hostname", "pid", "address", "labels")}
        plain["alive"] = row.get("alive", True)
        nodes.append({**plain, "resources": row["resources"], "available": row["available"]})
    return {
        "name": told.name,
        "heads": told.heads,
        "epoch": told.epoch,
        "nodes": nodes,
        "gone_nodes": told.gone,
        "waiting": [
            {key: row[key] for key in ("job", "class", "wanted", "held", "infeasible")}
            for row in told.waiting
        ],
        "tasks_per_s": told.whole.tasks_per_s,
        "memory": {"used_bytes": told.whole.memory, "total_bytes": told.whole.memory_total},
        "token_file": told.token_file,
    }


def _print(told: Answers) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("node", "no.", "host", "state")
    names = list(
        dict.fromkeys(name for node in told.whole.nodes for name in node.resources if name != "memory")
    )
    for name in names:
        table.add_column(name, justify="right")
    labelled = any(row["labels"] for row in told.nodes)
    if labelled:
        table.add_column("labels")
    for node, row in zip(told.whole.nodes, told.nodes, strict=True):
        state = "gateway" if row.get("gateway") else "alive" if node.alive else "lost"
        used = [
            f"{node.resources[name][0]:g} of {node.resources[name][1]:g}" if name in node.resources else ""
            for name in names
        ]
        table.add_row(node.name, str(row["number"]), node.hostname, state, *used, *_labels(row, labelled))
    if told.name:
        print(f"cluster: {told.name}")
    Console().print(table)
    for row in told.gone:  # not in the table, where the cause would be wrapped
        where = f" on {row['hostname']}" if row["hostname"] else ""
        ago = duration(time.time() - row["removed"])
        print(f"gone {ago} ago: {row['name']}, no. {row['number']}{where}: {row['cause']}")
    if told.heads:  # else head and node are one process
        heads = ", ".join(_head(head) for head in told.heads)
        print(f"heads, epoch {told.epoch}: {heads}")
    if told.whole.memory_total:
        memory = f"{byte_size(told.whole.memory)} of {byte_size(told.whole.memory_total)}"
        print(f"memory of the nodes' machines together: {memory} in use")
    print(f"token: in {told.token_file}")
    for line in waiting_lines(told.waiting, told.tasks):
        print(line)


def waiting_lines(slots: list[Row], tasks: list[Row]) -> list[str]:
    """What waits: how many tasks of which function, and what slots are asked for.

    Parameters
    ----------
    slots: rows of "waiting". tasks: rows of "tasks".
    """
    count = {row["function"]: row["count"] for row in tasks if row["state"] == "waiting"}
    asking: dict[str, list[str]] = {}
    served = {row["function"] for row in tasks} - count.keys()  # all its tasks have begun meanwhile
    for row in slots:
        if row["class"] in served:
            continue
        has = "no node can have it" if row["infeasible"] else f"has {row['held']} of {row['wanted']} slots asked for"
        asking.setdefault(row["class"], []).append(f"job {row['job']}: {has}")
    lines = []
    for name in dict.fromkeys((*asking, *count)):
        if not is_own_code(name):
            what = f"{counted(count[name], 'task')} of {name}" if name in count else name
            lines.append("; ".join((f"waiting: {what}", *asking.get(name, ()))))
    return lines


def _labels(row: Row, labelled: bool) -> list[str]:
    return [", ".join(f"{key}={value}" for key, value in row["labels"].items())] if labelled else []


def _head(head: Row) -> str:
    return f"{head['address']} {head['state']}" + (f" (pid {head['pid']})" if head["pid"] else "")
