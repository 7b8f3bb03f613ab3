"""What clients of this node have on other nodes: leases of workers there, and channels to actors."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from rustray.node.clients import Client, Clients
from rustray.node.neighbours import Neighbours
from rustray.wire.frames import Message

log = logging.getLogger(__name__)

REVOKED_EARLY = 1_000
"""Leases not known here of which it is remembered that they are asked back: few of them are still on their way."""


class Elsewhere:
    """See the module."""

    def __init__(self, clients: Clients, neighbours: Neighbours) -> None:
        self._clients = clients
        self._neighbours = neighbours
        self._names: dict[int, str] = {}
        self.leases: dict[int, tuple[int, int]] = {}
        """(node, client) of each."""
        self._revoked_early: dict[int, None] = {}
        """Leases that the head has asked back before their node has told us of them, or after they were returned."""

    def tell(self, node: int, client: int, message: Message, fds: Sequence[int]) -> bool:
        """Pass on what a worker of `node` is for: a lease, its end, a channel. False when the client is gone."""
        op, *fields = message
        at = self._clients.connected.get(client)
        if at is None:
            if op == "lease":
                # That node was not among those that were told of its end.
                self._neighbours.send(node, ("guest_gone", client))
            return False
        at.nodes.add(node)
        if op == "lease":
            _key, lease, _worker = fields
            self.leases[lease] = node, client
        elif op == "lease_lost":
            self.leases.pop(fields[0], None)
        elif op == "actor_channel":
            at.awaited.pop(fields[0], None)
        self._clients.send(client, message, fds=fds)
        if op == "lease" and lease in self._revoked_early:
            del self._revoked_early[lease]
            self._clients.send(client, ("revoke", lease))
        return True

    def on_revoke(self, lease: int) -> None:
        """The head asks a lease back that is none of our workers'; its word may have overtaken that of its node."""
        if lease not in self.leases:
            self._revoked_early[lease] = None
            while len(self._revoked_early) > REVOKED_EARLY:
                del self._revoked_early[next(iter(self._revoked_early))]

    def on_return(self, client: int, lease: int) -> None:
        """A client of ours has no use for its lease any more."""
        node, owner = self.leases.get(lease, (0, client))
        if owner != client:
            log.warning("client %x returns the lease %x, which is that of %x", client, lease, owner)
        elif node:
            del self.leases[lease]
            self._neighbours.send(node, ("return_lease", client, lease))

    def on_client_gone(self, client: Client) -> None:
        """What it had is of no use any more."""
        self.leases = {lease: at for lease, at in self.leases.items() if at[1] != client.client}
        for node in client.nodes:
            self._neighbours.send(node, ("guest_gone", client.client))

    # -- the other nodes -------------------------------------------------------------------------------

    def on_node_up(self, node: int, name: str) -> None:
        """The cluster has this node."""
        self._names[node] = name

    def on_node_down(self, node: int) -> None:
        """All that was there is lost."""
        name = self._names.pop(node, "")
        text = f"was lost with its node{f' {name}' if name else ''}"
        for lease, (other, client) in list(self.leases.items()):
            if other == node:
                del self.leases[lease]
                self._clients.send(client, ("lease_lost", lease, "node", text))
        for at in self._clients.connected.values():
            at.nodes.discard(node)
