"""Actors with real processes: state, order, handles, names, concurrency, resources."""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import rustray
from rustray.actor import exit_actor
from rustray.driver.session import current
from rustray.errors import (
    ActorAlreadyExistsError,
    ActorDiedError,
    ActorNotFoundError,
    InfeasibleError,
    OptionError,
    PendingCallsLimitExceeded,
    SessionError,
    TaskCancelledError,
)
from rustray.util import ActorPool, list_named_actors


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    rustray.init(num_cpus=2, num_gpus=2, namespace="tests", resources={"special": 1})
    yield
    rustray.shutdown()


def until(what: Callable[[], Any], timeout: float = 10.0) -> Any:
    """Wait for something that other processes bring about and that nobody tells."""
    deadline = time.monotonic() + timeout
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)
    return found


@rustray.remote
class Counter:
    """Counts."""

    step = 1

    def __init__(self, start: int = 0) -> None:
        self.n = start

    def add(self, k: int = 1) -> int:
        self.n += k
        return self.n

    def get(self) -> int:
        return self.n

    def pid(self) -> int:
        return os.getpid()

    def nap(self, seconds: float) -> int:
        time.sleep(seconds)
        return self.add()

    @rustray.method(num_returns=2)
    def two(self) -> tuple[int, int]:
        return self.n, -self.n

    def items(self, n: int) -> Iterator[int]:
        yield from range(n)

    @property
    def size(self) -> int:
        return self.n

    @staticmethod
    def twice(x: int) -> int:
        return 2 * x

    @classmethod
    def label(cls) -> str:
        return cls.__name__

    def __call__(self, x: int) -> int:
        return x + self.n

    def __len__(self) -> int:
        return self.n

    def fail(self) -> None:
        raise KeyError("lost")


@rustray.remote
def add_ten(counter: Any) -> list[int]:
    return rustray.get([counter.add.remote() for _ in range(10)])


@rustray.remote
class Keeper:
    """Keeps what it is given."""

    def __init__(self, *kept: Any, **named: Any) -> None:
        self.kept = list(kept)
        self.named = named

    def keep(self, thing: Any) -> None:
        self.kept.append(thing)

    def call(self, index: int) -> Any:
        return rustray.get(self.kept[index].add.remote())

    def give(self, index: int) -> Any:
        return self.kept[index]

    def look(self) -> Any:
        return self.kept, self.named

    def drop(self) -> None:
        self.kept.clear()
        self.named.clear()


class Gate:
    """Lets a task go on when the test says so, through a file."""

    def __init__(self, path: Any) -> None:
        self.path = str(path)

    def open(self) -> None:
        open(self.path, "w").close()

    def wait(self) -> None:
        open(self.path + ".waited", "w").close()
        while not os.path.exists(self.path):
            time.sleep(0.005)

    def wait_for_waiter(self) -> None:
        until(lambda: os.path.exists(self.path + ".waited"))


@rustray.remote(num_cpus=0)
def behind(gate: Gate, value: Any) -> Any:
    gate.wait()
    return value


# -- calls


def test_state_and_order_of_calls() -> None:
    counter = Counter.remote(5)
    assert rustray.get([counter.add.remote() for _ in range(1000)]) == list(range(6, 1006))
    assert rustray.get(counter.add.remote(k=-5)) == 1000


def test_a_call_whose_argument_is_pending_keeps_its_place(tmp_path: Any) -> None:
    gate = Gate(tmp_path / "gate")
    keeper = Keeper.remote()
    late = behind.remote(gate, "late")
    refs = [keeper.keep.remote(1), keeper.keep.remote(late), keeper.keep.remote(2)]
    ready, _ = rustray.wait(refs, num_returns=3, timeout=0.1)
    assert len(ready) <= 1
    gate.open()
    assert rustray.get(keeper.look.remote())[0] == [1, "late", 2]


def test_calls_behind_one_that_failed_or_was_cancelled_go_on(tmp_path: Any) -> None:
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


def test_constructor_arguments(tmp_path: Any) -> None:
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


# -- handles


