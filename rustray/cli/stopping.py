"""``rustray stop``: end heads and nodes of this user on this machine."""

from __future__ import annotations

import argparse
import os
import signal
import time
from typing import Any

from rustray.driver.registry import clusters, is_alive
from rustray.errors import OptionError
from rustray.wire.security import plain_address

STOP_TIMEOUT_S = 15.0
DRAIN_TIMEOUT_S = 75.0
_MODULES = {"head": "rustray.head.process", "node": "rustray.node.process", "embedded": "rustray.server"}


def add_commands(commands: Any) -> None:
    """Add ``stop``."""
    stop: argparse.ArgumentParser = commands.add_parser(
        "stop",
        help="end heads and nodes that run here",
        description="End the heads and nodes of one cluster on this machine; those on others go on.",
    )
    which = stop.add_mutually_exclusive_group()
    which.add_argument("--address", help="HOST:PORT of a head or node; not needed where there is one cluster")
    which.add_argument("--all", action="store_true", help="all clusters, those of drivers too")
    stop.add_argument("--drain", action="store_true", help="let the nodes finish the tasks that run on them")
    stop.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """End what the options say; status 1 if something had to be killed."""
    chosen = _choose(options)
    if not chosen:
        print("Nothing of yours runs on this machine.")
        return 0
    nodes = [process for process in chosen if process["role"] != "head"]
    heads = [process for process in chosen if process["role"] == "head"]
    killed = 0
    if options.drain:
        killed += _end([node for node in nodes if node["role"] == "node"], signal.SIGUSR1, DRAIN_TIMEOUT_S)
    # The nodes first: they tell the head that they leave.
    for group in (nodes, heads):
        killed += _end(group, signal.SIGTERM, STOP_TIMEOUT_S)
    told = [
        f"{len(group)} {word}{'s' * (len(group) != 1)}"
        for group, word in ((heads, "head"), (nodes, "node"))
        if group
    ]
    print(f"Stopped {' and '.join(told)}.")
    return 1 if killed else 0


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
        raise OptionError(f"Several clusters run here: {_names(lasting)}. Give --address of one, or --all.")
    return lasting


def _names(processes: list[dict[str, Any]]) -> str:
    """The clusters of these, by their heads."""
    return "; ".join(sorted({",".join(sorted(process["heads"])) for process in processes}))


def _end(processes: list[dict[str, Any]], number: signal.Signals, timeout: float) -> int:
    """Signal them all, and wait; how many had to be killed."""
    for process in processes:
        if _is_ours(process):
            os.kill(process["pid"], number)
    deadline = time.monotonic() + timeout
    left = processes
    while left := [process for process in left if is_alive(process["pid"]) and _is_ours(process)]:
        if time.monotonic() > deadline:
            for process in left:
                print(
                    f"Process {process['pid']} ({process['role']}) did not end within {timeout:g} s: killed."
                )
                os.kill(process["pid"], signal.SIGKILL)
            break
        time.sleep(0.02)
    return len(left)


def _is_ours(process: dict[str, Any]) -> bool:
    """Whether the pid is still that of the process in the registry, and not of another that has got its number."""
    try:
        with open(f"/proc/{process['pid']}/cmdline", "rb") as file:
            return _MODULES[process["role"]].encode() in file.read().split(b"\0")
    except FileNotFoundError:
        return not os.path.isdir("/proc/self")  # this system has no such files, and so no way to know
    except OSError:
        return False  # it has just ended
