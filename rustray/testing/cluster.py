"""A cluster of its own for a test."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import ExitStack

from rustray.driver import launch
from rustray.driver.ports import free_ports
from rustray.errors import ClusterStartError, OptionError
from rustray.testing.processes import (
    GONE_TIMEOUT_S,
    HERE,
    Head,
    Host,
    Node,
    family,
    until,
    wait_until_gone,
)

DRAIN_TIMEOUT_S = 90.0


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
        ports = free_ports(len(hosts))
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

        return until(look, GONE_TIMEOUT_S, "no head leads")

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
        return family(process.pid for process in (*self.heads, *self.nodes))

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

        until(look, timeout, f"there are not {count} nodes")

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
        wait_until_gone(pids)

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
