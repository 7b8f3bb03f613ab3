from __future__ import annotations

import random

from rustray.scheduler.queues import RankedQueue


def test_the_lowest_rank_comes_first_and_put_moves() -> None:
    queue: RankedQueue[str] = RankedQueue()
    queue.put("a", (1,))
    queue.put("b", (2,))
    assert queue.first() == "a"
    queue.put("a", (3,))
    assert queue.first() == "b" and list(queue.ranked()) == ["b", "a"]
    queue.discard("b")
    queue.discard("b")
    assert queue.first() == "a" and len(queue) == 1 and "b" not in queue


def test_it_agrees_with_sorting_and_stays_small() -> None:
    rng, queue, model = random.Random(1), RankedQueue[int](), dict[int, tuple[int, int]]()
    for _ in range(5000):
        item = rng.randrange(50)
        if rng.random() < 0.2:
            queue.discard(item)
            model.pop(item, None)
        else:
            model[item] = rng.randrange(1000), item
            queue.put(item, model[item])
        assert queue.first() == min(model, key=model.__getitem__, default=None)
        assert len(queue._heap) <= 2 * 50 + 17
    assert list(queue.ranked()) == sorted(model, key=model.__getitem__)
