"""The nodes that are joined to the leading head: what each has been told, and the way to each and to their clients."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from rustray.model import ids
from rustray.wire.frames import Message

Send = Callable[[Message], None]
Done = Callable[[], None]


class NodeLink:
    """A node that is connected, and what it has been told.

    `busy` counts its commands that are being committed; `waiting` are the messages behind them.
    """

    __slots__ = ("busy", "classes", "clients", "info", "jobs", "name", "number", "send", "waiting")

    def __init__(self, name: str, number: int, info: dict[str, Any], send: Send) -> None:
        self.name = name
        self.number = number
        self.info = info
        self.send = send
        self.jobs: set[int] = set()
        self.classes: set[bytes] = set()
        self.clients: set[int] = set()
        self.busy = 0
        self.waiting: deque[tuple[Message, str, Done | None]] = deque()


class NodeLinks:
    """All of them.

    Attributes
    ----------
    info: what each node told of itself when it joined, by name; also of those that have gone of late.
    """

    def __init__(self) -> None:
        self._by_name: dict[str, NodeLink] = {}
        self._by_number: dict[int, NodeLink] = {}
        self.info: dict[str, dict[str, Any]] = {}

    def add(self, link: NodeLink) -> None:
        """A node has joined, for the first time or again."""
        self._by_name[link.name] = self._by_number[link.number] = link
        self.info[link.name] = link.info

    def remove(self, name: str) -> NodeLink | None:
        """The node is gone; its link, if it had one."""
        link = self._by_name.pop(name, None)
        if link is not None:
            self._by_number.pop(link.number, None)
        return link

    def __getitem__(self, name: str) -> NodeLink:
        return self._by_name[name]

    def __iter__(self) -> Iterator[NodeLink]:
        return iter(self._by_name.values())

    def get(self, name: str) -> NodeLink | None:
        """The link of a node."""
        return self._by_name.get(name)

    def numbered(self, number: int) -> NodeLink | None:
        """The link of the node with this number."""
        return self._by_number.get(number)

    @property
    def numbers(self) -> set[int]:
        """Of all nodes that are joined."""
        return set(self._by_number)

    # -- saying something ------------------------------------------------------------------------------

    def to_node(self, name: str, message: Message) -> None:
        """Send to a node; one that is gone needs nothing any more."""
        link = self._by_name.get(name)
        if link is not None:
            link.send(message)

    def to_client(self, client: int, message: Message) -> None:
        """Send to the node of a client; one whose node is gone needs nothing any more."""
        link = self._by_number.get(ids.node_of(client))
        if link is not None:
            link.send(message)

    def to_all(self, message: Message, but: NodeLink | None = None) -> None:
        """Send to all nodes, one excepted."""
        for link in self._by_name.values():
            if link is not but:
                link.send(message)
