"""``rustray status`` and ``rustray explain``: what a cluster says of itself, asked through a node of this machine."""

from __future__ import annotations

import argparse
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rustray.driver import discovery
from rustray.driver.environment import driver_place
from rustray.driver.registry import clusters
from rustray.driver.session import Session
from rustray.errors import ClusterStartError
from rustray.explanation import Explanation
from rustray.model import ids
from rustray.status import ClusterStatus, cluster_status

CONNECT_TIMEOUT_S = 10.0
ID_DIGITS = (2 * ids.OBJECT_ID_BYTES - 4, 2 * ids.OBJECT_ID_BYTES)
"""Of a task's id, and of that of an object or actor."""

Query = Callable[..., Any]


def add_commands(commands: Any) -> None:
    """Add ``status`` and ``explain``."""
    status: argparse.ArgumentParser = commands.add_parser("status", help="nodes, heads, and what is in use")
    status.add_argument("--json", action="store_true", help="for programs")
    status.set_defaults(run=run_status)
    explain: argparse.ArgumentParser = commands.add_parser(
        "explain", help="why a task waits", description="Say why tasks or an actor wait."
    )
    explain.add_argument(
        "task",
        metavar="TASK",
        help="the id of a task, object or actor (ref.task_id(), ref.hex()), or a function's name",
    )
    explain.add_argument("--json", action="store_true", help="for programs")
    explain.set_defaults(run=run_explain)
    for command in (status, explain):
        command.add_argument(
            "--address",
            default=os.environ.get("RUSTRAY_ADDRESS") or "auto",
            help="as of rustray.init ($RUSTRAY_ADDRESS, else the newest cluster here)",
        )


@contextmanager
def connected(address: str) -> Iterator[tuple[Query, dict[str, Any]]]:
    """A way to ask the cluster, and the connection file of the node that is asked."""
    gateway = None
    path = discovery.find_node(address)
    if path is None:
        gateway = discovery.start_gateway(address)
        path = gateway.socket
    session = None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            sock.connect(path)
        except OSError as error:
            sock.close()
            raise ClusterStartError(f"Cannot connect to the node at {path}: {error}.") from error
        hello = {
            "pid": os.getpid(),
            "namespace": None,
            "name": "rustray",
            "prestart": False,
            **driver_place(),
        }
        session = Session(sock, ("driver", hello), None)
        session.start(CONNECT_TIMEOUT_S)
        facts = next((facts for facts in clusters() if facts.get("socket") == path), {})
        yield session.query, facts
    finally:
        if session is not None:
            session.close()
        if gateway is not None:
            gateway.stop()


# -- status


def run_status(options: argparse.Namespace) -> int:
    """Print the nodes and heads."""
    with connected(options.address) as (query, facts):
        rows = query("nodes")
        whole = cluster_status(rows, query("workers"), query("store"), query("metrics"))
        waiting = query("waiting")
    heads = facts.get("heads", [])
    if options.json:
        print(json.dumps(_plain(rows, heads, waiting, whole), indent=2))
    else:
        _print_status(rows, heads, waiting, whole)
    return 0


def _plain(
    rows: list[dict[str, Any]], heads: list[str], waiting: list[dict[str, Any]], whole: ClusterStatus
) -> dict[str, Any]:
    nodes = []
    for row in rows:
        told = {key: row.get(key) for key in ("name", "number", "hostname", "pid", "address", "labels")}
        told["alive"] = row.get("alive", True)
        nodes.append({**told, "resources": row["resources"], "available": row["available"]})
    return {
        "heads": heads,
        "nodes": nodes,
        "waiting": [
            {key: row[key] for key in ("job", "class", "wanted", "held", "infeasible")} for row in waiting
        ],
        "tasks_per_s": whole.tasks_per_s,
        "memory": [whole.memory, whole.memory_total],
    }


def _print_status(
    rows: list[dict[str, Any]], heads: list[str], waiting: list[dict[str, Any]], whole: ClusterStatus
) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("node", "host", "state")
    names = list(dict.fromkeys(name for node in whole.nodes for name in node.resources if name != "memory"))
    for name in names:
        table.add_column(name, justify="right")
    for node, row in zip(whole.nodes, rows, strict=True):
        state = "gateway" if row.get("gateway") else "alive" if node.alive else "lost"
        used = [
            f"{node.resources[name][0]:g} of {node.resources[name][1]:g}" if name in node.resources else ""
            for name in names
        ]
        table.add_row(node.name, node.hostname, state, *used)
    console = Console()
    console.print(table)
    if heads:
        console.print(f"heads: {', '.join(heads)}")
    for row in waiting:
        why = "no node can ever have it" if row["infeasible"] else f"has {row['held']} of {row['wanted']}"
        console.print(f"waiting: {row['class']} of job {row['job']}, {why}")


# -- explain


def run_explain(options: argparse.Namespace) -> int:
    """Print where the task with this id is, or what waits under this name, and why; status 1 when nothing does."""
    with connected(options.address) as (query, _facts):
        if _is_id(options.task):
            told = Explanation(query("explain_task", options.task))
            print(json.dumps(told.plain(), indent=2) if options.json else told)
            return 0
        found = [
            {**row, **query("explain", row["key"], row["client"])}
            for row in query("waiting")
            if row["class"] == options.task
        ]
    for row in found:
        del row["key"]
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        print(
            "\n".join(map(_sentence, found)) or f"Nothing waits under {options.task!r}: it runs, or is over."
        )
    return 0 if found else 1


def _is_id(name: str) -> bool:
    """Whether it is meant as an id: no function has so long a name of such letters only."""
    return len(name) in ID_DIGITS and all(digit in "0123456789abcdefABCDEF" for digit in name)


def _sentence(row: dict[str, Any]) -> str:
    what = f"{row['class']} of job {row['job']} is {row['state']}: it has {row['held']} of up to {row['wanted']} slots"
    if row["promised"]:
        what += f", and {row['promised']} are being freed for it"
    if row.get("missing"):
        missing = ", ".join(f"{amount:g} {name}" for name, amount in row["missing"].items())
        what += f"; the node that comes closest lacks {missing}"
    if row.get("ahead"):
        first = ", ".join(sorted({str(other["class"]) for other in row["first_ahead"]}))
        what += f"; {row['ahead']} are served before it ({first})"
    return what + "."
