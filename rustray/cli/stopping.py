"""``rustray stop``: end heads and nodes of this user on this machine."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import rustray.clusters
from rustray.clusters import ending, entering, registry
from rustray.clusters.connection_file import Process
from rustray.driver.registry import clusters
from rustray.errors import OptionError
from rustray.wire.security import plain_address


def add_commands(commands: Any) -> None:
    """Add ``stop``."""
    stop: argparse.ArgumentParser = commands.add_parser(
        "stop",
        help="end heads and nodes that run here",
        description="End the heads and nodes of one cluster on this machine; those on others go on.",
    )
    which = stop.add_mutually_exclusive_group()
    which.add_argument("name", nargs="?", metavar="NAME", help="of a cluster, see 'rustray list'")
    which.add_argument("--name", dest="named", metavar="NAME", help="the same")
    which.add_argument("--address", help="HOST:PORT of a head or node; not needed where there is one cluster")
    which.add_argument(
        "--all", action="store_true", help="all clusters, those too that programs have started for themselves"
    )
    stop.add_argument("--drain", action="store_true", help="let the nodes finish the tasks that run on them")
    stop.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """End what the options say; status 1 if something had to be killed."""
    name = options.name or options.named
    if name is not None:
        return stop_cluster(name, options.drain)
    chosen = _processes(_choose(options))
    if not chosen:
        print("Nothing of yours runs on this machine.")
        return 0
    killed = ending.end_in_order(chosen, options.drain)
    registry.files()  # sweeps
    return _told(chosen, killed)


def stop_cluster(name: str | None, drain: bool) -> int:
    """End the cluster of this name, or the newest; nothing has to be done where none runs."""
    if name is None and registry.find() is None:
        print("No cluster runs here.")
        return 0
    cluster = rustray.clusters.find(name)
    processes = cluster.processes
    return _told(processes, cluster.stop(drain), f" of the cluster {cluster.name!r}")


def _told(ended: Sequence[Process], killed: Sequence[Process], whose: str = "") -> int:
    for process in killed:
        print(f"Process {process.pid} ({process.name}) did not end in time: killed.")
    heads = sum(process.role == "head" for process in ended)
    told = [
        f"{count} {word}{'s' * (count != 1)}"
        for count, word in ((heads, "head"), (len(ended) - heads, "node"))
        if count
    ]
    print(f"Stopped {' and '.join(told)}{whose}.")
    return 1 if killed else 0


def _processes(rows: Sequence[dict[str, Any]]) -> list[Process]:
    return [
        Process(row["pid"], row["create_time"], row["role"], row.get("name", row["role"]), row["folder"])
        for row in rows
    ]


def _choose(options: argparse.Namespace) -> list[dict[str, Any]]:
    running = clusters()
    if options.all:
        return running
    lasting = [process for process in running if process["role"] != "embedded" and not process.get("gateway")]
    if options.address:
        wanted = {plain_address(address.strip()) for address in options.address.split(",")}
        chosen = [process for process in lasting if wanted & {process.get("address"), *process["heads"]}]
        if not chosen:
            raise OptionError(
                f"Nothing of yours at {options.address} runs on this machine. Running: {_names(lasting) or 'nothing'}."
            )
        return chosen
    if len({frozenset(process["heads"]) for process in lasting}) > 1:
        raise OptionError(
            f"Several clusters run here: {_names(lasting)}. Give the name of one, --address, or --all."
        )
    return lasting


def _names(processes: list[dict[str, Any]]) -> str:
    """The clusters of these, by their names; by their heads where they have none."""
    found = {
        entering.name_of(process["heads"]) or ",".join(sorted(process["heads"])) for process in processes
    }
    return "; ".join(sorted(found))
