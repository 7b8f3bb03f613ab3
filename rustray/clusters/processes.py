"""Processes of this machine, told from later ones that have got their pids."""

from __future__ import annotations

import os
import socket

from rustray.clusters.connection_file import Place, Process


def create_time(pid: int) -> float | None:
    """When the process with this pid began, None if it has ended (a zombie has).

    Linux: seconds since the machine started, which no correction of the clock changes. Elsewhere since the epoch.
    """
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None if os.path.exists("/proc/self/stat") else _create_time_without_proc(pid)
    if fields[0] in "ZX":
        return None
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _create_time_without_proc(pid: int) -> float | None:
    import psutil  # here: clients on Linux do without

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return None


def is_alive(process: Process) -> bool:
    """Whether it has not ended."""
    return create_time(process.pid) == process.create_time


def this_process() -> Process:
    """Of the caller, with a name of its own each time: threads of one process are told apart too."""
    return Process(os.getpid(), create_time(os.getpid()) or 0.0, "starter", os.urandom(8).hex(), "")


def here() -> Place:
    """Where this process runs: the host's name; the start of the machine and the namespace of pids."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            system = f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        system = ""  # not Linux
    return Place(socket.gethostname(), system)
