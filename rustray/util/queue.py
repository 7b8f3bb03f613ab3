"""`rustray.util.queue.Queue`: a queue that tasks, actors and programs share, as `ray.util.queue`.

Who is interrupted, cancelled or runs out of time while it waits has neither taken an item nor, in a `put` that had to
wait for room, left one.
"""

from __future__ import annotations

import concurrent.futures
import queue
from collections.abc import Iterable
from typing import Any

from rustray.driver.actor_handle import ActorHandle
from rustray.driver.api import cancel, get, kill, remote, wait
from rustray.driver.refs import ObjectRef
from rustray.errors import ActorDiedError, GetTimeoutError, OptionError, RustRayError
from rustray.model.option_checks import kind_of
from rustray.util.queue_actor import QueueActor

AT_ONCE = 100_000
"""Calls of one queue that may wait in it: each is a coroutine, and none may keep out those whom the others wait for."""
LATE_S = 5.0
"""Seconds beyond a timeout in which the actor should have answered, for it may be about to start."""
SETTLE_S = 2.0
"""Seconds for which who was interrupted waits until what it may have taken is back in the queue."""


class Empty(queue.Empty):
    """There was no item, or fewer than were asked for."""


class Full(queue.Full):
    """There was no room."""


class Queue:
    """First in, first out, in an actor that needs no CPU; it can be passed to tasks and actors.

        queue = Queue(maxsize=100)
        consumer.remote(queue)
        queue.put(1)

    Parameters
    ----------
    maxsize: how many items there may be; 0 for any number.
    actor_options: options of its actor, as ``{"name": "jobs", "lifetime": "detached"}``.

    Raises
    ------
    ActorDiedError: by each method, when the queue was shut down or its actor was lost, and the items with it.
    """

    def __init__(self, maxsize: int = 0, actor_options: dict[str, Any] | None = None) -> None:
        self.maxsize = maxsize
        options = {"max_concurrency": AT_ONCE, **(actor_options or {})}
        self.actor: ActorHandle | None = remote(QueueActor).options(**options).remote(maxsize)

    def __len__(self) -> int:
        return self.size()

    def size(self) -> int:
        """How many items there are."""
        count: int = get(self._actor().qsize.remote())
        return count

    def qsize(self) -> int:
        """How many items there are."""
        return self.size()

    def empty(self) -> bool:
        """Whether there is no item."""
        return self.size() == 0

    def full(self) -> bool:
        """Whether there is no room for one more."""
        return bool(get(self._actor().full.remote()))

    # -- one item ------------------------------------------------------------------------------------------

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Add an item.

        Parameters
        ----------
        block: wait for room.
        timeout: seconds to wait at most.

        Raises
        ------
        Full: there was no room. ValueError: `timeout` is negative.
        """
        ref = self._actor().put.remote(item, _patience(block, timeout))
        try:
            has_room = get(ref, timeout=_limit(block, timeout))
        except GetTimeoutError as error:
            cancel(ref)
            raise Full(f"The queue's actor does not answer. {error}") from None
        except BaseException:
            cancel(ref)  # else it would be put later
            raise
        if not has_room:
            raise Full

    async def put_async(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """As `put`, awaitable."""
        ref = self._actor().put.remote(item, _patience(block, timeout))
        try:
            has_room = await ref
        except BaseException:
            cancel(ref)
            raise
        if not has_room:
            raise Full

    def put_nowait(self, item: Any) -> None:
        """As ``put(item, block=False)``."""
        self.put(item, block=False)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take the first item.

        Parameters
        ----------
        block: wait for one.
        timeout: seconds to wait at most.

        Raises
        ------
        Empty: there was none. ValueError: `timeout` is negative.
        """
        actor = self._actor()
        ref = actor.get.remote(_patience(block, timeout))
        try:
            found = get(ref, timeout=_limit(block, timeout))
        except GetTimeoutError as error:
            _give_back(actor, ref)
            raise Empty(f"The queue's actor does not answer. {error}") from None
        except BaseException:
            concurrent.futures.wait([_give_back(actor, ref)], SETTLE_S)
            raise
        if not found:
            raise Empty
        return found[0]

    async def get_async(self, block: bool = True, timeout: float | None = None) -> Any:
        """As `get`, awaitable."""
        actor = self._actor()
        ref = actor.get.remote(_patience(block, timeout))
        try:
            found = await ref
        except BaseException:
            _give_back(actor, ref)
            raise
        if not found:
            raise Empty
        return found[0]

    def get_nowait(self) -> Any:
        """As ``get(block=False)``."""
        return self.get(block=False)

    # -- several -------------------------------------------------------------------------------------------

    def put_nowait_batch(self, items: Iterable[Any]) -> None:
        """Add all of `items` in their order, or none of them: Full if there is no room for all."""
        if not isinstance(items, Iterable):
            raise TypeError(f"put_nowait_batch() takes several items, not {kind_of(items)}.")
        batch = list(items)
        room = get(self._actor().put_batch.remote(batch))
        if room >= 0:
            raise Full(f"There is room for {room} more items, and not for {len(batch)}.")

    def get_nowait_batch(self, num_items: int) -> list[Any]:
        """Take the first `num_items`, or none: Empty if there are fewer."""
        if not isinstance(num_items, int):
            raise TypeError(f"get_nowait_batch() takes a whole number, not {kind_of(num_items)}.")
        if num_items < 0:
            raise ValueError(f"get_nowait_batch({num_items}): give a number from 0 on.")
        items: list[Any] | int = get(self._actor().get_batch.remote(num_items))
        if isinstance(items, int):
            raise Empty(f"There are {items} items, and not {num_items}.")
        return items

    # -- the end -------------------------------------------------------------------------------------------

    def shutdown(self, force: bool = False, grace_period_s: int = 5) -> None:
        """End the actor, and the items with it, for all who share the queue. Harmless when done before.

        Parameters
        ----------
        force: at once. Else calls that have come are finished first.
        grace_period_s: seconds for these, before it is ended in any case.
        """
        actor, self.actor = self.actor, None
        if actor is None:
            return
        if force or not wait([actor.__ray_terminate__.remote()], timeout=grace_period_s)[0]:
            kill(actor)

    def _actor(self) -> ActorHandle:
        if self.actor is None:
            raise ActorDiedError("This queue was shut down. Make another one: Queue().")
        return self.actor


def _patience(block: bool, timeout: float | None) -> float | None:
    """For how many seconds the actor is to wait."""
    if not block:
        return 0
    if timeout is not None and timeout < 0:
        raise OptionError(f"timeout={timeout!r} is negative: give seconds, or None to wait for ever.")
    return timeout


def _limit(block: bool, timeout: float | None) -> float | None:
    return timeout + LATE_S if block and timeout is not None else None


def _give_back(actor: ActorHandle, ref: ObjectRef) -> concurrent.futures.Future[None]:
    """Withdraw a call of `get`; what it has taken nonetheless comes back. Done when all of that is over."""
    cancel(ref)
    over: concurrent.futures.Future[None] = concurrent.futures.Future()

    def settled(answer: concurrent.futures.Future[Any]) -> None:
        try:
            if not answer.cancelled() and answer.exception() is None and answer.result():
                get(actor.give_back.remote(answer.result()))
        except RustRayError:
            pass  # the actor is lost, and all items with it: whoever calls it next is told
        finally:
            over.set_result(None)

    ref.future().add_done_callback(settled)
    return over
