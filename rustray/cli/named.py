"""``rustray list``, ``logs`` and ``scale``: clusters with names. ``jupyter rustray`` prints the same."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import rustray.clusters
from rustray.cli.option_texts import whole_number
from rustray.clusters import logs
from rustray.model.table import Column, Table

LINES = 50


def add_commands(commands: Any) -> None:
    """Add them."""
    lister: argparse.ArgumentParser = commands.add_parser(
        "list", help="the clusters that run here", description="Print the clusters that run on this machine."
    )
    lister.add_argument("--json", action="store_true", help="for programs")
    lister.set_defaults(run=lambda options: show_list(options.json))

    log: argparse.ArgumentParser = commands.add_parser(
        "logs",
        help="what the processes of a cluster have logged",
        description="Print what the heads and nodes of a cluster on this machine have logged.",
    )
    which = log.add_mutually_exclusive_group()
    which.add_argument("name", nargs="?", metavar="NAME", help="of the cluster (the newest)")
    which.add_argument("--name", dest="named", metavar="NAME", help="the same")
    log.add_argument("--process", metavar="PROCESS", help="the name or pid of one head or node")
    log.add_argument(
        "-n",
        "--lines",
        type=whole_number,
        metavar="N",
        default=LINES,
        help=f"the last so many of each log ({LINES})",
    )
    log.add_argument("-f", "--follow", action="store_true", help="go on with what is written from now on")
    log.set_defaults(run=lambda o: show_logs(o.name or o.named, o.process, o.lines, o.follow))

    scale: argparse.ArgumentParser = commands.add_parser(
        "scale",
        help="start more nodes on this machine, or have some leave",
        description="Have so many nodes of a cluster on this machine. The newest leave first, after their tasks.",
    )
    scale.add_argument("nodes", type=whole_number, metavar="NODES", help="how many it is to have here")
    scale.add_argument("--name", metavar="NAME", help="of the cluster (the newest)")
    scale.add_argument("--force", action="store_true", help="also to 0, while programs may be connected")
    scale.set_defaults(run=lambda options: scale_cluster(options.name, options.nodes, options.force))


def show_list(as_json: bool) -> int:
    """Print the clusters."""
    found = rustray.clusters.list()
    if as_json:
        print(json.dumps([cluster.row() for cluster in found], indent=2))
        return 0
    if not found:
        print("No cluster runs here.")
        return 0
    rows = [dict([("name", cluster.name), *cluster.facts()]) for cluster in found]
    print(Table(rows, {field: Column(field) for field in rows[0]}))
    return 0


def show_logs(name: str | None, process: str | None, lines: int, follow: bool) -> int:
    """Print the last lines; with `follow` also what comes, until the cluster has ended or Ctrl-C."""
    cluster = rustray.clusters.find(name)
    if follow:
        try:
            for line in logs.follow(
                lambda: cluster.log_files(process), lambda: cluster.state != "stopped", lines
            ):
                print(line, flush=True)
        except KeyboardInterrupt:
            return 0
        print(f"The cluster {cluster.name!r} has ended.", file=sys.stderr)
    elif told := cluster.logs(process, lines):
        print(told)
    return 0


def scale_cluster(name: str | None, nodes: int, force: bool) -> int:
    """Scale it, and say what it has now."""
    cluster = rustray.clusters.find(name).scale(nodes, force)
    print(f"The cluster {cluster.name!r} has {cluster.nodes} node{'s' * (cluster.nodes != 1)} here.")
    return 0
