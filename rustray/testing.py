"""Clusters for tests: real processes, gone when the test is over, even if it failed or was killed."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from rustray.driver import launch
from rustray.driver.registry import is_alive, read_connection_file
from rustray.errors import ClusterStartError, OptionError

T = TypeVar("T")

GONE_TIMEOUT_S = 10.0
DRAIN_TIMEOUT_S = 90.0
_LAST_PORT = 32_000
"""Below those that systems give to connections, so that nobody gets one of ours between looking and listening."""


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
        return is_alive(self.pid)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name()}, process {self.pid}>"

    def _name(self) -> str:
        return self.folder

    def processes(self) -> set[int]:
        """The pids of the process and of all its descendants that are alive now."""
        return _family((self.pid,))

    def send_signal(self, number: int) -> None:
        """Signal this process alone."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it as a crash would, and wait until it and its descendants are gone."""
        pids = self.processes()
        if self._started.process.poll() is None:
            self._started.process.kill()
        self._started.process.wait()
        _wait_until_gone(pids)

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
        _until(lambda: not self.alive, timeout, f"{self!r} goes on")


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


class Cluster:
    """A cluster of its own, apart from any other, for the length of a ``with`` block.

        with rustray.testing.Cluster(heads=3, nodes=2, num_cpus=2) as cluster:
            rustray.init(cluster.address)
            ...
            rustray.shutdown()

    All processes are on this machine, and end with it or with the process that has made it.

    Parameters
    ----------
    heads: 1, 3 or 5. nodes: how many at the start.
    num_cpus, num_gpus, resources, labels: what each of these nodes offers.
    object_store_memory: bytes of each node's store, None for 30 % of the machine's memory.
    tls_folder: as `rustray certs` makes it, "" for connections without TLS.
    hosts: where the heads and then these nodes run, one for each; none for all here, on the loopback interface.

    Attributes
    ----------
    heads, nodes: their processes; those that were killed or removed are not among them.

    Raises
    ------
    ClusterStartError: it did not come up; what its process has told is in the message.
    """

    def __init__(
        self,
        heads: int = 1,
        nodes: int = 1,
        num_cpus: float = 1,
        *,
        num_gpus: float = 0,
        resources: dict[str, float] | None = None,
        labels: dict[str, str] | None = None,
        object_store_memory: int | None = None,
        tls_folder: str = "",
        hosts: Sequence[Host] = (),
    ) -> None:
        if heads not in (1, 3, 5) or nodes < 0:
            raise OptionError(
                f"Cluster(heads={heads}, nodes={nodes}): give 1, 3 or 5 heads and nodes from 0 on."
            )
        hosts = hosts or [HERE] * (heads + nodes)
        if len(hosts) != heads + nodes:
            raise OptionError(f"Cluster(hosts=...): {len(hosts)} are given for {heads + nodes} processes.")
        self.heads: list[Head] = []
        self.nodes: list[Node] = []
        self._object_store_memory = object_store_memory
        self._tls_folder = tls_folder
        self._head_settings: dict[str, tuple[launch.HeadSettings, Host]] = {}
        self._exit = ExitStack()
        try:
            self._start_heads(hosts[:heads])
            for host in hosts[heads:]:
                self.add_node(num_cpus, num_gpus=num_gpus, resources=resources, labels=labels, host=host)
        except BaseException:
            self.stop()
            raise

    def _start_heads(self, hosts: Sequence[Host]) -> None:
        import secrets
        import tempfile

        storage = self._exit.enter_context(tempfile.TemporaryDirectory(prefix="rustray-heads-"))
        self.token = secrets.token_hex(32)
        ports = _free_ports(len(hosts))
        addresses = [f"{host.address}:{port}" for host, port in zip(hosts, ports, strict=True)]
        for host, port, address in zip(hosts, ports, addresses, strict=True):
            settings = launch.HeadSettings(
                host=host.address,
                port=port,
                heads=addresses,
                token=self.token,
                tls_folder=self._tls_folder,
                insecure=True,
                storage=os.path.join(storage, str(port)),
                lifeline=True,
            )
            self._head_settings[address] = (settings, host)
            self._start_head(address)

    def _start_head(self, address: str) -> Head:
        settings, host = self._head_settings[address]
        head = Head(launch.start(settings, host.within))
        self.heads.append(head)
        return head

    # -- what it is ------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """What `rustray.init` connects to: "host:port" of each head."""
        return ",".join(self._head_settings)

    @property
    def leader(self) -> Head:
        """The head that leads now; TimeoutError while there is none for 10 s."""

        def look() -> Head | None:
            leading = [head for head in self.heads if head.leads]
            return max(leading, key=lambda head: int(head.facts["epoch"]), default=None)

        return _until(look, GONE_TIMEOUT_S, "no head leads")

    @property
    def folder(self) -> str:
        """The session folder of the first node, with the logs."""
        return self.nodes[0].folder

    @property
    def pid(self) -> int:
        """The process of the first node."""
        return self.nodes[0].pid

    def processes(self) -> set[int]:
        """The pids of all heads and nodes and of their descendants that are alive now."""
        return _family(process.pid for process in (*self.heads, *self.nodes))

    # -- nodes -----------------------------------------------------------------------------------------

    def add_node(
        self,
        num_cpus: float = 1,
        *,
        num_gpus: float = 0,
        resources: dict[str, float] | None = None,
        labels: dict[str, str] | None = None,
        host: Host = HERE,
    ) -> Node:
        """Start a node and wait until it has joined."""
        settings = launch.NodeSettings(
            list(self._head_settings),
            self.token,
            launch.count_resources(num_cpus, num_gpus, resources),
            self._object_store_memory,
            labels or {},
            host=host.address,
            tls_folder=self._tls_folder,
            insecure=True,
            lifeline=True,
        )
        node = Node(launch.start(settings, host.within))
        self.nodes.append(node)
        return node

    def remove_node(self, node: Node, graceful: bool = True) -> None:
        """Have a node leave: when its tasks have ended, or (not `graceful`) at once."""
        if graceful:
            node.send_signal(signal.SIGUSR1)
            node.wait(DRAIN_TIMEOUT_S)
        node.stop()
        self.nodes.remove(node)

    def kill_node(self, node: Node) -> None:
        """Kill a node and its workers as a crash would."""
        node.kill()
        self.nodes.remove(node)
        node.stop()

    def pause_node(self, node: Node) -> None:
        """Stop a node and its workers where they are, as a machine that hangs."""
        node.pause()

    def resume_node(self, node: Node) -> None:
        """Let a paused node go on."""
        node.resume()

    def wait_for_nodes(self, count: int, timeout: float = 30.0) -> None:
        """Until so many nodes are joined to the leading head; TimeoutError. Needs a session in this process."""
        from rustray.driver.api import nodes

        def look() -> bool:
            return sum(1 for row in nodes() if row["Alive"] and row["Resources"]) == count

        _until(look, timeout, f"there are not {count} nodes")

    # -- heads -----------------------------------------------------------------------------------------

    def kill_head(self, head: Head) -> None:
        """Kill a head as a crash would. What it had on disk stays."""
        head.kill()
        self.heads.remove(head)

    def restart_head(self, head: Head) -> Head:
        """Start a killed head again, at its address and with what it had on disk."""
        if head.alive:
            raise ClusterStartError(f"{head!r} is running; kill_head() it first.")
        return self._start_head(head.address)

    # -- the end ---------------------------------------------------------------------------------------

    def kill(self) -> None:
        """Kill all of it as a crash would, and wait until all its processes are gone."""
        pids = self.processes()
        for process in (*self.heads, *self.nodes):
            process.kill()
        _wait_until_gone(pids)

    def stop(self) -> None:
        """End the cluster. Harmless when it has ended."""
        for process in (*self.nodes, *self.heads):
            process.resume()
            if process.alive:
                process.send_signal(signal.SIGTERM)  # all at once, then each is waited for
        for process in (*self.nodes, *self.heads):
            process.stop()
        self._exit.close()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()


