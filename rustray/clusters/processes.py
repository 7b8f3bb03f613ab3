"""Processes of this machine, as connection files have them."""

from __future__ import annotations

import os

from rustray.clusters.connection_file import Process
from rustray.pids import create_time


def is_alive(process: Process) -> bool:
    """Whether it has not ended."""
    return create_time(process.pid) == process.create_time


def this_process() -> Process:
    """Of the caller, with a name of its own each time: threads of one process are told apart too."""
    return Process(os.getpid(), create_time(os.getpid()) or 0.0, "starter", os.urandom(8).hex(), "")
