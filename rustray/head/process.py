"""The process of one head: its part of the replicated log and, while it leads, the `Head` and the links of nodes.

Started by `driver.launch`. A head that leads takes office by a command, which gives it an epoch; only then does it know
what it leads, and answers nodes. Others tell nodes who leads.
"""

from __future__ import annotations

import logging
import shutil
import time
from typing import TYPE_CHECKING, Any

from rustray.cluster import commands
from rustray.cluster.state import ClusterState
from rustray.daemon import Daemon, read_settings
from rustray.driver.registry import head_storage, update_connection_file
from rustray.errors import ClusterStartError, OptionError
from rustray.head.addresses import grpc_address, raft_address
from rustray.head.history import HAND_EVERY_S, History
from rustray.wire.security import (
    Security,
    check_bind,
    is_own_host,
    join_address,
    reachable_address,
    split_address,
)

if TYPE_CHECKING:
    import asyncio

    from rustray.head.links import Links
    from rustray.head.prediction_file import PredictionFile
    from rustray.head.raft import Replica
    from rustray.wire.channels import Channel, ChannelServer
    from rustray.wire.frames import Message

log = logging.getLogger(__name__)

WAITING_S = 0.5
"""How often a head that does not vote looks whether it does."""

OFFICE_AGAIN_S = 0.5
"""Seconds after which a head that was elected, and could not commit that, tries again: its disk may have room then."""


def main() -> None:
    """Run a head. Standard input: see `driver.launch.HeadSettings`."""
    HeadProcess(read_settings()).run()


class HeadProcess(Daemon):
    """See the module."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings, "head")
        self._address = ""
        self._heads: list[str] = []
        self._storage = ""
        self._channels: ChannelServer | None = None
        self._replica: Replica | None = None
        self._links: Links | None = None
        self._elections = 0
        self._predictions: PredictionFile | None = None
        self._history = History()
        self._handing: asyncio.TimerHandle | None = None

    async def begin(self) -> None:
        """Listen, and take part in the log."""
        from rustray.head.raft import Replica
        from rustray.wire.channels import ChannelServer

        settings = self.settings
        security = Security.load(settings["token"], settings["tls_folder"])
        check_bind(settings["host"], security, settings["insecure"])
        self._channels = ChannelServer(security, self._on_channel)
        bound = await self._channels.start(settings["host"], settings["port"])
        self._heads = settings["heads"] or [reachable_address(bound)]
        self._address = _own_address(bound, self._heads)
        self._storage = settings["storage"] or head_storage(self._address)
        others = [raft_address(head) for head in self._heads if head != self._address]
        host, _port = split_address(bound)
        _host, port = split_address(raft_address(self._address))
        self._replica = Replica(
            raft_address(self._address),
            others,
            self._storage,
            security.token,
            ClusterState(),
            self.loop,
            self._on_leader,
            self._on_follower,
            bind=join_address(host, port),
            on_word=self._history.take,
            on_failed=self._on_failed,
        )
        try:
            update_connection_file(
                self.folder,
                address=self._address,
                heads=self._heads,
                storage=self._storage,
                leads=False,
                waits=self._replica.waiting,
            )
        except OSError as error:  # its starter would not learn the address
            raise ClusterStartError(f"{self.folder} cannot be written: {error}") from error
        self._tell_waiting(self._replica.waiting)
        self.tell_ready()

    def _tell_waiting(self, told: str) -> None:
        """Say why this head does not vote, as long as it does not."""
        if self._replica is None or self.stopping:
            return
        waiting = self._replica.waiting
        if waiting != told:
            log.info("%s", waiting or "votes")
            self.tell_registry(waits=waiting)
        if waiting:
            self.loop.call_later(WAITING_S, self._tell_waiting, waiting)

    # -- leading ---------------------------------------------------------------------------------------

    def _on_leader(self) -> None:
        self._elections += 1
        self._take_office(self._elections)

    def _take_office(self, election: int) -> None:
        if self._replica is not None and self._replica.is_leader and election == self._elections:
            command = commands.take_office(self._address, time.time())
            self._replica.submit(
                command.op, command.payload, lambda result: self._on_office(election, result)
            )

    def _on_office(self, election: int, result: dict[str, Any]) -> None:
        from rustray.head.links import Links
        from rustray.head.prediction_file import PredictionFile
        from rustray.head.reactor import Head

        if self._replica is None or not self._replica.is_leader or election != self._elections:
            return
        if "epoch" not in result:
            log.warning("could not take office: %s", result)
            self.loop.call_later(OFFICE_AGAIN_S, self._take_office, election)
            return
        log.info("leads, epoch %d", result["epoch"])
        head = Head(
            time.monotonic,
            time.time,
            self._replica,  # type: ignore[arg-type]
            result["epoch"],
            may_grow=True,
            history=self._history,
        )
        self._links = Links(self.loop, head, self._heads)
        self._predictions = PredictionFile(self.loop, head.forecasts)
        self._predictions.start()
        if len(self._heads) > 1:
            self._hand_history()
        self.tell_registry(leads=True, epoch=result["epoch"])

    def _hand_history(self) -> None:
        assert self._replica is not None
        self._handing = self.loop.call_later(HAND_EVERY_S, self._hand_history)
        if history := self._history.hand():
            self._replica.tell_others(history)

    def _on_follower(self) -> None:
        if self._links is not None:
            log.warning("leads no more")
            self._end_office()
            self.tell_registry(leads=False)

    def _end_office(self) -> None:
        if self._links is not None:
            self._links.close()
            self._links = None
        if self._predictions is not None:
            self._predictions.stop()
            self._predictions = None
        if self._handing is not None:
            self._handing.cancel()
            self._handing = None

    def _on_failed(self, error: BaseException) -> None:
        log.critical("the log has failed, this head ends: %s", error)
        self.failed = True
        self.stop()

    def _on_channel(self, channel: Channel, hello: Message) -> None:
        if hello[0] != "join":
            channel.close(f"a head has no use for a channel that begins with {hello[0]!r}")
        elif self._links is not None:
            self._links.on_channel(channel, hello)
        else:
            leader = self._replica.leader if self._replica is not None else None
            known = grpc_address(leader) if leader is not None else ""
            channel.send(("refused", "not_leader", known if known != self._address else ""))
            channel.close()

    # -- the end ---------------------------------------------------------------------------------------

    async def end(self) -> None:
        """Lead no more, and let the log go. A single head that is told to end ends its cluster: its memory goes too."""
        self._end_office()
        if self._channels is not None:
            await self._channels.stop()
        if self._replica is not None:
            self._replica.close()
            if not self.failed and len(self._heads) == 1 and not self.settings["storage"]:
                shutil.rmtree(self._storage, ignore_errors=True)


def _own_address(bound: str, heads: list[str]) -> str:
    """Which of the heads listens at `bound`. OptionError."""
    if bound in heads:
        return bound
    port = split_address(bound)[1]
    mine = [head for head in heads if split_address(head)[1] == port and is_own_host(split_address(head)[0])]
    if len(mine) != 1:
        raise OptionError(
            f"This head listens at {bound}, and the list of heads, {', '.join(heads)}, must have just one address that "
            "is this: give --host and --port as they are in --heads."
        )
    return mine[0]


if __name__ == "__main__":
    main()
