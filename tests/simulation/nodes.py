"""A node's process, the real one but for its surroundings, and the machine it runs on, with workers and drivers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rustray.node.agent import NodeAgent
from rustray.node.head_link import HeadLink
from rustray.node.neighbours import Neighbours
from rustray.node.process import TICK_S, NodeProcess
from rustray.wire.frames import Message
from tests.simulation.clock import VirtualLoop
from tests.simulation.heads import VirtualDaemon
from tests.simulation.network import Channel, Host
from tests.simulation.workers import SimulatedWorker

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster
    from tests.simulation.drivers import SimulatedDriver

FORK_S = 0.005


class _Link(HeadLink):
    """The real one; notes which epoch each message is of, and the highest that the node has heard of."""

    batch_epoch = 0

    def hear_epoch(self, epoch: int) -> None:
        node: Any = self._node
        node.highest_epoch = max(node.highest_epoch, epoch)
        super().hear_epoch(epoch)

    def _on_messages(self, messages: list[Message]) -> None:
        for message in messages:
            if message[0] == "epoch":
                self.batch_epoch = message[1]
        super()._on_messages(messages)


class VirtualHost:
    """As `node.host.NodeHost`: makes agents, and forks workers for them."""

    def __init__(self, _loop: Any, settings: dict[str, Any], *_zygote: Any) -> None:
        self._node: SimulatedNode = settings["node"]
        self.agent: NodeAgent | None = None

    def make_agent(self, name: str, number: int, neighbours: Neighbours, *links: Any) -> NodeAgent:
        node = self._node
        self.agent = NodeAgent(
            node.loop, name, number, node.settings["resources"], "/sim", node.fork, None, neighbours, *links
        )
        return self.agent

    def close_agent(self) -> None:
        agent, self.agent = self.agent, None
        if agent is not None:
            agent.close()


class SimulatedNode(NodeProcess, VirtualDaemon, Host):
    """One life of a node's process, and all that lives and dies with it."""

    def __init__(self, cluster: Cluster, machine: str, name: str, resources: dict[str, float]) -> None:
        settings = {
            "loop": VirtualLoop(cluster.clock, name),
            "node": self,
            "resources": resources,
            "labels": {"machine": machine},
            "gateway": False,
        }
        super().__init__(settings, 0, None)  # type: ignore[arg-type]
        self.cluster = cluster
        self.loop.host = self
        self.loop.on_error = cluster.on_loop_error
        self.name = machine
        self.workers: dict[int, SimulatedWorker] = {}
        self.drivers: list[SimulatedDriver] = []
        self.highest_epoch = 0
        self.gone = False
        self._name = name
        self._address = f"{machine}:1"
        self._security: Any = None
        self._link: Any = _Link(self.loop, self, cluster.head_addresses, self._security)
        cluster.network.hosts[self._address] = self
        self._link.start()
        self.loop.call_later(TICK_S, self._tick)

    @property
    def agent(self) -> NodeAgent | None:
        agent: NodeAgent | None = self._host.agent
        return agent

    @property
    def joined(self) -> bool:
        return self._link.session.state == "joined"

    @property
    def number(self) -> int:
        return self._link.session.number

    # -- the link

    def join_message(self, number: int, epoch: int) -> Message:
        return super().join_message(number, epoch)

    def on_joined(self, number: int, epoch: int, nodes: Any, heads: Any) -> None:
        self.cluster.trace("node", self._name, f"joined as {number}, epoch {epoch}")
        self.highest_epoch = max(self.highest_epoch, epoch)
        super().on_joined(number, epoch, nodes, heads)

    def from_head(self, message: Message) -> None:
        epoch = self._link.batch_epoch
        if epoch < self.highest_epoch:
            self.cluster.fail(f"{self._name} obeys epoch {epoch} after {self.highest_epoch}: {message}")
        self.highest_epoch = epoch
        super().from_head(message)

    def on_head_lost(self, reason: str) -> None:
        self.cluster.trace("node", self._name, f"lost the head: {reason}")
        super().on_head_lost(reason)

    def on_removed(self) -> None:
        self.cluster.trace("node", self._name, "was removed")
        super().on_removed()

    def on_refused(self, reason: str, differs: str) -> None:
        self.cluster.fail(f"{self._name} is refused: {reason}")

    def on_channel(self, channel: Channel, hello: Message) -> None:
        self._on_channel(channel, hello)  # type: ignore[arg-type]

    # -- workers

    def fork(self, client: int, place: dict[str, Any], fd: int) -> None:
        """The zygote is asked for a worker."""
        end = self.cluster.kernel.share(fd)
        delay = FORK_S * self.cluster.clock.random.uniform(0.2, 2.0)
        self.loop.call_later(delay, self._forked, client, place, end)

    def _forked(self, client: int, place: dict[str, Any], end: Any) -> None:
        worker = self.workers[client] = SimulatedWorker(self, client, place, end)
        if self.agent is not None:
            self.agent.pool.on_forked(client, worker.pid)

    def on_worker_exit(self, worker: SimulatedWorker, code: int) -> None:
        """A process has ended: the zygote tells."""
        self.workers.pop(worker.client, None)
        delay = self.cluster.clock.random.uniform(1e-4, 2e-3)
        self.loop.call_later(delay, self._exited, worker.client, worker.pid, code)

    def _exited(self, client: int, pid: int, code: int) -> None:
        if self.agent is not None:
            self.agent.departures.on_exited(client, pid, code)

    # -- drivers

    def connect(self, sock: Any) -> bool:
        """A driver knocks; False when there is nobody to answer."""
        if self.agent is None or self.loop.dead:
            return False
        self.agent.door.on_knock(sock)
        return True

    # -- the end

    def die(self, silent: bool = False) -> None:
        """kill -9 of the node's process, or (`silent`) the machine's end. Its workers go with it."""
        if self.gone:
            return
        self.gone = True
        self.cluster.trace("node", self._name, "dies")
        self.loop.kill()
        self.cluster.network.gone(self, silent)
        self._end_processes()

    def _end_processes(self) -> None:
        for worker in list(self.workers.values()):
            worker.die(-9)
        for driver in list(self.drivers):
            driver.die("its node is gone")

    def drain(self) -> None:
        """SIGUSR1: let what runs finish, and leave."""
        if not self._draining and self.agent is not None:
            self._drain()

    def stop(self) -> None:
        """It leaves in order."""
        if self.stopping:
            return
        self.stopping = True
        self.cluster.trace("node", self._name, "leaves")
        self._link.send(("leaving",))
        self.loop.create_task(self._leave())

    async def _leave(self) -> None:
        self._link._closed = True
        if self._link._channel is not None:
            self._link._channel.close()
        if self.agent is not None:
            self.agent.neighbours.close()
        self._host.close_agent()
        self.cluster.on_node_left(self)
        self.loop.call_later(0.0, self.die)
