"""Batches between two nodes, numbered and kept until acknowledged. Pure: see `neighbours`, Rule 1."""

from __future__ import annotations

from collections import deque

from rustray.wire.frames import Message


class Outbox:
    """Batches to one node, from being sent until it has acknowledged them."""

    def __init__(self) -> None:
        self._kept: deque[tuple[int, list[Message]]] = deque()
        self._next = 1

    def put(self, messages: list[Message]) -> list[Message]:
        """Number a batch; what is to be sent."""
        number = self._next
        self._next += 1
        self._kept.append((number, messages))
        return [("batch", number), *messages]

    def acknowledged(self, number: int) -> None:
        """The receiver has all up to `number`."""
        while self._kept and self._kept[0][0] <= number:
            self._kept.popleft()

    def again(self, seen: int) -> list[list[Message]]:
        """What to send after a reconnection to a receiver that has seen batches up to `seen`."""
        self.acknowledged(seen)
        return [[("batch", number), *messages] for number, messages in self._kept]

    def __len__(self) -> int:
        return len(self._kept)


class Inbox:
    """What has come from one node."""

    def __init__(self) -> None:
        self.seen = 0
        self.unacknowledged = 0

    def take(self, number: int) -> bool:
        """Whether the batch is new."""
        if number != self.seen + 1:
            return False  # it has come before
        self.seen = number
        self.unacknowledged += 1
        return True
