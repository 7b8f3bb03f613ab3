"""A head's process: the real one but for its surroundings, with the model of the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rustray.head.process import HeadProcess, raft_address
from rustray.wire.frames import Message
from tests.simulation.clock import VirtualLoop
from tests.simulation.network import Channel, Host
from tests.simulation.raft import Disk, Replica

if TYPE_CHECKING:
    from rustray.head.reactor import Head
    from tests.simulation.cluster import Cluster


class SimulatedHead(HeadProcess, Host):
    """One life of a head; its disk is older."""

    def __init__(self, cluster: Cluster, address: str, disk: Disk, peers: dict[str, Replica]) -> None:
        self.loop: Any = VirtualLoop(cluster.clock, address)
        self.name = address.partition(":")[0]
        self.cluster = cluster
        self.folder = ""
        self.failed = False
        self._address = address
        self._heads = cluster.head_addresses
        self._channels = None
        self._links = None
        self._predictions = None
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
        )
        self._replica = self.replica  # type: ignore[assignment]
        peers[raft_address(address)] = self.replica

    @property
    def head(self) -> Head | None:
        """The control plane, while this head leads or thinks so."""
        return self._links._head if self._links is not None else None

    def on_channel(self, channel: Channel, hello: Message) -> None:
        self._on_channel(channel, hello)  # type: ignore[arg-type]

    def _on_office(self, result: dict[str, Any]) -> None:
        super()._on_office(result)
        if self._links is not None:
            self.cluster.trace("head", self.name, f"leads: {result}")
            self.cluster.checks.on_new_leader(self)

    def _on_follower(self) -> None:
        self.cluster.trace("head", self.name, "leads no more")
        super()._on_follower()

    def die(self, silent: bool = False) -> None:
        """kill -9, or (`silent`) the machine's end."""
        self.loop.kill()
        self.cluster.network.gone(self, silent)
