"""The embedded server: head and node of a cluster on one machine, in one event loop, for one driver.

Started by `driver.launch`. Order matters: the zygote is forked before anything else, while this process has one
thread; drivers are served before grpc, which takes long to import.
"""

from __future__ import annotations

import importlib
import logging
import os
import socket
import time
from typing import TYPE_CHECKING, Any

from rustray.daemon import Daemon, read_settings
from rustray.node import zygote

if TYPE_CHECKING:
    import asyncio

    from rustray.wire.channels import Channel

TICK_S = 0.1
ONLY_NODE = 1
"""The number of the node of a cluster that has no other."""
SERVICES_AFTER_S = 1.0
"""What the driver rarely asks for is started when the first tasks have run."""
LONELY_S = 30.0
"""A server that no driver connects to ends after this long."""


def main() -> None:
    """Run a server. Standard input: see `driver.launch.ServerSettings`."""
    settings = read_settings()
    Server(settings, *zygote.start()).run()


class Server(Daemon):
    """Head and node, joined by a link of plain function calls.

    Parameters
    ----------
    zygote_pid, zygote_socket: see `zygote.start`.
    """

    def __init__(self, settings: dict[str, Any], zygote_pid: int, zygote_socket: socket.socket) -> None:
        super().__init__(settings, "server")
        from rustray.head.log import LocalLog
        from rustray.head.prediction_file import PredictionFile
        from rustray.head.reactor import Head
        from rustray.node.host import NodeHost
        from rustray.node.neighbours import Neighbours
        from rustray.node.solitude import Solitude

        self._host = NodeHost(self.loop, settings, zygote_pid, zygote_socket, self._on_zygote_lost)
        self.head = Head(time.monotonic, time.time, LocalLog())
        self.head.scheduling.wake_at = self._wake_at
        self._predictions = PredictionFile(self.loop, self.head.forecasts)
        self._wake: asyncio.TimerHandle | None = None
        self._solitude = Solitude(settings["linger_s"])
        name = f"node-{os.urandom(4).hex()}"
        self.node = self._host.make_agent(
            name,
            ONLY_NODE,
            Neighbours(self.loop, ONLY_NODE, None),
            lambda message: self.head.from_node(name, message),
            self._on_driver_gone,
        )
        self._grpc: Any = None
        self._serving: asyncio.Task[None] | None = None
        info = {
            "hostname": socket.gethostname(),
            "pid": os.getpid(),
            "alive": True,
            "socket": settings["socket"],
        }
        self.head.members.on_node_up(
            name, settings["resources"], settings["labels"], info, self.node.from_head
        )

    async def begin(self) -> None:
        """Serve the driver; the rest comes later."""
        self._host.listen()
        self.loop.call_later(TICK_S, self._tick)
        self.loop.call_later(LONELY_S, self._stop_if_lonely)
        self.loop.call_later(SERVICES_AFTER_S, self._start_services)
        self.tell_ready()
        self._predictions.start()

    def _start_services(self) -> None:
        from rustray.node.monitor import Monitor

        Monitor(self.node).start(self.loop)
        self._serving = self.loop.create_task(self._serve_grpc_or_log())

    async def _serve_grpc_or_log(self) -> None:
        try:
            await self._serve_grpc()
        except Exception:
            # The driver, who started this cluster for himself, can do without.
            logging.exception("the gRPC service is not available")

    async def _serve_grpc(self) -> None:
        # The import takes a tenth of a second and more: drivers and workers are served meanwhile.
        module = await self.loop.run_in_executor(None, importlib.import_module, "rustray.head.grpc_server")
        from rustray.wire.security import Security

        token, path = self.settings["token"], self.settings["socket"]
        server = module.GrpcServer(path, Security(token), _refuse_channel)
        address = await server.start("127.0.0.1", self.settings["grpc_port"])
        self._grpc = server
        self.tell_registry(address=address)

    def _wake_at(self, time: float) -> None:
        """The scheduler has something to do before the next tick."""
        if self._wake is not None:
            if self._wake.when() <= time:
                return
            self._wake.cancel()
        self._wake = self.loop.call_at(time, self._on_wake)

    def _on_wake(self) -> None:
        self._wake = None
        self.head.tick()

    def _tick(self) -> None:
        if not self.stopping:
            self.loop.call_later(TICK_S, self._tick)  # first: an error must not be the last tick
            self.head.tick()
            self.node.tick()
            if self._solitude.since is not None:
                self._look_if_alone()

    def _is_driven(self) -> bool:
        # The sessions of gRPC clients end with an embedded cluster, and do not keep it; nor do those who only ask.
        return not all(driver.asks or driver.info.get("gateway") for driver in self.node.clients.drivers())

    def is_missed(self) -> bool:
        """Whether a driver is connected."""
        return self._is_driven()

    def _stop_if_lonely(self) -> None:
        if not self._is_driven() and self._solitude.since is None:
            self.stop()

    def _on_driver_gone(self) -> None:
        if not self._is_driven() and self._solitude.since is None:
            self._solitude.on_left(self.loop.time())
            self._look_if_alone()
            if not self.stopping:
                self.tell_registry(alone=True)

    def _look_if_alone(self) -> None:
        driven, jobs = self._is_driven(), self.node.jobs
        busy = any(worker.leases and worker.actor is None for worker in self.node.pool.workers.values())
        if self._solitude.is_over(self.loop.time(), driven, jobs.keep_detached, busy):
            self.stop()
        elif driven:
            self.tell_registry(alone=False)

    def _on_zygote_lost(self) -> None:
        if not self.stopping:
            logging.error("the zygote has ended: no more workers can be made; stopping")
            self.failed = True
            self.stop()

    async def end(self) -> None:
        """End the service, the workers, and the zygote."""
        if self._serving is not None:
            self._serving.cancel()
        if self._grpc is not None:
            try:
                await self._grpc.stop()
            except Exception:
                logging.exception("the gRPC service did not stop")  # the workers must end nevertheless
        self._host.close()
        self._predictions.stop()


def _refuse_channel(channel: Channel, _hello: object) -> None:
    channel.close("this is the cluster of one driver, which no other node can join")


if __name__ == "__main__":
    main()
