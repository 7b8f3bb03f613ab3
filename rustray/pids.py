"""Processes told by their pid: where one means something, and whether it is still that of the same process."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

LIVES, STALE, ELSEWHERE = "lives", "stale", "elsewhere"


@dataclass(frozen=True, slots=True)
class Place:
    """Where pids mean something: one namespace of pids of a running machine.

    Parameters
    ----------
    host: the machine's name.
    system: the id of the machine's present start, which containers share, a space, and the namespace of pids, which
        they do not; "" where that is not known.
    """

    host: str
    system: str

    @property
    def machine(self) -> str:
        """Which machine it is, the same in all its containers; its name where its present start has no id."""
        return self.system.partition(" ")[0] or self.host

    def has_ended(self, here: Place) -> bool:
        """Whether the machine, which is that of `here`, has been started again since."""
        return self.host == here.host and self.system.partition(" ")[0] != here.system.partition(" ")[0]


def here() -> Place:
    """Where this process runs."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            system = f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        system = ""  # not Linux
    return Place(socket.gethostname(), system)


def state(place: Place, here: Place, lives: bool) -> str:
    """Of something whose processes are at `place`: LIVES, STALE (all have ended), or ELSEWHERE: folders may be shared
    by machines and containers, whose pids mean nothing to each other.

    Parameters
    ----------
    lives: whether one of the processes does, by the pids that are `here`.
    """
    if place == here:
        return LIVES if lives else STALE
    return STALE if place.has_ended(here) else ELSEWHERE


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


def call_this_process(name: str) -> None:
    """Have `ps -o comm` and top show this process under a name of up to 15 characters; Linux only."""
    try:
        with open("/proc/self/comm", "w") as file:
            file.write(name)
    except OSError:
        pass  # no Linux, or /proc is read-only: it goes by the name of its program


def _create_time_without_proc(pid: int) -> float | None:
    import psutil  # here: clients on Linux do without

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return None