def _family(pids: Iterable[int]) -> set[int]:
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
        if is_alive(pid):
            found.add(pid)
        new += children.get(pid, ())
    return found


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it has just ended


def _wait_until_gone(pids: Iterable[int]) -> None:
    _until(
        lambda: not [pid for pid in pids if is_alive(pid)],
        GONE_TIMEOUT_S,
        f"some of the processes {sorted(pids)} outlived their killed parent",
    )


def _until(look: Callable[[], T | None], timeout: float, complaint: str) -> T:
    deadline = time.monotonic() + timeout
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{complaint}, after {timeout:g} s")
        time.sleep(0.01)
    return found


def _free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that are free, as are those next to them."""
    with _listeners() as listen:
        found: list[int] = []
        start = 20_000 + os.getpid() * 7 % 10_000
        for port in range(start, _LAST_PORT, 2):
            if len(found) == count:
                break
            if listen(port) and listen(port + 1):
                found.append(port)
        if len(found) < count:
            raise ClusterStartError(f"There are no {count} free pairs of ports from {start} to {_LAST_PORT}.")
        return found


@contextmanager
def _listeners() -> Iterator[Callable[[int], bool]]:
    with ExitStack() as sockets:

        def listen(port: int) -> bool:
            sock = sockets.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                return False
            return True

        yield listen