def test_handles_travel() -> None:
    counter = Counter.remote()
    keeper = Keeper.remote({"deep": [counter]}, counter)
    rustray.get(keeper.keep.remote(counter))
    assert rustray.get(keeper.call.remote(2)) == 1
    back = rustray.get(keeper.give.remote(1))
    assert back == counter and hash(back) == hash(counter) and rustray.get(back.add.remote()) == 2

    @rustray.remote
    def make() -> Any:
        return [Counter.remote(7)]

    # Its creator is the worker of the task, which lives on: so does the actor.
    (made,) = rustray.get(make.remote())
    assert rustray.get(made.add.remote()) == 8
    assert rustray.get(rustray.get(rustray.put([counter]))[0].add.remote()) == 3
    # Nobody can tell when a pickle of the user's own is lost: this actor lives until it is killed.
    assert rustray.get(pickle.loads(pickle.dumps(counter)).add.remote()) == 4
    rustray.kill(counter)


def test_a_handle_is_shown() -> None:
    counter = Counter.remote()
    assert repr(counter) == f"Actor(Counter, {counter._actor_id})"
    assert "add" in counter._repr_html_() and "add" in dir(counter)


def test_an_actor_ends_with_its_last_handle_after_the_calls_it_has() -> None:
    counter = Counter.remote()
    pid = rustray.get(counter.pid.remote())
    refs = [counter.add.remote() for _ in range(10_000)]
    slow = counter.nap.remote(0.2)
    del counter
    assert rustray.get(refs[-1]) == 10_000 and rustray.get(slow) == 10_001
    until(lambda: not is_alive(pid))


def test_a_handle_kept_elsewhere_keeps_the_actor() -> None:
    counter = Counter.remote()
    pid = rustray.get(counter.pid.remote())
    keeper = Keeper.remote()
    rustray.get(keeper.keep.remote(counter))
    del counter
    assert rustray.get(keeper.call.remote(0)) == 1
    again = rustray.get(keeper.give.remote(0))
    rustray.get(keeper.drop.remote())
    assert rustray.get(again.add.remote()) == 2 and is_alive(pid)
    del again
    until(lambda: not is_alive(pid))


def test_an_actor_that_keeps_a_handle_to_itself_ends_all_the_same() -> None:
    @rustray.remote
    class Narcissus:
        def look(self, also: Any) -> int:
            self.me = rustray.get_runtime_context().current_actor
            self.also = also
            return os.getpid()

        def friend(self) -> Any:
            return self.me

    actor = Narcissus.remote()
    pid = rustray.get(actor.look.remote([actor]))
    same = rustray.get(actor.friend.remote())
    assert same == actor
    del actor
    assert is_alive(pid) and rustray.get(same.look.remote(None)) == pid
    del same
    until(lambda: not is_alive(pid))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


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
        (lambda: rustray.cancel(counter.nap.remote(0), force=True), ValueError, "kill"),
    ]:
        with pytest.raises(error, match=told):
            wrong()
    with pytest.raises(TypeError, match="inherit"):

        class Sub(Counter):  # type: ignore[valid-type,misc]
            pass

    with pytest.raises(TypeError, match="add"):
        rustray.get(counter.add.remote(1, 2, 3))


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


# -- names


def test_named_actors() -> None:
    counter = Counter.options(name="counter").remote(1)
    with pytest.raises(ActorAlreadyExistsError, match="counter"):
        Counter.options(name="counter").remote()
    same = Counter.options(name="counter", get_if_exists=True).remote()
    assert same == counter == rustray.get_actor("counter") == rustray.get_actor("counter", "tests")
    other = Counter.options(name="counter", namespace="elsewhere").remote(2)
    assert rustray.get(rustray.get_actor("counter", namespace="elsewhere").get.remote()) == 2
    assert "counter" in list_named_actors()
    assert {"name": "counter", "namespace": "elsewhere"} in list_named_actors(all_namespaces=True)

    @rustray.remote
    def find() -> int:
        return rustray.get(rustray.get_actor("counter").add.remote())

    assert rustray.get(find.remote()) == 2
    rustray.kill(counter)
    with pytest.raises(ActorNotFoundError, match="counter"):
        rustray.get_actor("counter")
    again = Counter.options(name="counter", get_if_exists=True).remote(40)
    assert rustray.get(again.get.remote()) == 40
    del other


