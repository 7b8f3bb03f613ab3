"""The clients of a node: drivers and workers that are connected to it.

A client's number says its node: who is not ours is reached through its own node, by the same `send`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rustray.model.ids import NODE_SHIFT, node_of
from rustray.node.neighbours import Neighbours
from rustray.node.peers import Peer
from rustray.node.pool import WorkerProcess
from rustray.wire.frames import Message


class Client:
    """A process connected to the node.

    `worker` is its process if it is one of our workers. Else it is a driver, and `info` what it said of itself; or,
    where `asks` is set, one that has no job and only asks.
    """

    __slots__ = ("asks", "awaited", "client", "demands", "info", "job", "leases", "nodes", "peer", "worker")

    def __init__(self, client: int, peer: Peer | None, job: int, worker: WorkerProcess | None) -> None:
        self.client = client
        self.peer = peer
        self.job = job
        self.worker = worker
        self.leases: set[int] = set()
        self.demands: dict[bytes, int] = {}
        self.nodes: set[int] = set()
        """Other nodes that have workers which serve it."""
        self.awaited: dict[bytes, int] = {}
        """Actors to which it waits for a channel, and the worker of each that it had lost."""
        self.info: dict[str, Any] = {}
        self.asks = False


class Clients:
    """See the module.

    Parameters
    ----------
    node: this node's number, which is part of those of its clients.
    """

    def __init__(self, node: int, neighbours: Neighbours) -> None:
        self.node = node
        self._neighbours = neighbours
        self._last = node << NODE_SHIFT
        self.connected: dict[int, Client] = {}

    def new_number(self) -> int:
        """A client number never used before."""
        self._last += 1
        return self._last

    def drivers(self) -> list[Client]:
        """Those that are no workers of ours."""
        return [client for client in self.connected.values() if client.worker is None]

    def is_ours(self, client: int) -> bool:
        """Whether it is, or was, connected to this node."""
        return node_of(client) == self.node

    def is_gone(self, client: int) -> bool:
        """Whether it has ended, as far as we know."""
        if self.is_ours(client):
            return client not in self.connected
        return self._neighbours.is_down(node_of(client))

    def send(self, client: int, *messages: Message, fds: Sequence[int] = ()) -> None:
        """Send to a client; one that is gone needs nothing any more."""
        at = self.connected.get(client)
        if at is not None:
            if at.peer is not None:
                at.peer.send(*messages, fds=fds)
        elif client and not self.is_ours(client):
            assert not fds, "descriptors do not leave the machine"
            self._neighbours.send(node_of(client), *[("to_client", client, message) for message in messages])

    def on_told(self, client: int, message: Message) -> None:
        """Another node has this for one of ours."""
        if self.is_ours(client):
            self.send(client, message)

    def hear(self, client: int) -> None:
        """Handle all that a client has written so far."""
        at = self.connected.get(client)
        if at is not None and at.peer is not None:
            at.peer.drain()
