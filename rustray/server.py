"""The server process: head and node of a cluster on one machine, in one event loop.

Started by `driver.launch` with its settings on standard input. Order matters: the zygote is forked before anything
else, while this process has one thread; drivers are served before grpc, which takes long to import.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import signal
import socket
import sys
import time
from typing import Any

from rustray import serialization
from rustray.driver.launch import remove_folder, update_connection_file
from rustray.node import zygote
from rustray.wire.frames import Connection

TICK_S = 0.1
ONLY_NODE = 1
"""The number of the node of a cluster that has no other."""
SERVICES_AFTER_S = 1.0
"""An embedded server starts what its driver rarely asks for when the first tasks have run."""
LONELY_S = 30.0
"""An embedded server that no driver connects to ends after this long."""


def main() -> None:
    """Run a server. Standard input: one line of JSON, see `driver.launch.ServerSettings`."""
    settings = json.loads(sys.stdin.buffer.readline())
    serialization.preload()
    import rustray.worker.process  # noqa: F401  what every worker needs, imported once and shared by fork

    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        zygote.run(theirs)
    theirs.close()
    Server(settings, pid, ours).run()


class Server:
    """Head and node, joined by a link of plain function calls.

    Parameters
    ----------
    zygote_pid, zygote_socket: the process that forks workers, and the way to it.
    """

    def __init__(self, settings: dict[str, Any], zygote_pid: int, zygote_socket: socket.socket) -> None:
        import asyncio

        from rustray.head.log import LocalLog
        from rustray.head.reactor import Head
        from rustray.node.agent import NodeAgent
        from rustray.node.neighbours import Neighbours
        from rustray.node.peers import Peer

        self.settings = settings
        self.folder: str = settings["folder"]
        logging.basicConfig(
            filename=os.path.join(self.folder, "logs", "server.log"),
            level=logging.INFO,
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        )
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self._zygote_pid = zygote_pid
        self._zygote = Peer(self.loop, Connection(zygote_socket), self._on_zygote, self._on_zygote_closed)
        self.head = Head(time.monotonic, time.time, LocalLog())
        self.head.wake_at = self._wake_at
        self._wake: asyncio.TimerHandle | None = None
        name = f"node-{os.urandom(4).hex()}"
        self.node = NodeAgent(
            self.loop,
            name,
            ONLY_NODE,
            settings["resources"],
            self.folder,
            self._fork,
            settings["object_store_memory"],
            Neighbours(self.loop, ONLY_NODE, None),
        )
        self.node.head = lambda message: self.head.from_node(name, message)
        self.node.on_last_driver_gone = self._on_driver_gone
        self._drivers_seen = False
        self._stopping = False
        self._ready = False
        self._grpc: Any = None
        self._serving: Any = None
        info = {
            "hostname": socket.gethostname(),
            "pid": os.getpid(),
            "alive": True,
            "socket": settings["socket"],
        }
        self.head.on_node_up(
            name, settings["resources"], settings.get("labels", {}), info, self.node.from_head
        )

    # -- the zygote ------------------------------------------------------------------------------------

    def _fork(self, worker: int, place: dict[str, Any], fd: int) -> None:
        self._zygote.send(("fork", worker, place), fds=[fd])

    def _on_zygote(self, messages: list[tuple[Any, ...]]) -> None:
        for op, *fields in messages:
            if op == "forked":
                self.node.on_forked(*fields)
            else:
                self.node.on_exited(*fields)

    def _on_zygote_closed(self) -> None:
        if not self._stopping:
            logging.error("the zygote has ended: no more workers can be made; stopping")
            self.stop()

    # -- life ------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until told to stop, or, if embedded, until the last driver has gone."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(self.settings["socket"])
        os.chmod(self.settings["socket"], 0o600)
        listener.listen(128)
        listener.setblocking(False)
        self.loop.add_reader(listener.fileno(), self.node.accept, listener)
        for number in (signal.SIGTERM, signal.SIGINT):
            self.loop.add_signal_handler(number, self.stop)
        self.loop.call_later(TICK_S, self._tick)
        if self.settings["embedded"]:
            self.loop.call_later(LONELY_S, self._stop_if_lonely)
        embedded = self.settings["embedded"]
        self.loop.call_later(SERVICES_AFTER_S if embedded else 0.0, self._start_services)
        try:
            if embedded:
                self._tell_ready()
            else:
                # Who starts a lasting cluster wants its address.
                self.loop.run_until_complete(self._serve_grpc())
                self._tell_ready()
            self.loop.run_forever()
        finally:
            listener.close()
            self._close()

    def _tell_ready(self) -> None:
        self._ready = True
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.close(null)

    def _start_services(self) -> None:
        from rustray.node.monitor import Monitor

        Monitor(self.node).start(self.loop)
        if self.settings["embedded"]:
            self._serving = self.loop.create_task(self._serve_grpc_or_log())

    async def _serve_grpc(self) -> None:
        # The import takes a tenth of a second and more: drivers and workers are served meanwhile.
        module = await self.loop.run_in_executor(None, importlib.import_module, "rustray.head.grpc_server")
        server = module.GrpcServer(self.settings["socket"], self.settings["token"])
        address = await server.start(self.settings["grpc_port"])
        self._grpc = server
        update_connection_file(self.folder, address=address)

    async def _serve_grpc_or_log(self) -> None:
        try:
            await self._serve_grpc()
        except Exception:
            # The driver, who started this cluster for himself, can do without.
            logging.exception("the gRPC service is not available")

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
        self.head.tick()
        self.node.tick()
        self.loop.call_later(TICK_S, self._tick)

    def _on_driver_gone(self, _client: int) -> None:
        self._drivers_seen = True
        if self.settings["embedded"]:
            self._stop_if_lonely()

    def _stop_if_lonely(self) -> None:
        # The sessions of gRPC clients end with an embedded cluster, and do not keep it.
        if not any(c.worker is None and not c.info.get("gateway") for c in self.node.clients.values()):
            self.stop()

    def stop(self) -> None:
        """Leave the event loop."""
        if not self._stopping:
            self._stopping = True
            self.loop.stop()

    def _close(self) -> None:
        if self._serving is not None:
            self._serving.cancel()
        if self._grpc is not None:
            try:
                self.loop.run_until_complete(self._grpc.stop())
            except Exception:
                logging.exception("the gRPC service did not stop")  # the workers must end nevertheless
        self.node.close()
        self._zygote.close()
        try:
            os.waitpid(self._zygote_pid, 0)
        except ChildProcessError:
            pass  # it was reaped already
        if self._ready:  # else its starter reads the log first
            remove_folder(self.folder)


if __name__ == "__main__":
    main()
