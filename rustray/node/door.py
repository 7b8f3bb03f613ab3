"""How processes become clients of the node: drivers knock at its socket, workers have one from their birth."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

from rustray.node.clients import Client, Clients
from rustray.node.head_outage import HeadOutage
from rustray.node.peers import Peer
from rustray.node.pool import WorkerProcess
from rustray.node.store import StoreService
from rustray.wire.frames import Connection, Message, peer_is_me
from rustray.wire.versions import mismatch

log = logging.getLogger(__name__)


class Door:
    """See the module.

    Parameters
    ----------
    about: what each client is told of this node: "node" (its name) and "folder".
    serve: has what a client says handled from now on.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        about: dict[str, Any],
        clients: Clients,
        store: StoreService,
        outage: HeadOutage,
        serve: Callable[[Client, Peer], None],
        head: Callable[[Message], None],
    ) -> None:
        self._loop = loop
        self._about = about
        self._clients = clients
        self._store = store
        self._outage = outage
        self._serve = serve
        self._head = head

    def on_knock(self, sock: socket.socket) -> None:
        """A process has connected to the node's socket: it must be this user's, and say hello."""
        if not peer_is_me(sock):
            log.warning("refused a connection to the node socket by another user")
            sock.close()
            return

        def on_messages(messages: list[Message]) -> None:
            if messages[0][0] != "hello":
                log.warning("refused a client whose first message is %r", messages[0][0])
                peer.close()
                return
            # What has no versions in it is of an earlier RustRay.
            versions, kind, info = messages[0][1:] if len(messages[0]) == 4 else (None, "", {})
            if refused := mismatch(versions, "program", pickles=kind != "asker"):
                log.warning("refused a client: %s", refused)
                peer.send(("refused", refused))
                peer.close()
                return
            self.on_hello(peer, kind, info)

        peer = Peer(self._loop, Connection(sock), on_messages, lambda: None)

    def on_hello(self, peer: Peer, kind: str, info: dict[str, Any]) -> None:
        """A driver says what it is, and is welcomed when the head has given it a job; an "asker" does without one."""
        client = Client(self._clients.new_number(), peer, 0, None)
        client.info = info
        client.asks = kind == "asker"
        self._let_in(client, peer)
        if client.asks:
            self.welcome(client.client, 0, {"session": {"namespace": ""}})
        else:
            self._head(("job_start", client.client, info))

    def adopt(self, worker: WorkerProcess, sock: socket.socket, place: dict[str, Any]) -> None:
        """A worker is being forked, and has the other end of `sock`."""
        peer = Peer(self._loop, Connection(sock), lambda _messages: None, lambda: None)
        self._let_in(Client(worker.client, peer, worker.setting.job, worker), peer)
        self.welcome(worker.client, worker.setting.job, place)

    def _let_in(self, client: Client, peer: Peer) -> None:
        self._serve(client, peer)
        self._clients.connected[client.client] = client
        self._store.connect(client.client)
        self._outage.tell(client.client)

    def welcome(self, client: int, job: int, place: dict[str, Any]) -> None:
        """Tell a client what it is part of; `place` is its job's, see `jobs`."""
        self._clients.send(client, ("welcome", client, {"job": job, **self._about, **place["session"]}))
