"""What clients say to their node: each message is handled by its op, and who asks what cannot be done is told."""

from __future__ import annotations

import logging
from collections.abc import Callable

from rustray.error_packing import pack_system_error
from rustray.errors import SessionError
from rustray.node.clients import Client
from rustray.node.peers import Peer
from rustray.wire.frames import Message

log = logging.getLogger(__name__)


def refusal(text: str) -> bytes:
    """The error in place of the answer that somebody waits for."""
    return pack_system_error(SessionError(f"The node cannot handle this request: {text}."))


class ClientMessages:
    """See the module.

    Attributes
    ----------
    handlers: by op, called with (client, *fields).
    refusals: by op, called with (client, text, *fields) when the handler has failed: whoever asked is told why.
    on_closed: called with a client that has gone, or whose message could be neither handled nor refused.
    """

    def __init__(self) -> None:
        self.handlers: dict[str, Callable[..., None]] = {}
        self.refusals: dict[str, Callable[..., None]] = {}
        self.on_closed: Callable[[Client], None] = lambda _client: None

    def serve(self, client: Client, peer: Peer) -> None:
        """Handle what comes from this client from now on."""
        peer.on_messages = lambda messages: self._on_messages(client, peer, messages)
        peer.on_closed = lambda: self.on_closed(client)

    def handle(self, client: int, message: Message) -> None:
        """Do what one message asks, or refuse it; raises where that cannot be said to whoever asked."""
        op, *fields = message
        try:
            self.handlers[op](client, *fields)
        except Exception as error:
            refuse = self.refusals.get(op)
            if refuse is None:
                raise
            log.error("the request %r of client %s is refused", op, client, exc_info=error)
            refuse(client, f"{type(error).__name__}: {error}", *fields)

    def _on_messages(self, client: Client, peer: Peer, messages: list[Message]) -> None:
        try:
            for message in messages:
                self.handle(client.client, message)
        except Exception as error:
            # It asked what it may not, or we have a defect. It must learn of it rather than wait for ever.
            log.exception("client %s is disconnected: its message could not be handled", client.client)
            peer.send(("ended", f"{type(error).__name__}: {error}"))
            peer.close()
            self.on_closed(client)
