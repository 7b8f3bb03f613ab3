"""Ten thousand objects down every path, and in the end nothing is left: not in the store, nor in any process."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator

import numpy as np
import pytest

import rustray
from rustray.driver.current import current
from rustray.exceptions import RustRayError, TaskCancelledError
from rustray.worker.channel import Channel
from tests.support import Gate, eventually, tick, ticks

N = 1000  # objects a path
BIG = 120_000  # bytes: just beyond what travels inline


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    rustray.init(num_cpus=2, object_store_memory=256 << 20)
    yield
    rustray.shutdown()


def tables(_seen=None):
    """What this process, driver or worker, knows of objects: nothing, once all have gone."""
    gc.collect()
    session = current()
    objects = session.objects
    objects.settle_drops()
    left = {
        "entries": [(entry.id.hex(), entry.state, entry.count) for entry in list(objects.entries.values())],
        "lineage": len(session.lineage.tasks),
        "children": len(session.tasks.children),
        "views": len(objects.view_dropped),
    }
    return {name: value for name, value in left.items() if value}


@rustray.remote
def worker_tables():
    return os.getpid(), tables()


@pytest.fixture(autouse=True)
def nothing_is_left(cluster):
    yield
    store: dict[str, int] = {}

    def driver_and_store_are_empty():
        nonlocal store
        left = tables()
        store = current().requests.query("store")
        return not left and not any(
            store[name] for name in ("objects", "used", "reserved", "spilled", "waiting")
        )

    try:
        eventually(driver_and_store_are_empty)
    except AssertionError:
        raise AssertionError(f"left in the driver: {tables()}, in the store: {store}") from None

    def workers_are_empty():
        told = dict(rustray.get([worker_tables.remote() for _ in range(8)]))
        return not any(told.values())

    eventually(workers_are_empty)


@rustray.remote
def small(x=None):
    return x


@rustray.remote
def big(*_args):
    return np.ones(BIG, dtype=np.uint8)


@rustray.remote
def use(*args, **_kwargs):
    return len(args)


def test_small_results():
    rustray.get([small.remote(n) for n in range(N)])


def test_results_that_nobody_takes():
    for n in range(N):
        small.remote(n)
        if n % 10 == 0:
            big.remote()
    rustray.get(small.remote())


def test_big_results():
    for ref in [big.remote() for _ in range(N)]:
        assert rustray.get(ref)[0] == 1


def test_puts():
    refs = [rustray.put(n if n % 3 else np.zeros(BIG, dtype=np.uint8)) for n in range(N)]
    assert len(rustray.get(refs)) == N


def test_values_that_are_kept_beyond_their_references():
    views = rustray.get([big.remote() for _ in range(50)])
    assert all(view[0] == 1 for view in views)


def test_a_reading_that_is_interrupted_before_it_begins(monkeypatch):
    def interrupted(_segment):
        raise KeyboardInterrupt

    ref = big.remote()
    rustray.wait([ref])
    with monkeypatch.context() as patch:
        patch.setattr(current().blocks, "_mapping", interrupted)
        with pytest.raises(KeyboardInterrupt):
            rustray.get(ref)
    assert rustray.get(ref).size == BIG


def test_arguments():
    held = rustray.put(np.ones(BIG))
    refs = []
    for n in range(N // 5):
        refs += [
            use.remote(rustray.put(n)),
            use.remote(held),
            use.remote(np.ones(BIG)),
            use.remote(small.remote(n)),
        ]
        refs.append(use.remote(big.remote(), key=held))
    assert rustray.get(refs) == [1] * len(refs)


def test_nested_references():
    @rustray.remote
    def look(refs):
        return sum(np.size(value) for value in rustray.get(refs["inner"]))

    held = rustray.put(np.ones(BIG))
    refs = [
        look.remote({"inner": [held, rustray.put(n), small.remote(n), big.remote()]}) for n in range(N // 10)
    ]
    rustray.get(refs)


def test_references_that_are_returned():
    @rustray.remote
    def make(n):
        return [rustray.put(n), rustray.put(np.ones(BIG)), small.remote(n), [rustray.put([rustray.put(n)])]]

    made = rustray.get([make.remote(n) for n in range(N // 20)])
    for number, (one, two, three, (four,)) in enumerate(made):
        assert rustray.get([one, three]) == [number, number]
        assert rustray.get(two).size == BIG
        assert rustray.get(rustray.get(four)[0]) == number


def test_references_that_are_passed_through():
    @rustray.remote
    def through(boxed):
        return boxed

    refs = [[rustray.put(n)] for n in range(N // 10)] + [[big.remote()] for _ in range(N // 10)]
    for _turn in range(3):
        refs = rustray.get([through.remote(box) for box in refs])
    assert len(rustray.get([box[0] for box in refs])) == N // 5


def test_objects_in_big_objects():
    refs = [rustray.put([np.ones(BIG), rustray.put(np.ones(BIG))]) for _ in range(N // 20)]
    for ref in refs:
        assert rustray.get(rustray.get(ref)[1]).size == BIG


def test_nested_tasks():
    @rustray.remote
    def parent(n):
        return sum(rustray.get([small.remote(i) for i in range(n)])) + len(rustray.get(big.remote()))

    rustray.get([parent.remote(10) for _ in range(N // 20)])


def test_streams():
    @rustray.remote
    def stream(n):
        for number in range(n):
            yield np.ones(BIG) if number % 10 == 0 else [rustray.put(number)]

    for ref in stream.remote(N // 2):
        rustray.get(ref)
    unfinished = stream.remote(N // 10)
    rustray.get(next(unfinished))
    del unfinished
    stream.remote(N // 10)


def test_failed_tasks():
    @rustray.remote
    def fail(*_args, **_kwargs):
        held = [rustray.put(np.ones(BIG)), rustray.put(1)]
        raise ValueError(len(held))

    refs = [fail.remote(rustray.put(n), box=[big.remote()]) for n in range(N // 20)]
    for ref in refs:
        with pytest.raises(ValueError):
            rustray.get(ref)


def test_several_results_one_of_which_fails():
    @rustray.remote(num_returns=3)
    def fail():
        return np.ones(BIG), [rustray.put(1)], (value for value in ())

    for refs in [fail.remote() for _ in range(N // 20)]:
        for ref in refs:
            with pytest.raises(TypeError):
                rustray.get(ref)


def test_cancelled_tasks():
    @rustray.remote
    def slow(*_args):
        import time

        time.sleep(0.01)  # so that some are cancelled while they run
        return [np.ones(BIG), rustray.put(1)]

    refs = [slow.remote(np.ones(BIG), rustray.put(n)) for n in range(N // 10)]
    for number, ref in enumerate(refs):
        if number % 2:
            rustray.cancel(ref)
    for ref in refs:
        try:
            rustray.get(ref)
        except RustRayError:
            pass  # cancelled in time


def test_killed_workers():
    @rustray.remote(max_retries=1)
    def die(array, box):
        held = [rustray.put(np.ones(BIG)), rustray.get(box[0])]
        os.kill(os.getpid(), signal.SIGKILL)
        return held, array

    refs = [die.remote(np.ones(BIG), [big.remote()]) for _ in range(4)]
    for ref in refs:
        with pytest.raises(RustRayError):
            rustray.get(ref)


def test_lost_and_made_again():
    refs = [big.remote(big.remote()) for _ in range(20)]
    rustray.wait(refs, num_returns=len(refs))
    for ref in refs:
        eventually(lambda ref=ref: current().requests.query("lose", ref.binary()))
    assert sum(len(rustray.get(ref)) for ref in refs) == 20 * BIG


def test_actors_that_keep_references_and_drop_them():
    @rustray.remote
    class Keeper:
        def __init__(self):
            self.kept = []

        def keep(self, box, value=None):
            self.kept.append((box, value))
            return len(self.kept)

        def give(self):
            return self.kept[-1][0]

        def drop(self):
            self.kept.clear()
            return tables()

    keeper = Keeper.remote()
    for n in range(N // 10):
        keeper.keep.remote([rustray.put(n), big.remote()], big.remote())
    assert rustray.get(rustray.get(keeper.give.remote())[0]) == N // 10 - 1
    rustray.get(keeper.drop.remote())
    eventually(lambda: not rustray.get(keeper.drop.remote()))


def test_actors_killed_before_they_answer():
    @rustray.remote
    class Last:
        def make(self):
            def die(*_answer):
                os.kill(os.getpid(), signal.SIGKILL)

            Channel.answer = die  # what it gives is in the store by then
            return big._function()

    actors = [Last.remote(), Last.options(max_concurrency=2).remote()]
    for actor in actors:
        with pytest.raises(RustRayError):
            rustray.get(actor.make.remote())


def test_workers_killed_before_they_answer(tmp_path):
    @rustray.remote(max_retries=1)
    def make(path):
        def die(*_answer):
            os.kill(os.getpid(), signal.SIGKILL)

        if tick(path) == 1:
            Channel.answer = die
            return big._function()
        raise ValueError

    with pytest.raises(ValueError):
        rustray.get(make.remote(tmp_path / "runs"))
    assert ticks(tmp_path / "runs") == 2


def test_detached_actors():
    @rustray.remote(lifetime="detached", max_restarts=-1)
    class Lasting:
        def __init__(self, *given):
            self.given = given

        def sum(self):
            return int(self.given[0].sum()) + len(rustray.get(self.given[1][0]))

        def pid(self):
            return os.getpid()

    Lasting.options(name="lasting").remote(big.remote(), [rustray.put(np.ones(BIG))])
    for _life in range(2):
        tables()  # its last handle has gone
        lasting = rustray.get_actor("lasting")
        assert rustray.get(lasting.sum.remote()) == 2 * BIG
        os.kill(rustray.get(lasting.pid.remote()), signal.SIGKILL)
        del lasting
    rustray.kill(rustray.get_actor("lasting"))


def test_contents_of_results_that_are_made_again():
    @rustray.remote(num_returns=2)
    def make():
        return [rustray.put(1)], np.ones(BIG)

    for box, array in [make.remote() for _ in range(5)]:
        rustray.wait([array])
        eventually(lambda array=array: current().requests.query("lose", array.binary()))
        assert rustray.get(array).size == BIG
        assert rustray.get(rustray.get(box)[0]) == 1


def test_calls_that_are_cancelled_while_their_arguments_are_read(tmp_path):
    gate = Gate(tmp_path / "gate")

    @rustray.remote
    def make(path):
        if tick(path) == 2:
            gate.wait()
        return np.ones(BIG)

    @rustray.remote
    class Reader:
        async def read(self, *_arrays):
            pass

        async def tables(self):
            return tables()

    reader = Reader.remote()
    slow = make.remote(tmp_path / "runs")
    rustray.wait([slow])
    lost = slow.binary()
    eventually(lambda: current().requests.query("lose", lost))
    call = reader.read.remote(slow, big.remote())
    gate.wait_for_waiters()
    rustray.cancel(call)
    gate.open()
    with pytest.raises(TaskCancelledError):
        rustray.get(call)
    del slow, call
    eventually(lambda: not rustray.get(reader.tables.remote()))


def test_waiting_and_futures():
    refs = [small.remote(n) for n in range(N)]
    left = refs
    while left:
        _ready, left = rustray.wait(left, num_returns=min(100, len(left)))
    assert sum(ref.future().result() for ref in refs) == sum(range(N))
