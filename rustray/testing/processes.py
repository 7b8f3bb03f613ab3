"""The processes of a test's cluster: to be looked at, killed, paused and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from rustray.driver import launch
from rustray.driver.registry import read_connection_file
from rustray.pids import create_time

T = TypeVar("T")

GONE_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Host:
    """Where processes of a `Cluster` run.

    Parameters
    ----------
    address: what they listen at. Elsewhere than on loopback they do so without TLS too, if the cluster has none.
    within: the words of a command that starts them there, as ``ip netns exec NAME``, in the same process.
    """

    address: str = "127.0.0.1"
    within: tuple[str, ...] = ()


HERE = Host()


class ClusterProcess:
    """One process of a `Cluster`: a head or a node."""

    def __init__(self, started: launch.StartedProcess) -> None:
        self._started = started
        self._last_facts = read_connection_file(self.folder)

    @property
    def pid(self) -> int:
        return self._started.process.pid

    @property
    def folder(self) -> str:
        """The session folder, with the logs."""
        return self._started.settings.folder

    @property
    def facts(self) -> dict[str, Any]:
        """What the process says of itself in its ``cluster.json``; what it said last, when it has ended."""
        with contextlib.suppress(FileNotFoundError):
            self._last_facts = read_connection_file(self.folder)
        return self._last_facts

    @property
    def address(self) -> str:
        """Where other processes reach it, "host:port"."""
        return str(self.facts["address"])

    @property
    def alive(self) -> bool:
        return create_time(self.pid) is not None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name()}, process {self.pid}>"

    def _name(self) -> str:
        return self.folder

    def processes(self) -> set[int]:
        """The pids of the process and of all its descendants that are alive now."""
        return family((self.pid,))

    def send_signal(self, number: int) -> None:
        """Signal this process alone."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it as a crash would, and wait until it and its descendants are gone."""
        pids = self.processes()
        if self._started.process.poll() is None:
            self._started.process.kill()
        self._started.process.wait()
        wait_until_gone(pids)

    def stop(self, timeout: float = launch.STOP_TIMEOUT_S) -> None:
        """End it in order. Harmless when it has ended."""
        self.resume()
        self._started.stop(timeout)

    def pause(self) -> None:
        """Stop it and its descendants where they are, as a machine that hangs."""
        for pid in self.processes():
            _signal(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let all of them go on."""
        for pid in self.processes():
            _signal(pid, signal.SIGCONT)

    def wait(self, timeout: float) -> None:
        """Until it has ended; TimeoutError."""
        until(lambda: not self.alive, timeout, f"{self!r} goes on")


class Head(ClusterProcess):
    """A head of a `Cluster`."""

    def _name(self) -> str:
        return self.address

    @property
    def leads(self) -> bool:
        """Whether it leads, as far as it knows."""
        return self.alive and bool(self.facts["leads"])


class Node(ClusterProcess):
    """A node of a `Cluster`."""

    @property
    def name(self) -> str:
        """As in `rustray.nodes()`."""
        return str(self.facts["name"])

    @property
    def number(self) -> int:
        """Its present number in the cluster: another one after it was taken for dead."""
        return int(self.facts["number"])

    def _name(self) -> str:
        return self.name


def family(pids: Iterable[int]) -> set[int]:
    """The pids of the living among `pids` and their descendants."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has just ended
            children.setdefault(parent, []).append(int(name))
    found, new = set(), list(pids)
    while new:
        pid = new.pop()
        if create_time(pid) is not None:
            found.add(pid)
        new += children.get(pid, ())
    return found


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it has just ended


def wait_until_gone(pids: Iterable[int]) -> None:
    """Until none of them is alive; TimeoutError."""
    until(
        lambda: not [pid for pid in pids if create_time(pid) is not None],
        GONE_TIMEOUT_S,
        f"some of the processes {sorted(pids)} outlived their killed parent",
    )


def until(look: Callable[[], T | None], timeout: float, complaint: str) -> T:
    """The first true value of `look()`; TimeoutError."""
    deadline = time.monotonic() + timeout
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{complaint}, after {timeout:g} s")
        time.sleep(0.01)
    return found
