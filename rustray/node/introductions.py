"""How a client and a worker get to know each other: two ends of a socket, and a page of memory that both have."""

from __future__ import annotations

import os
import socket

from rustray.model.ids import node_of
from rustray.node.clients import Clients
from rustray.node.pool import WorkerProcess
from rustray.node.relays import Relays
from rustray.wire.frames import Message
from rustray.wire.page import new_page


class Introductions:
    """See the module. To a client of another node the worker is joined by a relay."""

    def __init__(self, clients: Clients, relays: Relays) -> None:
        self._clients = clients
        self._relays = relays

    def introduce(
        self,
        worker: WorkerProcess,
        client: int,
        number: int,
        message: Message,
        resources: dict[str, float],
        group: tuple[bytes, bool] | None = None,
    ) -> None:
        """Have `worker` serve `client`, which gets its end with `message`.

        Parameters
        ----------
        number: of the lease, or of the channel to an actor.
        resources, group: what each task that comes by it has; what an actor has it was told at its start.
        """
        serve = ("serve", number, client, resources, group)
        if not self._clients.is_ours(client):
            relay, sock, page = self._relays.lend(node_of(client), client, message, worker.client)
            # A caller of an actor leaves without a word but the end of its relay.
            worker.relays = {n: other for n, other in worker.relays.items() if self._relays.is_open(other)}
            worker.relays[number] = relay
            self._clients.send(worker.client, serve, fds=[sock, page])
            os.close(sock)
            os.close(page)
            return
        ours, theirs = socket.socketpair()
        page = new_page()
        self._clients.send(worker.client, serve, fds=[theirs.fileno(), page])
        self._clients.send(client, message, fds=[ours.fileno(), page])
        os.close(page)
        ours.close()
        theirs.close()