def test_a_name_is_taken_at_once_though_an_argument_is_pending(tmp_path: Any) -> None:
    gate = Gate(tmp_path / "gate")
    counter = Counter.options(name="early").remote(behind.remote(gate, 3))
    with pytest.raises(ActorAlreadyExistsError):
        Counter.options(name="early").remote()

    @rustray.remote
    def ask(counter: Any) -> int:
        return rustray.get(counter.add.remote())

    asked = ask.remote(counter)
    gate.open()
    assert rustray.get(asked) == 4 and rustray.get(rustray.get_actor("early").get.remote()) == 4


def test_a_name_is_free_when_the_last_handle_is_gone() -> None:
    counter = Counter.options(name="short").remote()
    rustray.get(counter.add.remote())
    del counter
    until(lambda: "short" not in list_named_actors())


# -- calls at once


def test_threads_run_at_once() -> None:
    @rustray.remote(max_concurrency=4)
    class Meeting:
        def __init__(self) -> None:
            self.barrier = threading.Barrier(4)

        def meet(self, x: int) -> int:
            self.barrier.wait(10)
            return x

        def nested(self, x: int) -> int:
            return rustray.get(add_ten.remote(Counter.remote(x)))[-1]

        def stream(self, n: int) -> Iterator[int]:
            yield from range(n)

    meeting = Meeting.remote()
    assert rustray.get([meeting.meet.remote(i) for i in range(8)]) == list(range(8))
    assert rustray.get([meeting.nested.remote(i) for i in range(4)]) == [10, 11, 12, 13]
    assert [rustray.get(ref) for ref in meeting.stream.remote(3)] == [0, 1, 2]


@rustray.remote
class Async:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.event: Any = None

    async def nap(self, seconds: float, value: Any = None) -> Any:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.log.append("cancelled")
            raise
        return value

    async def rely(self, refs: list[Any]) -> Any:
        return [await refs[0], await asyncio.gather(*refs)]

    async def count(self, n: int) -> Any:
        for i in range(n):
            await asyncio.sleep(0)
            yield i

    def plain(self) -> list[str]:
        return self.log

    async def fail(self) -> None:
        raise KeyError("async")

    async def big(self, array: Any) -> Any:
        return array * 2


def test_coroutines() -> None:
    actor = Async.remote()
    start = time.monotonic()
    assert rustray.get([actor.nap.remote(0.2, i) for i in range(1000)]) == list(range(1000))
    assert time.monotonic() - start < 20  # one after another they would take 200 s
    refs = [rustray.put(1), Counter.remote().add.remote()]
    assert rustray.get(actor.rely.remote(refs)) == [1, [1, 1]]
    assert [rustray.get(ref) for ref in actor.count.remote(4)] == [0, 1, 2, 3]
    assert rustray.get(actor.plain.remote()) == []
    with pytest.raises(KeyError, match="async"):
        rustray.get(actor.fail.remote())
    array = np.ones(200_000)
    assert (
        rustray.get(actor.big.remote(array)).sum() == rustray.get(actor.big.remote(rustray.put(array))).sum()
    )


def test_concurrency_groups() -> None:
    @rustray.remote(concurrency_groups={"io": 2})
    class Grouped:
        def __init__(self) -> None:
            self.barrier = threading.Barrier(2)

        @rustray.method(concurrency_group="io")
        def meet(self) -> str:
            self.barrier.wait(10)
            return threading.current_thread().name

        def own(self) -> str:
            return threading.current_thread().name

    actor = Grouped.remote()
    assert all("io" in name for name in rustray.get([actor.meet.remote() for _ in range(4)]))
    assert "io" not in rustray.get(actor.own.remote())
    assert "io" in rustray.get(actor.own.options(concurrency_group="io").remote())
    with pytest.raises(OptionError, match="io"):
        Grouped.options(concurrency_groups={}).remote()

    @rustray.remote(concurrency_groups={"one": 1})
    class GroupedAsync:
        running = 0

        @rustray.method(concurrency_group="one")
        async def alone(self) -> int:
            self.running += 1
            await asyncio.sleep(0.01)
            self.running -= 1
            return self.running

    assert rustray.get([GroupedAsync.remote().alone.remote() for _ in range(3)]) == [0, 0, 0]


