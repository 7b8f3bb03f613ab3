"""A head's process: the real one but for its surroundings, with the model of the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rustray.daemon import Daemon
from rustray.head.addresses import raft_address
from rustray.head.process import HeadProcess
from rustray.wire.frames import Message
from tests.simulation.clock import VirtualLoop
from tests.simulation.network import Channel, Host
from tests.simulation.raft import Disk, Replica

if TYPE_CHECKING:
    from rustray.head.reactor import Head
    from tests.simulation.cluster import Cluster


class VirtualDaemon(Daemon):
    """What is left of a process when its folder, log and signals are left out; its loop is in the settings."""

    def __init__(self, settings: dict[str, Any], _role: str) -> None:
        self.settings = settings
        self.loop = settings["loop"]
        self.folder = ""
        self.stopping = self.failed = False

    def tell_registry(self, **_facts: Any) -> None:
        """There is no folder."""


class SimulatedHead(HeadProcess, VirtualDaemon, Host):
    """One life of a head; its disk is older."""

    def __init__(self, cluster: Cluster, address: str, disk: Disk, peers: dict[str, Replica]) -> None:
        super().__init__({"loop": VirtualLoop(cluster.clock, address)})
        self.name = address.partition(":")[0]
        self.cluster = cluster
        self._address = address
        self._heads = cluster.head_addresses
        cluster.network.hosts[address] = self
        self.replica = Replica(
            cluster.clock,
            self.loop,
            cluster.network,
            raft_address(address),
            peers,
            disk,
            self._on_leader,
            self._on_follower,
            self._history.take,
        )
        self._replica = self.replica  # type: ignore[assignment]
        peers[raft_address(address)] = self.replica

    @property
    def head(self) -> Head | None:
        """The control plane, while this head leads or thinks so."""
        return self._links._head if self._links is not None else None

    def on_channel(self, channel: Channel, hello: Message) -> None:
        self._on_channel(channel, hello)  # type: ignore[arg-type]

    def _on_office(self, *told: Any) -> None:
        super()._on_office(*told)
        if self._links is not None:
            self.cluster.trace("head", self.name, f"leads: {told}")
            self.cluster.checks.on_new_leader(self)

    def _on_follower(self) -> None:
        self.cluster.trace("head", self.name, "leads no more")
        super()._on_follower()

    def die(self, silent: bool = False) -> None:
        """kill -9, or (`silent`) the machine's end."""
        self.loop.kill()
        self.cluster.network.gone(self, silent)
