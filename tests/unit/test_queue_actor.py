"""The actor of a queue, without a cluster: who waits, runs out of time and is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from rustray.util.queue_actor import QueueActor


def run(scene: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scene, 30))


async def a_while() -> None:
    """Long enough for whoever can go on to do so."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_items_come_in_their_order_and_who_waits_is_served_in_turn() -> None:
    async def scene() -> None:
        actor = QueueActor(2)
        assert await actor.put("a", None) and await actor.put("b", 0)
        late = asyncio.create_task(actor.put("c", None))
        assert not await actor.put("d", 0) and actor.full() and actor.qsize() == 2
        assert [await actor.get(0), await actor.get(None)] == [("a",), ("b",)]
        assert await late and await actor.get(None) == ("c",)
        takers = [asyncio.create_task(actor.get(None)) for _ in range(3)]
        await a_while()
        for item in range(3):
            await actor.put(item, None)
        assert [await taker for taker in takers] == [(0,), (1,), (2,)]

    run(scene())


def test_who_runs_out_of_time_has_neither_taken_nor_left_anything() -> None:
    async def scene() -> None:
        actor = QueueActor(1)
        assert await actor.get(0.001) == () == await actor.get(0)
        assert await actor.put(1, 0.001) and not await actor.put(2, 0.001)
        assert await actor.get(0) == (1,) and actor.qsize() == 0
        assert not actor._takers and not actor._givers

    run(scene())


def test_who_is_cancelled_when_his_turn_has_come_leaves_it_to_the_next() -> None:
    async def scene() -> None:
        actor = QueueActor(0)
        first, second = (asyncio.create_task(actor.get(None)) for _ in range(2))
        await a_while()
        await actor.put("item", None)
        first.cancel()  # it was woken, and has not run yet
        assert await second == ("item",) and first.cancelled()
        third = asyncio.create_task(actor.get(None))
        await a_while()
        third.cancel()
        await a_while()
        assert not actor._takers

    run(scene())


def test_what_is_given_back_comes_first_also_where_all_is_full() -> None:
    async def scene() -> None:
        actor = QueueActor(2)
        actor.put_batch([1, 2])
        taken = actor.get_batch(2)
        assert isinstance(taken, list) and actor.put_batch([3, 4]) == -1
        actor.give_back(tuple(taken))
        assert actor.get_batch(5) == 4 and actor.put_batch([5]) == 0
        assert actor.get_batch(4) == [1, 2, 3, 4]
        waits = asyncio.create_task(actor.get(None))
        await a_while()
        actor.give_back(("again",))
        assert await waits == ("again",)

    run(scene())


def test_several_are_put_and_taken_all_or_none() -> None:
    async def scene() -> None:
        actor = QueueActor(3)
        takers = [asyncio.create_task(actor.get(None)) for _ in range(2)]
        await a_while()
        assert actor.put_batch(list("abcd")) == 3 and actor.put_batch(list("abc")) == -1
        assert [await taker for taker in takers] == [("a",), ("b",)]
        givers = [asyncio.create_task(actor.put(item, None)) for item in "defg"]
        await a_while()
        assert actor.get_batch(3) == ["c", "d", "e"]
        assert all([await giver for giver in givers])
        assert QueueActor(0).put_batch(list(range(1000))) == -1

    run(scene())
