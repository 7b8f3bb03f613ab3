"""The actors that a client process made or calls: their channels, their handles' counting, the node's word of them."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from rustray.driver import failures
from rustray.driver.actor_channel import ActorChannel
from rustray.driver.entry import VALUE, Entry
from rustray.errors import ActorDiedError
from rustray.wire.frames import Connection
from rustray.wire.page import LeasePage

if TYPE_CHECKING:
    from rustray.driver.session import Session


class Actors:
    """The channels of one session, by actor id."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.lock = session.objects.lock
        self.tasks = session.tasks
        self.tell = session.tell
        self.reactor = session.reactor
        self._channels: dict[bytes, ActorChannel] = {}
        self._owned: set[bytes] = set()
        self._self: Entry | None = None

    def channel(self, entry: Entry, handle: dict[str, Any]) -> ActorChannel:
        """The channel to the actor of `entry`, one for all its handles in this process. Caller has the lock."""
        channel = self._channels.get(entry.id)
        if channel is None:
            channel = self._channels[entry.id] = ActorChannel(self, entry, handle)
        return channel

    @property
    def has_unconnected(self) -> bool:
        """Whether calls wait for an actor that is not up."""
        return any(channel.queue and not channel.connected for channel in self.channels())

    def channels(self) -> list[ActorChannel]:
        """All channels of this session."""
        return list(self._channels.values())

    def entry_of(self, actor: bytes) -> Entry:
        """The entry that counts this process's handles to `actor`. Caller has the lock."""
        hosted = self.session.hosted_actor
        if hosted is None or hosted[0] != actor:
            return self.session.sharing.entry_of(actor)
        if self._self is None:
            # An actor that held itself would never end: its own handles are not counted by the node.
            self._self = Entry(actor, owned=False)
            self._self.known = True
            self._self.count = 1
        return self._self

    def new_entry(self, actor: bytes, arguments: tuple[Entry, ...]) -> Entry:
        """The entry that counts the handles of an actor made here: like an object's, known to the node at once.

        It contains the constructor's arguments: a restart needs them again.
        """
        entry = Entry(actor, owned=True)
        entry.state = VALUE
        with self.lock:
            self._owned.add(actor)
            self.session.sharing.publish_new(entry, arguments)
        return entry

    def on_forgotten(self, oid: bytes) -> None:
        """This process has no handle any more. Caller has the lock."""
        channel = self._channels.pop(oid, None)
        if channel is not None:
            channel.leave()

    def on_freed(self, oid: bytes) -> bool:
        """Nobody has a handle any more: a non-detached actor ends after the calls it has. True if it is one."""
        if oid not in self._owned:
            return False
        self._owned.discard(oid)
        self.tell(("actor_unreferenced", oid))
        return True

    def on_channel(self, actor: bytes, worker: int, socket_fd: int, page_fd: int) -> None:
        """The node has introduced us to the actor's process."""
        connection = Connection(socket.socket(fileno=socket_fd))
        page = LeasePage.received(page_fd)
        with self.lock:
            channel = self._channels.get(actor)
            if channel is not None:
                channel.on_channel(worker, connection, page)
                return
        connection.close()  # the last handle was dropped meanwhile
        page.close()

    def on_restarting(self, actor: bytes, text: str) -> None:
        """The actor's process died, and it restarts."""
        channel = self._channels.get(actor)
        if channel is not None:
            channel.on_restarting(text)

    def on_dead(self, actor: bytes, kind: str, cause: Any) -> None:
        """The node's last word.

        Parameters
        ----------
        kind: what `cause` is: "text"; "error", the packed error of every call; "constructor", the packed error
            that the constructor raised.
        """
        with self.lock:
            if actor in self._owned:
                # It will not be started again: what its constructor was given is needed no more.
                self.session.sharing.let_contents_go(actor)
            channel = self._channels.get(actor)
            if channel is None:
                return
            if kind == "error":
                channel.on_dead(cause)
            elif kind == "constructor":
                told = f"Actor {channel.name} is dead: its constructor failed. {failures.text(cause)}"
                channel.on_dead(failures.typed(ActorDiedError(told, actor_id=actor), cause))
            else:
                told = f"Actor {channel.name} is dead: {cause}"
                channel.on_dead(failures.typed(ActorDiedError(told, actor_id=actor)))

    def fail_all(self, error: bytes) -> None:
        """The session has ended."""
        for channel in list(self._channels.values()):
            channel.close(error)
