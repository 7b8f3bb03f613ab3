"""Calls of actors with real processes: state, order, arguments, results, errors, many callers."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rustray
from rustray.actor import exit_actor
from rustray.driver.current import current
from rustray.errors import (
    ActorDiedError,
    OptionError,
    PendingCallsLimitExceeded,
    SessionError,
    TaskCancelledError,
)
from rustray.util import ActorPool
from tests.integration.actors.classes import Counter, Keeper, add_ten, behind
from tests.support import Gate


def test_state_and_order_of_calls() -> None:
    counter = Counter.remote(5)
    assert rustray.get([counter.add.remote() for _ in range(1000)]) == list(range(6, 1006))
    assert rustray.get(counter.add.remote(k=-5)) == 1000


def test_a_call_whose_argument_is_pending_keeps_its_place(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    keeper = Keeper.remote()
    late = behind.remote(gate, "late")
    refs = [keeper.keep.remote(1), keeper.keep.remote(late), keeper.keep.remote(2)]
    ready, _ = rustray.wait(refs, num_returns=3, timeout=0.1)
    assert len(ready) <= 1
    gate.open()
    assert rustray.get(keeper.look.remote())[0] == [1, "late", 2]


def test_calls_behind_one_that_failed_or_was_cancelled_go_on(tmp_path: Path) -> None:
    @rustray.remote
    def bad() -> None:
        raise ValueError("no")

    gate = Gate(tmp_path / "gate")
    counter = Counter.remote()
    failing = counter.add.remote(bad.remote())
    waiting = counter.add.remote(behind.remote(gate, 1))
    last = counter.add.remote()
    rustray.cancel(waiting)
    assert rustray.get(last) == 1
    with pytest.raises(ValueError):
        rustray.get(failing)
    with pytest.raises(TaskCancelledError):
        rustray.get(waiting)
    known = bad.remote()
    rustray.wait([known])
    with pytest.raises(ValueError):
        rustray.get(counter.add.remote(known))
    gate.open()


def test_several_callers() -> None:
    counter = Counter.remote()
    results = rustray.get(
        [add_ten.remote(counter) for _ in range(4)] + [counter.add.remote() for _ in range(10)]
    )
    assert all(part == sorted(part) for part in results[:4])
    assert rustray.get(counter.get.remote()) == 50


def test_results_of_methods() -> None:
    counter = Counter.remote(3)
    one, two = counter.two.remote()
    assert rustray.get([one, two]) == [3, -3]
    assert rustray.get(counter.two.options(num_returns=1).remote()) == (3, -3)
    assert [rustray.get(ref) for ref in counter.items.remote(5)] == list(range(5))
    stream = counter.items.options(num_returns="streaming").remote(3)
    assert isinstance(stream, rustray.ObjectRefGenerator)
    assert rustray.get(list(stream)) == [0, 1, 2]
    assert rustray.get([counter.twice.remote(4), counter.label.remote()]) == [8, "Counter"]
    assert rustray.get([counter.__call__.remote(1), counter.__len__.remote()]) == [4, 3]
    assert rustray.get(counter.__ray_ready__.remote()) is True
    assert rustray.get(counter.__ray_call__.remote(lambda self, k: self.n * k, 7)) == 21


def test_constructor_arguments(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    big = np.arange(100_000)
    kept = rustray.put("kept")
    keeper = Keeper.remote(rustray.put(1), [kept], big, rustray.put(big), late=behind.remote(gate, 9))
    look = keeper.look.remote()
    gate.open()
    (one, [ref], first, second), named = rustray.get(look)
    assert one == 1 and rustray.get(ref) == "kept" and named == {"late": 9}
    assert np.array_equal(first, big) and np.array_equal(second, big)


def test_large_arguments_and_results() -> None:
    keeper = Keeper.remote()
    array = np.random.default_rng(1).random(300_000)
    keeper.keep.remote(array)
    keeper.keep.remote(rustray.put(array))
    (first, second), _ = rustray.get(keeper.look.remote())
    assert np.array_equal(first, array) and np.array_equal(second, array)


def test_inheritance() -> None:
    class Base:
        def who(self) -> str:
            return "base"

        def both(self) -> str:
            return "base"

    @rustray.remote
    class Derived(Base):
        def both(self) -> str:
            return "derived " + super().both()

    actor = Derived.remote()
    assert rustray.get([actor.who.remote(), actor.both.remote()]) == ["base", "derived base"]


def test_a_method_s_error_is_the_user_s() -> None:
    counter = Counter.remote()
    with pytest.raises(KeyError) as caught:
        rustray.get(counter.fail.remote())
    assert isinstance(caught.value, rustray.exceptions.TaskError)
    assert 'raise KeyError("lost")' in str(caught.value)
    assert rustray.get(counter.add.remote()) == 1


def test_wrong_uses_are_told() -> None:
    counter = Counter.remote()
    for wrong, error, told in [
        (lambda: Counter(), TypeError, "remote"),
        (lambda: Counter.remote(1, 2, 3), TypeError, "too many positional"),
        (lambda: counter.add(), TypeError, "remote"),
        (lambda: counter.ad.remote(), AttributeError, "add"),
        (lambda: counter.size, AttributeError, "size"),
        (lambda: counter.step, AttributeError, "step"),
        (lambda: Counter.options(max_restrats=1), OptionError, "max_restarts"),
        (lambda: rustray.method(num_return=2), OptionError, "num_returns"),
        (lambda: counter.add.options(concurrency_group="io"), OptionError, "io"),
        (exit_actor, TypeError, "exit_actor"),
        (lambda: rustray.kill(1), ValueError, "handle"),  # type: ignore[arg-type]
        (lambda: rustray.cancel(counter.get.remote(), force=True), ValueError, "kill"),
    ]:
        with pytest.raises(error, match=told):
            wrong()
    with pytest.raises(TypeError, match="inherit"):

        class Sub(Counter):  # type: ignore[valid-type,misc]
            pass

    with pytest.raises(TypeError, match="add"):
        rustray.get(counter.add.remote(1, 2, 3))


def test_the_number_of_pending_calls_is_limited(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    keeper = Keeper.options(max_pending_calls=3).remote()
    refs = [keeper.keep.remote(behind.remote(gate, i)) for i in range(3)]
    with pytest.raises(PendingCallsLimitExceeded, match="max_pending_calls"):
        keeper.keep.remote(4)
    gate.open()
    rustray.get(refs)
    rustray.get(keeper.keep.remote(4))


def test_a_storm_of_calls_from_three_callers() -> None:
    @rustray.remote
    def storm(counter: Any, n: int) -> int:
        return len(rustray.get([counter.add.remote() for _ in range(n)]))

    counter = Counter.remote()
    tasks = [storm.remote(counter, 3000) for _ in range(2)]
    mine = rustray.get([counter.add.remote() for _ in range(4000)])
    assert rustray.get(tasks) == [3000, 3000] and len(set(mine)) == 4000
    assert rustray.get(counter.get.remote()) == 10_000


def test_threads_of_one_driver_call_at_once() -> None:
    counter = Counter.remote()

    def call() -> None:
        for _ in range(500):
            rustray.get(counter.add.remote())

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rustray.get(counter.get.remote()) == 2000


def test_a_forked_child_leaves_its_parents_actors_alone() -> None:
    counter = Counter.remote()
    rustray.get(counter.add.remote())
    child = os.fork()
    if child == 0:
        try:
            counter.add.remote()
        except SessionError:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert rustray.get(counter.add.remote()) == 2


def test_a_pool_of_actors(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    pool = ActorPool([Counter.remote(i) for i in range(2)])
    assert list(pool.map(lambda actor, x: actor.twice.remote(x), range(10))) == [2 * x for x in range(10)]
    found = pool.map_unordered(lambda actor, x: actor.twice.remote(x), range(10))
    assert sorted(found) == [2 * x for x in range(10)]
    assert pool.has_free() and not pool.has_next()
    pool.submit(lambda actor, x: actor.hold.remote(x), gate)
    with pytest.raises(TimeoutError):
        pool.get_next(timeout=0.01)
    gate.open()
    assert pool.get_next() in (1, 2)
    extra = pool.pop_idle()
    assert extra is not None
    with pytest.raises(ValueError):
        pool.push(
            rustray.util.actor_pool.ActorHandle.of(current(), pool._idle[0]._entry.id, pool._idle[0]._handle)
        )
    pool.push(extra)
    rustray.kill(extra)
    pool.submit(lambda actor, x: actor.twice.remote(x), 1)
    with pytest.raises(ActorDiedError):
        pool.get_next()
