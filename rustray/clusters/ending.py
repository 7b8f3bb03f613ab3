"""Ending processes of a cluster: all told at once, each waited for, and killed when it takes too long."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

from rustray.clusters.connection_file import Process
from rustray.clusters.processes import is_alive

STOP_TIMEOUT_S = 15.0
DRAIN_TIMEOUT_S = 75.0
"""A node gives its tasks 60 s."""


def end(processes: Sequence[Process], number: signal.Signals, timeout: float) -> list[Process]:
    """Send them a signal and wait until they have ended; those that had to be killed after `timeout` seconds."""
    for process in processes:
        _signal(process, number)
    deadline = time.monotonic() + timeout
    left = list(processes)
    while left := [process for process in left if is_alive(process)]:
        if time.monotonic() > deadline:
            for process in left:
                _signal(process, signal.SIGKILL)
            return left
        time.sleep(0.02)
    return []


def end_in_order(processes: Sequence[Process], drain: bool = False) -> list[Process]:
    """End a whole cluster: first its nodes, which tell the heads that they leave. Those that had to be killed.

    Parameters
    ----------
    drain: let the nodes finish the tasks that run on them.
    """
    heads = [process for process in processes if process.role == "head"]
    others = [process for process in processes if process.role != "head"]
    killed = []
    if drain:
        killed += end([p for p in others if p.role == "node"], signal.SIGUSR1, DRAIN_TIMEOUT_S)
    for group in (others, heads):
        killed += end(group, signal.SIGTERM, STOP_TIMEOUT_S)
    return killed


def _signal(process: Process, number: signal.Signals) -> None:
    if is_alive(process):
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            pass  # it has just ended
