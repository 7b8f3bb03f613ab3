"""The process of one node: its agent, the link to the leading head, the channels of other nodes, and the gRPC service.

Started by `driver.launch`. Order matters: the zygote is forked before anything else, while this process has one
thread.

A node whose cluster has taken it for dead ends its workers and joins again as a new one, with a new agent.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from rustray.daemon import Daemon, read_settings
from rustray.errors import AuthenticationError, ClusterStartError, RustRayError, VersionMismatchError
from rustray.node import zygote
from rustray.wire.versions import HERE

if TYPE_CHECKING:
    from rustray.head.grpc_server import GrpcServer
    from rustray.node.agent import NodeAgent
    from rustray.node.head_link import HeadLink
    from rustray.node.monitor import Monitor
    from rustray.wire.channels import Channel
    from rustray.wire.frames import Message
    from rustray.wire.security import Security

log = logging.getLogger(__name__)

TICK_S = 0.1
DIAL_S = 3.0
TELL_TICKS = 20
"""Ticks after which clients are told anew why no head answers."""
LONELY_S = 30.0
"""A gateway that no driver connects to ends after this long."""
DRAIN_S = 60.0
"""Seconds for which a node that is to leave waits for the tasks on it, and for what they have made to be elsewhere."""
EVACUATE_TICKS = 10
"""Ticks after which it asks again those who are to take what it keeps."""
_REFUSALS = {"token": AuthenticationError, "version": VersionMismatchError}


def main() -> None:
    """Run a node. Standard input: see `driver.launch.NodeSettings`."""
    settings = read_settings()
    NodeProcess(settings, *zygote.start()).run()


class NodeProcess(Daemon):
    """See the module.

    SIGTERM ends the node: what runs on it is lost for it, and known to be. SIGUSR1 lets it finish its tasks first.
    """

    def __init__(self, settings: dict[str, Any], zygote_pid: int, zygote_socket: socket.socket) -> None:
        super().__init__(settings, "node")
        from rustray.node.host import NodeHost

        self._name = f"node-{os.urandom(4).hex()}"
        self._gateway: bool = settings["gateway"]
        self._address = ""
        self._draining = False
        self._told_lost = False
        self._ticks = 0
        self._host = NodeHost(self.loop, settings, zygote_pid, zygote_socket, self._on_zygote_lost)
        self._monitor: Monitor | None = None
        self._security: Security
        self._grpc: GrpcServer | None = None
        self._link: HeadLink | None = None
        self._first_join: asyncio.Future[None] = self.loop.create_future()

    async def begin(self) -> None:
        """Serve, join, and let drivers in."""
        from rustray.head.grpc_server import GrpcServer
        from rustray.node.head_link import HeadLink
        from rustray.wire.security import Security, check_bind, host_towards, outer_host, reachable_address

        settings = self.settings
        self._security = Security.load(settings["token"], settings["tls_folder"])
        may_listen = self._security.tls or settings["insecure"]
        host = settings["host"] or (outer_host if may_listen else host_towards)(settings["heads"][0])
        check_bind(host, self._security, settings["insecure"])
        self._grpc = GrpcServer(settings["socket"], self._security, self._on_channel)
        bound = await self._grpc.start(host, settings["port"])
        self._address = reachable_address(bound, settings["heads"][0])
        self._link = HeadLink(self.loop, self, settings["heads"], self._security)
        self._link.start()
        try:
            await asyncio.wait_for(asyncio.shield(self._first_join), settings["join_timeout"])
        except TimeoutError:
            raise ClusterStartError(
                f"No head took this node within {settings['join_timeout']:g} s. Tried: {', '.join(settings['heads'])}. "
                f"The last one: {self._link.session.trouble}"
            ) from None
        self._host.listen()
        self.loop.call_later(TICK_S, self._tick)
        self.loop.add_signal_handler(signal.SIGUSR1, self._drain)
        if self._gateway:
            self.loop.call_later(LONELY_S, self._stop_if_lonely)
        self.tell_ready()

    # -- the head: see `head_link.LinkedNode` -------------------------------------------------------------

    def join_message(self, number: int, epoch: int) -> Message:
        """The ("join", ...) with all that is true on the node now."""
        info = {
            "name": self._name,
            "number": number,
            "epoch": epoch,
            "resources": self.settings["resources"],
            "labels": self.settings["labels"],
            "address": self._address,
            "hostname": socket.gethostname(),
            "pid": os.getpid(),
            "alive": True,
            "gateway": self._gateway,
        }
        return ("join", HERE, info, self._report())

    def _report(self) -> dict[str, Any]:
        """What is true on the node; and of which actors' ends the head is yet to be told."""
        if self._host.agent is None or self._link is None:
            return {}
        exits = self._link.session.unacknowledged_of("actor_exited")
        return {
            **self._host.agent.report(),
            "exits": [(actor, incarnation) for _op, actor, _worker, _kind, _text, incarnation in exits],
        }

    def load(self) -> dict[str, Any]:
        """What the head is told with each beat; the monitor's samples tell the rest."""
        return {}

    def on_joined(
        self, number: int, epoch: int, nodes: Sequence[tuple[int, str, str]], heads: Sequence[str]
    ) -> None:
        """The node is part of the cluster: for the first time, again, or under a new number."""
        assert self._link is not None
        agent = self._host.agent
        if agent is None:
            agent = self._make_agent(number, self._link, [other for other, _name, _address in nodes])
        neighbours = agent.neighbours
        neighbours.follow(epoch)
        neighbours.keep_only(other for other, _name, _address in nodes)
        for other, name, address in nodes:
            agent.on_node_up(other, name, address)
        if self._gateway or self._draining:
            self._link.send(("draining",))  # nothing of others is to run here
        agent.outage.on_found()
        agent.actors.ask_again()
        self.tell_registry(
            address=self._address, name=self._name, number=number, heads=list(heads), joined=True
        )
        self._told_lost = False
        if not self._first_join.done():
            self._first_join.set_result(None)

    def _make_agent(self, number: int, link: HeadLink, nodes: Sequence[int]) -> NodeAgent:
        from rustray.node.monitor import Monitor
        from rustray.node.neighbours import Neighbours
        from rustray.wire.channels import dial

        def open_channel(address: str, hello: Message) -> Coroutine[Any, Any, Channel]:
            return dial(address, hello, self._security, DIAL_S)

        def open_bulk_channel(node: int, hello: Message) -> Coroutine[Any, Any, Channel]:
            return dial(neighbours.address_of(node), hello, self._security, DIAL_S, bulk=True)

        neighbours = Neighbours(self.loop, number, open_channel, link.hear_epoch)
        on_driver_gone = self._stop_if_lonely if self._gateway else lambda: None
        agent = self._host.make_agent(self._name, number, neighbours, link.send, on_driver_gone)
        agent.store.join(number, neighbours, nodes, open_bulk_channel)
        agent.draining = self._gateway or self._draining
        self._monitor = Monitor(agent)
        self._monitor.start(self.loop)
        return agent

    def from_head(self, message: Message) -> None:
        """The head says this."""
        if self._host.agent is not None:
            self._host.agent.from_head(message)

    def on_head_lost(self, reason: str) -> None:
        """What runs goes on; what needs the head waits, and is told."""
        assert self._link is not None
        if not self._told_lost:
            self._told_lost = True
            self.tell_registry(joined=False)
        if self._host.agent is not None:
            self._host.agent.outage.on_lost(reason, self._link.session.addresses)

    def on_removed(self) -> None:
        """Others have been told that this node is dead: nothing that it did may be believed."""
        if self._monitor is not None:
            self._monitor.stop()
        if self._host.agent is not None:
            self._host.agent.neighbours.close()
        self._host.close_agent()

    def on_refused(self, reason: str, differs: str) -> None:
        """The cluster does not take this node."""
        error = _REFUSALS.get(differs, ClusterStartError)(reason)
        if not self._first_join.done():
            self._first_join.set_exception(error)
        else:
            self.failed = True
            self.stop()

    # -- other nodes -----------------------------------------------------------------------------------

    def _on_channel(self, channel: Channel, hello: Message) -> None:
        agent = self._host.agent
        if agent is None:
            channel.close("this node has not joined its cluster yet")
        elif hello[0] == "neighbour":
            agent.neighbours.on_channel(channel, hello)
        elif hello[0] == "pull":
            agent.store.serve(channel, hello)
        else:
            channel.close(f"a node has no use for a channel that begins with {hello[0]!r}")

    # -- life ------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        if self.stopping:
            return
        self.loop.call_later(TICK_S, self._tick)  # first: an error must not be the last tick
        agent = self._host.agent
        if agent is not None:
            agent.tick()
            self._ticks += 1
            if self._ticks % TELL_TICKS == 0 and self._link is not None and self._link.session.trouble:
                # The reason changes from try to try: at the loss it was only that the link had ended.
                self.on_head_lost(self._link.session.trouble)

    def is_missed(self) -> bool:
        """Whether this is a gateway whose driver is connected."""
        agent = self._host.agent
        return self._gateway and agent is not None and bool(agent.clients.drivers())

    def _stop_if_lonely(self) -> None:
        agent = self._host.agent
        if agent is None or not agent.clients.drivers():
            self.stop()

    def _on_zygote_lost(self) -> None:
        if not self.stopping:
            log.error("the zygote has ended: no more workers can be made; stopping")
            self.failed = True
            self.stop()

    def _drain(self) -> None:
        if not self._draining and self._link is not None:
            self._draining = True
            if self._host.agent is not None:
                self._host.agent.draining = True
            self._link.send(("draining",))
            self._drained = self.loop.create_task(self._stop_when_drained())

    async def _stop_when_drained(self) -> None:
        deadline = self.loop.time() + DRAIN_S
        left: set[bytes] = set()
        awaited: set[bytes] | None = None
        ticks = 0
        while self.loop.time() < deadline:
            await asyncio.sleep(TICK_S)
            agent = self._host.agent
            if agent is None:
                break
            left = agent.store.evacuate(again=ticks % EVACUATE_TICKS == 0)
            ticks += 1
            if all(not lease.client for lease in agent.leases.here.values()):
                # Actors, which the head itself has leased, may never end: what they make from now on is not awaited.
                awaited = left if awaited is None else awaited & left
                if not awaited:
                    break
        else:
            log.warning(
                "leaves after %g s with tasks that still run, or %d values that nobody took",
                DRAIN_S,
                len(left),
            )
        self.stop()

    async def end(self) -> None:
        """Tell the head, end the workers, let all connections go."""
        if self._link is not None:
            if self._host.agent is not None and (told := self._host.agent.figures.take()) is not None:
                self._link.send(told)
            self._link.send(("leaving",))
            await self._link.close()
        try:
            if self._grpc is not None:
                await self._grpc.stop()
        except (RustRayError, TimeoutError, OSError):
            log.exception("the gRPC service did not stop")  # the workers must end nevertheless
        if self._host.agent is not None:
            self._host.agent.neighbours.close()
        self._host.close()


if __name__ == "__main__":
    main()
