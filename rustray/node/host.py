"""What a node has around it in its process: the zygote that forks its workers, and the socket for its clients."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

from rustray.node.agent import NodeAgent
from rustray.node.neighbours import Neighbours
from rustray.node.peers import Peer
from rustray.wire.frames import Connection, Message

log = logging.getLogger(__name__)

ACCEPT_PAUSE_S = 0.2
"""Seconds until connections are accepted again after that has failed."""


class NodeHost:
    """The surroundings of one `NodeAgent`, or of several, one after the other.

    Parameters
    ----------
    settings: of the process: "folder", "socket", "resources", "object_store_memory".
    zygote_pid, zygote_socket: the process that forks workers, and the way to it: see `zygote.start`.
    on_zygote_lost: called when it has ended: no more workers can be made.

    Attributes
    ----------
    agent: the present one, None before the first and between two.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settings: dict[str, Any],
        zygote_pid: int,
        zygote_socket: socket.socket,
        on_zygote_lost: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._settings = settings
        self._zygote_pid = zygote_pid
        self._zygote = Peer(loop, Connection(zygote_socket), self._on_zygote, on_zygote_lost)
        self._listener: socket.socket | None = None
        self._refuses = False
        self._resumption: asyncio.TimerHandle | None = None
        self.agent: NodeAgent | None = None

    def make_agent(
        self,
        name: str,
        number: int,
        neighbours: Neighbours,
        head: Callable[[Message], None],
        on_driver_gone: Callable[[], None] = lambda: None,
    ) -> NodeAgent:
        """The node under this number; workers of an earlier one are ended already. See `NodeAgent`."""
        self.agent = NodeAgent(
            self._loop,
            name,
            number,
            self._settings["resources"],
            self._settings["folder"],
            self._fork,
            self._settings["object_store_memory"],
            neighbours,
            head,
            on_driver_gone,
        )
        return self.agent

    def listen(self) -> None:
        """Serve drivers from now on."""
        self._listener = listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(self._settings["socket"])
        os.chmod(self._settings["socket"], 0o600)
        listener.listen(128)
        listener.setblocking(False)
        self._loop.add_reader(listener.fileno(), self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, _address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # it has gone again
        except OSError as error:
            # No descriptor is free, most likely. It still waits, so the loop would call at once, again and again.
            if not self._refuses:
                log.error("drivers cannot connect to this node for the moment: %s", error)
            self._refuses = True
            self._loop.remove_reader(listener.fileno())
            self._resumption = self._loop.call_later(ACCEPT_PAUSE_S, self._accept_again, listener)
            return
        if self._refuses:
            self._refuses = False
            log.info("drivers can connect to this node again")
        if self.agent is not None:
            self.agent.door.on_knock(sock)
        else:
            sock.close()  # the node is about to join anew

    def _accept_again(self, listener: socket.socket) -> None:
        self._loop.add_reader(listener.fileno(), self._accept, listener)

    def _fork(self, worker: int, place: dict[str, Any], fd: int) -> None:
        self._zygote.send(("fork", worker, place), fds=[fd])

    def _on_zygote(self, messages: list[Message]) -> None:
        for op, worker, pid, *fields in messages:
            try:
                if self.agent is None:
                    continue
                if op == "forked":
                    self.agent.pool.on_forked(worker, pid)
                else:
                    self.agent.departures.on_exited(worker, pid, *fields)
            finally:
                if op == "exited":  # nobody signals it any more
                    self._zygote.send(("reap", pid))

    def close_agent(self) -> None:
        """End the present node: its workers are killed, its clients' connections closed."""
        agent, self.agent = self.agent, None
        if agent is not None:
            agent.close()

    def close(self) -> None:
        """Serve nobody any more, end all workers, and wait until they are gone."""
        if self._resumption is not None:
            self._resumption.cancel()
        if self._listener is not None:
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()
        try:
            self.close_agent()
        except Exception:
            log.exception("the node did not close in order")  # the zygote must end nevertheless
        self._zygote.close()
        try:
            os.waitpid(self._zygote_pid, 0)
        except ChildProcessError:
            pass  # it was reaped already