def test_the_number_of_pending_calls_is_limited(tmp_path: Any) -> None:
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


# -- cancelling


def test_cancelling_calls(tmp_path: Any) -> None:
    @rustray.remote
    class Busy:
        done = 0

        def wait(self, gate: Gate) -> bool:
            gate.wait()
            self.done += 1
            return rustray.get_runtime_context().is_canceled()

        def finished(self) -> int:
            return self.done

    for concurrency in (1, 2):
        gates = [Gate(tmp_path / f"{concurrency}-{i}") for i in range(concurrency)]
        busy = Busy.options(max_concurrency=concurrency).remote()
        running = [busy.wait.remote(gate) for gate in gates]
        queued = busy.wait.remote(gates[0])
        for gate in gates:
            gate.wait_for_waiter()
        for ref in (queued, running[0]):
            rustray.cancel(ref)
        with pytest.raises(TaskCancelledError):
            rustray.get(queued)
        for gate in gates:
            gate.open()
        with pytest.raises(TaskCancelledError):
            rustray.get(running[0])
        assert rustray.get(running[1:]) == [False] * (concurrency - 1)
        # It was not interrupted.
        assert rustray.get(busy.finished.remote()) == concurrency


def test_cancelling_coroutines() -> None:
    actor = Async.options(max_concurrency=2).remote()
    rustray.get(actor.plain.remote())
    first, second, third = (actor.nap.remote(30) for _ in range(3))
    quick = actor.plain.remote()
    for ref in (third, first):
        rustray.cancel(ref)
        with pytest.raises(TaskCancelledError):
            rustray.get(ref)
    rustray.get(quick)
    rustray.cancel(second)
    with pytest.raises(TaskCancelledError):
        rustray.get(second)
    assert rustray.get(actor.plain.remote()) == ["cancelled"] * 2


# -- resources


def test_resources_are_held_for_the_life_of_an_actor() -> None:
    until(lambda: rustray.available_resources().get("CPU") == 2)
    holder = Counter.options(num_cpus=1, resources={"special": 1}).remote()
    rustray.get(holder.add.remote())
    free = rustray.available_resources()
    assert free["CPU"] == 1 and "special" not in free
    rustray.kill(holder)
    until(lambda: rustray.available_resources().get("special") == 1)
    until(lambda: rustray.available_resources().get("CPU") == 2)
    many = [Counter.remote(i) for i in range(6)]
    assert rustray.get([counter.add.remote() for counter in many]) == [1, 2, 3, 4, 5, 6]


def test_an_actor_that_fits_nowhere_is_told_so_at_once() -> None:
    with pytest.raises(InfeasibleError, match="3 CPU"):
        rustray.get(Counter.options(num_cpus=5).remote().add.remote())
    with pytest.raises(InfeasibleError, match="unknown_thing"):
        rustray.get(Counter.options(resources={"unknown_thing": 1}).remote().add.remote())


def test_gpus() -> None:
    @rustray.remote(num_gpus=1)
    class Device:
        def visible(self) -> tuple[str, list[int], dict[str, list[str]]]:
            return (
                os.environ["CUDA_VISIBLE_DEVICES"],
                rustray.get_gpu_ids(),
                rustray.get_runtime_context().get_accelerator_ids(),
            )

    devices = [Device.remote(), Device.remote()]
    seen = rustray.get([device.visible.remote() for device in devices])
    assert sorted(seen) == [("0", [0], {"GPU": ["0"]}), ("1", [1], {"GPU": ["1"]})]
    third = Device.remote()
    waiting = third.visible.remote()
    assert rustray.wait([waiting], timeout=0.1)[0] == []
    rustray.kill(devices[1])
    assert rustray.get(waiting)[0] == seen[1][0]


def test_environment_of_one_actor() -> None:
    @rustray.remote
    class Reader:
        def read(self) -> str | None:
            return os.environ.get("RUSTRAY_TEST_COLOUR")

    blue = Reader.options(runtime_env={"env_vars": {"RUSTRAY_TEST_COLOUR": "blue"}}).remote()
    assert rustray.get([blue.read.remote(), Reader.remote().read.remote()]) == ["blue", None]


# -- what surrounds a method


