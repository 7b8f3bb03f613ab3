"""That no head answers: what the node tells its clients of it, those that come meanwhile too."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from rustray.node.clients import Clients


class HeadOutage:
    """See the module."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clients: Clients) -> None:
        self._loop = loop
        self._clients = clients
        self._now: tuple[float, str, Sequence[str]] | None = None
        """Since when there is no head, why, and which were tried."""

    @property
    def lasts(self) -> bool:
        """Whether no head answers now."""
        return self._now is not None

    def on_lost(self, reason: str, heads: Sequence[str]) -> None:
        """No head answers, for this reason: for the first time, or still."""
        since = self._loop.time()
        if self._now is not None:
            since, told, _heads = self._now
            if reason == told:
                return
        self._now = since, reason, heads
        for client in self._clients.connected:
            self.tell(client)

    def on_found(self) -> None:
        """A head answers, for the first time or again."""
        if self._now is not None:
            self._now = None
            for client in self._clients.connected:
                self._clients.send(client, ("head_found",))

    def tell(self, client: int) -> None:
        """Tell one client, if there is something to tell."""
        if self._now is not None:
            since, reason, heads = self._now
            self._clients.send(client, ("head_lost", self._loop.time() - since, reason, list(heads)))
