"""The actor behind a `Queue`: its items, and who waits for one or for room.

Rule 1. Between the moment at which a call's turn has come and its return nothing is awaited: who is cancelled, or runs
        out of time, has changed nothing, and who has taken an item or left one answers.
Rule 2. Whoever was woken and cannot use it wakes the next.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

Turns = deque[asyncio.Future[None]]
"""Those who wait, the first first."""


class QueueActor:
    """First in, first out.

    Parameters
    ----------
    maxsize: how many items there may be; 0 or less for any number.
    """

    def __init__(self, maxsize: int) -> None:
        self._maxsize = maxsize
        self._items: deque[Any] = deque()
        self._takers: Turns = deque()
        self._givers: Turns = deque()

    def qsize(self) -> int:
        """How many items there are."""
        return len(self._items)

    def full(self) -> bool:
        """Whether there is no room for one more."""
        return 0 < self._maxsize <= len(self._items)

    async def put(self, item: Any, timeout: float | None) -> bool:
        """Add an item; False if there was no room for `timeout` seconds."""
        if not await _comes(self._givers, lambda: not self.full(), timeout):
            return False
        self._items.append(item)
        _wake(self._takers)
        return True

    async def get(self, timeout: float | None) -> tuple[Any, ...]:
        """(the first item,); () if there was none for `timeout` seconds."""
        if not await _comes(self._takers, lambda: bool(self._items), timeout):
            return ()
        item = self._items.popleft()
        _wake(self._givers)
        return (item,)

    def put_batch(self, items: list[Any]) -> int:
        """Add all of `items`, or none if there is no room for all. Gives for how many there was room, -1 for all."""
        room = self._maxsize - len(self._items)
        if self._maxsize > 0 and len(items) > room:
            return max(room, 0)
        self._items.extend(items)
        for _item in items:
            _wake(self._takers)
        return -1

    def get_batch(self, count: int) -> list[Any] | int:
        """The first `count` items; how many there are if they are fewer."""
        if count > len(self._items):
            return len(self._items)
        items = [self._items.popleft() for _ in range(count)]
        for _item in items:
            _wake(self._givers)
        return items

    def give_back(self, items: tuple[Any, ...]) -> None:
        """Items that somebody took who does not want them any more: they come first again, also where all is full."""
        self._items.extendleft(reversed(items))
        for _item in items:
            _wake(self._takers)


async def _comes(turns: Turns, is_there: Callable[[], bool], timeout: float | None) -> bool:
    """Wait for `timeout` seconds at most; whether it is there."""
    if is_there():
        return True
    if timeout is not None and timeout <= 0:
        return False
    try:
        async with asyncio.timeout(timeout):
            while not is_there():
                await _turn(turns)
    except TimeoutError:
        return False
    return True


async def _turn(turns: Turns) -> None:
    turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    turns.append(turn)
    try:
        await turn
    except asyncio.CancelledError:
        if turn in turns:
            turns.remove(turn)
        else:
            _wake(turns)
        raise


def _wake(turns: Turns) -> None:
    while turns:
        turn = turns.popleft()
        if not turn.done():
            turn.set_result(None)
            return