def test_runtime_context() -> None:
    @rustray.remote(num_cpus=1)
    class Inside:
        def __init__(self) -> None:
            self.child = Counter.remote(1)

        def look(self) -> dict[str, Any]:
            context = rustray.get_runtime_context()
            return {
                **context.get(),
                "name": context.get_actor_name(),
                "method": context.get_task_name(),
                "again": context.was_current_actor_reconstructed,
                "resources": context.get_assigned_resources(),
                "child": rustray.get(self.child.add.remote()),
            }

        async def coroutine(self) -> str | None:
            return rustray.get_runtime_context().get_task_name()

    inside = Inside.options(name="inside").remote()
    seen = rustray.get(inside.look.remote())
    mine = rustray.get_runtime_context()
    assert seen["job_id"] == mine.get_job_id() and seen["node_id"] == mine.get_node_id()
    assert seen["actor_id"] == inside._actor_id and mine.get_actor_id() is None
    assert (seen["name"], seen["method"], seen["namespace"]) == ("inside", "Inside.look", "tests")
    assert seen["resources"] == {"CPU": 1} and seen["again"] is False and seen["child"] == 2
    assert rustray.get(inside.coroutine.remote()) == "Inside.coroutine"


def test_prints_reach_the_driver(capsys: pytest.CaptureFixture[str]) -> None:
    @rustray.remote
    class Talker:
        def __init__(self) -> None:
            print("constructed")

        def say(self, text: str) -> int:
            print(text)
            return os.getpid()

        def in_thread(self) -> None:
            thread = threading.Thread(target=print, args=("from a thread",))
            thread.start()
            thread.join()

    @rustray.remote
    class AsyncTalker:
        async def say(self, text: str) -> None:
            print(text)

    talker = Talker.remote()
    pid = rustray.get(talker.say.remote("hello"))
    rustray.get(talker.in_thread.remote())
    rustray.get(AsyncTalker.remote().say.remote("softly"))
    told = ""

    def complete() -> bool:
        nonlocal told
        told += capsys.readouterr().out
        return "constructed" in told and "from a thread" in told

    until(complete)
    assert f"(Talker pid={pid}) hello\n" in told and f"(Talker pid={pid}) constructed\n" in told
    assert "softly\n" in told and "(AsyncTalker pid=" in told


# -- nothing is left


def test_what_an_actor_keeps_is_freed_with_it() -> None:
    objects = current().objects

    def used() -> int:
        objects.settle_drops()
        return int(current().query("store")["used"])

    before = used()
    keeper = Keeper.remote(rustray.put(np.ones(100_000)), [rustray.put(np.ones(100_000))], np.ones(100_000))
    for _ in range(5):
        keeper.keep.remote(np.ones(100_000))
        keeper.keep.remote([rustray.put(np.ones(100_000))])
    rustray.get(keeper.give.remote(3))
    assert used() > before
    rustray.kill(keeper)
    until(lambda: used() <= before)
    del keeper


def test_a_pool_of_actors() -> None:
    pool = ActorPool([Counter.remote(i) for i in range(2)])
    assert list(pool.map(lambda actor, x: actor.twice.remote(x), range(10))) == [2 * x for x in range(10)]
    found = pool.map_unordered(lambda actor, x: actor.twice.remote(x), range(10))
    assert sorted(found) == [2 * x for x in range(10)]
    assert pool.has_free() and not pool.has_next()
    pool.submit(lambda actor, x: actor.nap.remote(x), 0.5)
    with pytest.raises(TimeoutError):
        pool.get_next(timeout=0.01)
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


def test_workers_and_leases_come_back_when_many_actors_have_ended() -> None:
    def processes() -> int:
        return sum(row["actor"] is not None for row in current().query("workers"))

    until(lambda: processes() == 0)
    channels = set(current().actors._channels)
    actors = [Counter.remote(i) for i in range(20)]
    assert rustray.get([actor.add.remote() for actor in actors]) == list(range(1, 21))
    assert processes() == 20
    for actor in actors[:10]:
        rustray.kill(actor)
    del actor, actors
    until(lambda: processes() == 0)
    until(lambda: all(row["leases"] == 0 for row in current().query("workers")))
    until(lambda: set(current().actors._channels) <= channels)
    until(lambda: rustray.available_resources().get("CPU") == 2)
