"""Tasks with real processes: arguments and results, streams, retries, lineage, nesting, waiting, cancelling."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import rustray
from rustray.driver.current import current
from tests.support import eventually

CPUS = 2
BIG = 200_000  # bytes: beyond what travels inline


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    rustray.init(num_cpus=CPUS, object_store_memory=256 << 20)
    yield
    rustray.shutdown()


@rustray.remote
def echo(*args, **kwargs):
    return (args, kwargs) if kwargs else args[0] if len(args) == 1 else args


@rustray.remote
def add(a, b=0):
    return a + b


@rustray.remote
def sleep_for(seconds, value=None):
    time.sleep(seconds)
    return value


def ticks(path: Path) -> int:
    """How often a task has noted in `path` that it ran."""
    return path.stat().st_size if path.exists() else 0


def tick(path: Path) -> int:
    """Note one run; gives its number, from 1 on."""
    with open(path, "ab", buffering=0) as file:
        file.write(b".")
        return file.tell()


class TestArguments:
    def test_positional_and_keyword(self):
        assert rustray.get(echo.remote(1, "two", three=3.0)) == ((1, "two"), {"three": 3.0})
        assert rustray.get(add.remote(1, b=2)) == 3

    def test_a_wrong_call_is_refused_where_it_is_made(self):
        for args, kwargs in (((), {}), ((1, 2, 3), {}), ((1,), {"c": 2})):
            with pytest.raises(TypeError, match=r"add.remote\(\): .*It takes \(a, b=0\)"):
                add.remote(*args, **kwargs)
        assert rustray.get(add.remote(b=rustray.put(1), a=rustray.put(2))) == 3

    def test_none_at_all(self):
        assert rustray.get(echo.remote()) == ()

    def test_top_level_refs_are_resolved_and_nested_ones_kept(self):
        one = rustray.put(1)
        args, kwargs = rustray.get(echo.remote(one, [one], key=one, nested={"ref": one}))
        assert args[0] == 1 and kwargs["key"] == 1
        assert args[1] == [one] and kwargs["nested"] == {"ref": one}
        assert rustray.get(args[1][0]) == 1

    def test_results_of_tasks_as_arguments(self):
        total = add.remote(0, 1)
        for _step in range(20):
            total = add.remote(total, b=add.remote(total))
        assert rustray.get(total) == 2**20

    def test_big_arguments_travel_through_the_store(self):
        before = rustray.get(echo.remote(np.arange(BIG, dtype=np.uint8)))
        assert before.nbytes == BIG and not before.flags.writeable

        @rustray.remote
        def total(a, *, b):
            return int(a.sum() + b.sum())

        a, b = np.ones(BIG), np.full(BIG, 2.0)
        assert rustray.get(total.remote(a, b=b)) == 3 * BIG
        assert rustray.get(total.remote(rustray.put(a), b=rustray.put(b))) == 3 * BIG

    def test_a_failed_argument_fails_the_task(self, tmp_path):
        @rustray.remote(max_retries=0)
        def fail():
            raise KeyError("lost key")

        @rustray.remote
        def use(_value):
            tick(tmp_path / "ran")

        with pytest.raises(KeyError, match="lost key"):
            rustray.get(use.remote(fail.remote()))
        assert ticks(tmp_path / "ran") == 0

    def test_arguments_are_taken_when_the_call_is_made(self):
        values = [1, 2]
        ref = echo.remote(values)
        values.append(3)
        assert rustray.get(ref) == [1, 2]

    def test_lambdas_and_local_classes(self):
        class Point:
            def __init__(self, x):
                self.x = x

        got = rustray.get(echo.remote(Point(3)))
        assert got.x == 3 and type(got) is Point
        assert rustray.get(rustray.remote(lambda f: f(2)).remote(lambda x: x + 1)) == 3


class TestReturns:
    def test_none_one_and_many(self):
        @rustray.remote
        def pair():
            return 1, np.zeros(BIG)

        assert pair.options(num_returns=0).remote() is None
        assert len(rustray.get(pair.remote())) == 2
        first, second = pair.options(num_returns=2).remote()
        assert rustray.get(first) == 1 and rustray.get(second).size == BIG

    def test_another_number_than_promised(self):
        @rustray.remote(num_returns=3)
        def two():
            return 1, 2

        for ref in two.remote():
            with pytest.raises(ValueError, match="num_returns=3 but returned 2"):
                rustray.get(ref)

    def test_refs_of_refs(self):
        @rustray.remote
        def submit(value):
            return echo.remote(value)

        inner = rustray.get(submit.remote("deep"))
        assert isinstance(inner, rustray.ObjectRef)
        assert rustray.get(inner) == "deep"
        big = rustray.get(submit.remote(np.ones(BIG)))
        assert rustray.get(big).sum() == BIG

    def test_refs_in_big_results(self):
        @rustray.remote
        def make():
            return [np.zeros(BIG), rustray.put("inside"), rustray.put(np.ones(BIG))]

        _array, small, big = rustray.get(make.remote())
        assert rustray.get(small) == "inside" and rustray.get(big).sum() == BIG


class TestStreams:
    def test_values_come_while_the_task_runs(self, tmp_path):
        @rustray.remote
        def count(path):
            for number in range(3):
                yield number
                while ticks(path) <= number:
                    time.sleep(0.005)

        stream = count.remote(tmp_path / "taken")
        for number, ref in enumerate(stream):
            assert rustray.get(ref) == number
            tick(tmp_path / "taken")
        assert number == 2

    def test_big_values(self):
        @rustray.remote(num_returns="streaming")
        def arrays(n):
            for number in range(n):
                yield np.full(BIG, number, dtype=np.uint8)

        for number, ref in enumerate(arrays.remote(10)):
            assert rustray.get(ref)[-1] == number

    def test_an_exception_midway_comes_after_the_good_values(self):
        @rustray.remote
        def break_off():
            yield 1
            yield 2
            raise ValueError("enough")

        stream = break_off.remote()
        assert [rustray.get(next(stream)), rustray.get(next(stream))] == [1, 2]
        with pytest.raises(ValueError, match="enough"):
            rustray.get(next(stream))
        with pytest.raises(StopIteration):
            next(stream)

    def test_async_iteration(self):
        @rustray.remote
        def letters():
            yield from "abc"

        async def collect():
            return [await ref async for ref in letters.remote()]

        assert asyncio.run(collect()) == ["a", "b", "c"]

    def test_more_values_than_a_task_can_have_results(self):
        @rustray.remote
        def many(n):
            yield from range(n)

        refs = list(many.remote(70_000))
        following = echo.remote("next")  # its id must not be that of a value
        assert len(set(refs)) == 70_000 and following not in set(refs)
        assert rustray.get(refs[65_530:65_540]) == list(range(65_530, 65_540))
        assert rustray.get(following) == "next"

    @pytest.mark.parametrize("after", [0, 1])
    def test_an_abandoned_one_ends(self, tmp_path, after):
        @rustray.remote(max_retries=0)
        def endless(path):
            tick(path)
            try:
                while True:
                    yield b"x" * 1000
            finally:
                (tmp_path / "ended").touch()

        values = endless.remote(tmp_path / "ran")
        for _ in range(after):
            next(values)
        eventually(lambda: ticks(tmp_path / "ran"))
        del values
        eventually(lambda: (tmp_path / "ended").exists())
        assert not current().tasks.children

    def test_not_a_generator(self):
        with pytest.raises(TypeError, match="streaming"):
            rustray.get(next(echo.options(num_returns="streaming").remote(1)))

    def test_a_retried_stream_gives_each_value_once(self, tmp_path):
        @rustray.remote(max_retries=2)
        def unsteady(path):
            run = tick(path)
            for number in range(6):
                if run == 1 and number == 3:
                    os.kill(os.getpid(), signal.SIGKILL)
                yield np.full(BIG, number) if number % 2 else number

        values = [np.max(rustray.get(ref)) for ref in unsteady.remote(tmp_path / "runs")]
        assert values == list(range(6)) and ticks(tmp_path / "runs") == 2


class TestOptions:
    def test_of_the_decorator_and_of_a_call(self):
        @rustray.remote(num_returns=2, name="halves")
        def split(value):
            return value[:1], value[1:]

        assert rustray.get(split.remote("ab")) == ["a", "b"]
        assert rustray.get(split.options(num_returns=1).remote("ab")) == ("a", "b")
        assert rustray.get(split.remote("cd")) == ["c", "d"]

    def test_an_unknown_one_names_the_nearest(self):
        with pytest.raises(rustray.exceptions.OptionError, match="num_cpus"):
            add.options(num_cpu=1)
        with pytest.raises(ValueError, match="max_retries"):
            rustray.remote(max_retry=1)(time.sleep)

    def test_a_remote_function_is_not_called_directly(self):
        with pytest.raises(TypeError, match=r"add\.remote"):
            add(1, 2)
        assert add._function(1, 2) == 3

    def test_threads_of_numerical_libraries_follow_num_cpus(self):
        @rustray.remote
        def threads():
            return os.environ["OMP_NUM_THREADS"], os.environ["OPENBLAS_NUM_THREADS"]

        if "OMP_NUM_THREADS" in os.environ:
            pytest.skip("OMP_NUM_THREADS is set, and is then left alone")
        assert rustray.get(threads.remote()) == ("1", "1")
        assert rustray.get(threads.options(num_cpus=2).remote()) == ("2", "2")


class TestRetries:
    def test_a_killed_worker_costs_one_try(self, tmp_path):
        @rustray.remote
        def unlucky(path):
            if tick(path) < 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return "done"

        assert rustray.get(unlucky.remote(tmp_path / "runs")) == "done"
        assert ticks(tmp_path / "runs") == 3

    def test_no_more_tries_than_allowed(self, tmp_path):
        @rustray.remote(max_retries=1)
        def doomed(path):
            tick(path)
            os.kill(os.getpid(), signal.SIGKILL)

        with pytest.raises(rustray.exceptions.WorkerCrashedError, match="SIGKILL"):
            rustray.get(doomed.remote(tmp_path / "runs"))
        assert ticks(tmp_path / "runs") == 2

    def test_none(self, tmp_path):
        @rustray.remote(max_retries=0)
        def doomed(path):
            tick(path)
            os.kill(os.getpid(), signal.SIGSEGV)

        with pytest.raises(rustray.exceptions.WorkerCrashedError, match="SIGSEGV"):
            rustray.get(doomed.remote(tmp_path / "runs"))
        assert ticks(tmp_path / "runs") == 1

    def test_tasks_that_had_not_begun_are_not_charged(self, tmp_path):
        @rustray.remote(max_retries=0)
        def work(path, fatal):
            if fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            tick(path)
            return "fine"

        rustray.get([work.remote(tmp_path / "warm", False) for _ in range(500)])
        refs = [work.remote(tmp_path / "runs", number == 100) for number in range(400)]
        for number, ref in enumerate(refs):
            if number == 100:
                with pytest.raises(rustray.exceptions.WorkerCrashedError):
                    rustray.get(ref)
            else:
                assert rustray.get(ref) == "fine"
        assert ticks(tmp_path / "runs") >= 399

    def test_exceptions_of_the_task_are_not_retried_unless_asked(self, tmp_path):
        @rustray.remote(max_retries=3)
        def moody(path, good_from):
            if (run := tick(path)) < good_from:
                raise OSError(f"run {run}") if run % 2 else KeyError(run)
            return run

        with pytest.raises(OSError, match="run 1"):
            rustray.get(moody.remote(tmp_path / "once", 3))
        assert rustray.get(moody.options(retry_exceptions=True).remote(tmp_path / "any", 4)) == 4
        with pytest.raises(KeyError):
            rustray.get(moody.options(retry_exceptions=[OSError]).remote(tmp_path / "some", 4))
        assert ticks(tmp_path / "some") == 2
        with pytest.raises(KeyError):
            rustray.get(moody.options(retry_exceptions=True, max_retries=1).remote(tmp_path / "few", 9))
        assert ticks(tmp_path / "few") == 2

    def test_own_exception_types(self, tmp_path):
        class Busy(Exception):
            pass

        @rustray.remote(retry_exceptions=[Busy])
        def busy(path):
            if tick(path) < 3:
                raise Busy
            return "free"

        assert rustray.get(busy.remote(tmp_path / "runs")) == "free"

    def test_big_results_are_published_once_whatever_happens(self, tmp_path):
        @rustray.remote
        def late_death(path):
            run = tick(path)
            if run == 1:
                threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGKILL)).start()
                time.sleep(10)
            return np.full(BIG, run)

        refs = [late_death.remote(tmp_path / f"runs-{n}") for n in range(3)]
        assert [int(rustray.get(ref)[0]) for ref in refs] == [2, 2, 2]


@pytest.mark.timeout(8)
class TestLineage:
    def lose(self, ref):
        eventually(lambda: current().requests.query("lose", ref.binary()))

    def test_a_lost_result_is_made_again(self, tmp_path):
        @rustray.remote
        def make(path, base):
            tick(path)
            return base + np.arange(BIG)

        ref = make.remote(tmp_path / "runs", rustray.put(np.ones(BIG)))
        rustray.wait([ref])
        self.lose(ref)
        assert rustray.get(ref)[10] == 11
        assert ticks(tmp_path / "runs") == 2

    def test_with_the_results_that_it_was_made_of(self, tmp_path):
        @rustray.remote
        def make(path, *before):
            tick(path)
            return np.ones(BIG) + sum(before)

        first = make.remote(tmp_path / "first")
        second = make.remote(tmp_path / "second", first)
        rustray.wait([second])
        lost = first.binary()
        del first
        eventually(lambda: current().requests.query("lose", lost))
        self.lose(second)
        assert rustray.get(second)[0] == 2
        assert ticks(tmp_path / "first") == 2 and ticks(tmp_path / "second") == 2

    def test_asked_for_by_a_task(self, tmp_path):
        @rustray.remote
        def make(path):
            tick(path)
            return np.ones(BIG)

        @rustray.remote
        def total(array, nested):
            return array.sum() + rustray.get(nested[0]).sum()

        one, two = make.remote(tmp_path / "one"), make.remote(tmp_path / "two")
        rustray.wait([one, two], num_returns=2)
        self.lose(one)
        self.lose(two)
        assert rustray.get(total.remote(one, [two])) == 2 * BIG

    def test_one_of_several_results(self, tmp_path):
        @rustray.remote(num_returns=2)
        def make(path):
            return np.full(BIG, tick(path)), np.zeros(BIG)

        first, second = make.remote(tmp_path / "runs")
        rustray.wait([first, second], num_returns=2)
        self.lose(first)
        assert rustray.get(first)[0] == 2 and rustray.get(second).sum() == 0

    def test_what_was_put_cannot_be_made_again(self):
        ref = rustray.put(np.ones(BIG))
        self.lose(ref)
        with pytest.raises(rustray.exceptions.ObjectLostError, match="cannot be made again"):
            rustray.get(ref)

    def test_nor_what_may_not_be_repeated(self):
        @rustray.remote(max_retries=0)
        def make():
            return np.ones(BIG)

        ref = make.remote()
        rustray.wait([ref])
        self.lose(ref)
        with pytest.raises(rustray.exceptions.ObjectLostError):
            rustray.get(ref)


class TestNesting:
    def test_deeper_than_there_are_workers(self):
        @rustray.remote(num_cpus=CPUS)
        def nest(depth):
            return 1 if depth == 0 else 1 + rustray.get(nest.remote(depth - 1))

        assert rustray.get(nest.remote(4)) == 5

    def test_fan_out_inside_tasks(self):
        @rustray.remote
        def square(x):
            return x * x

        @rustray.remote
        def fan(n):
            return sum(rustray.get([square.remote(i) for i in range(n)]))

        assert rustray.get([fan.remote(50) for _ in range(6)]) == [sum(i * i for i in range(50))] * 6

    def test_refs_outlive_the_task_that_made_them(self):
        @rustray.remote
        def start():
            return {
                "small": rustray.put(1),
                "big": rustray.put(np.ones(BIG)),
                "later": sleep_for.remote(0.2, 7),
            }

        made = rustray.get(start.remote())
        assert rustray.get(made["small"]) == 1
        assert rustray.get(made["big"]).sum() == BIG
        assert rustray.get(made["later"]) == 7

    def test_a_remote_function_calls_itself_and_others(self):
        @rustray.remote
        def fib(n):
            return n if n < 2 else sum(rustray.get([fib.remote(n - 1), fib.remote(n - 2)]))

        assert rustray.get(fib.remote(6)) == 8


class TestWait:
    def test_ready_and_not_ready_keep_their_order(self):
        slow = [sleep_for.remote(5, n) for n in range(2)]
        quick = [rustray.put(n) for n in range(4)]
        refs = [quick[0], slow[0], quick[1], slow[1], quick[2], quick[3]]
        ready, rest = rustray.wait(refs, num_returns=3)
        assert ready == [quick[0], quick[1], quick[2]]
        assert rest == [slow[0], slow[1], quick[3]]
        for ref in slow:
            rustray.cancel(ref)

    def test_timeout(self):
        ref = sleep_for.remote(5)
        start = time.monotonic()
        assert rustray.wait([ref], timeout=0) == ([], [ref])
        assert rustray.wait([ref], timeout=0.1) == ([], [ref])
        assert time.monotonic() - start < 3
        rustray.cancel(ref)

    def test_zero_timeout_sees_what_is_there(self):
        refs = [echo.remote(n) for n in range(5)]
        rustray.get(refs)
        assert rustray.wait(refs, num_returns=5, timeout=0) == (refs, [])

    def test_failed_is_ready(self):
        ready, _rest = rustray.wait([add.remote("a", 1)])
        assert len(ready) == 1

    def test_refused(self):
        ref = rustray.put(1)
        with pytest.raises(ValueError, match="twice"):
            rustray.wait([ref, ref])
        with pytest.raises(ValueError, match="only 1"):
            rustray.wait([ref], num_returns=2)
        with pytest.raises(TypeError):
            rustray.wait(ref)
        with pytest.raises(TypeError, match="ObjectRef"):
            rustray.get([ref, 3])

    def test_get_with_a_timeout(self):
        ref = sleep_for.remote(5)
        with pytest.raises(rustray.exceptions.GetTimeoutError, match="0.1 s"):
            rustray.get(ref, timeout=0.1)
        with pytest.raises(TimeoutError):
            rustray.get([rustray.put(1), ref], timeout=0)
        rustray.cancel(ref)


class TestCancel:
    @pytest.fixture(autouse=True)
    def idle(self):
        """Start and end with free workers."""
        yield
        eventually(lambda: rustray.available_resources().get("CPU") == CPUS)

    def cancelled(self, ref):
        with pytest.raises(rustray.exceptions.TaskCancelledError):
            rustray.get(ref, timeout=10)

    def test_queued(self, tmp_path):
        @rustray.remote
        def note(path):
            tick(path)

        blockers = [sleep_for.options(num_cpus=1).remote(30) for _ in range(CPUS)]
        ref = note.remote(tmp_path / "ran")
        rustray.cancel(ref)
        self.cancelled(ref)
        for blocker in blockers:
            rustray.cancel(blocker)
            self.cancelled(blocker)
        assert ticks(tmp_path / "ran") == 0

    def test_waiting_for_its_argument(self):
        slow = sleep_for.remote(30, 1)
        ref = add.remote(slow)
        rustray.cancel(ref)
        self.cancelled(ref)
        rustray.cancel(slow)
        self.cancelled(slow)

    def test_running_python(self, tmp_path):
        @rustray.remote
        def spin(path):
            tick(path)
            while True:
                pass

        ref = spin.remote(tmp_path / "ran")
        eventually(lambda: ticks(tmp_path / "ran"))
        rustray.cancel(ref)
        self.cancelled(ref)

    def test_a_running_stream(self, tmp_path):
        @rustray.remote
        def endless(path):
            number = 0
            while True:
                yield number
                number += 1
                time.sleep(0.01)

        stream = endless.remote(tmp_path / "ran")
        assert rustray.get(next(stream)) == 0
        rustray.cancel(stream)
        with pytest.raises(rustray.exceptions.TaskCancelledError):
            for ref in stream:
                rustray.get(ref, timeout=10)

    def test_force_ends_what_does_not_listen(self, tmp_path):
        @rustray.remote
        def deaf(path):
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            tick(path)
            time.sleep(60)

        ref = deaf.remote(tmp_path / "ran")
        eventually(lambda: ticks(tmp_path / "ran"))
        rustray.cancel(ref, force=True)
        self.cancelled(ref)
        assert ticks(tmp_path / "ran") == 1

    def test_force_leaves_the_other_tasks_alone(self, tmp_path):
        @rustray.remote(max_retries=0)
        def work(path, seconds=0.0):
            tick(path)
            time.sleep(seconds)
            return "fine"

        rustray.get([work.remote(tmp_path / "warm") for _ in range(300)])
        running = [work.remote(tmp_path / "running", 0.5) for _ in range(CPUS)]
        queued = [work.remote(tmp_path / "queued") for _ in range(100)]
        for ref in queued[::2]:
            rustray.cancel(ref, force=True)
        assert rustray.get(running) == ["fine"] * CPUS
        assert rustray.get(queued[1::2]) == ["fine"] * 50
        for ref in queued[::2]:
            self.cancelled(ref)

    def test_what_the_task_has_submitted_goes_too(self, tmp_path):
        @rustray.remote
        def child(path):
            tick(path)
            time.sleep(60)

        @rustray.remote
        def parent(path):
            return rustray.get(child.remote(path))

        ref = parent.remote(tmp_path / "child")
        eventually(lambda: ticks(tmp_path / "child"))
        rustray.cancel(ref)
        self.cancelled(ref)

    def test_a_task_that_waits_in_get(self, tmp_path):
        slow = sleep_for.remote(30)

        @rustray.remote
        def wait_for(refs, path):
            tick(path)
            return rustray.get(refs[0])

        ref = wait_for.remote([slow], tmp_path / "ran")
        eventually(lambda: ticks(tmp_path / "ran"))
        rustray.cancel(ref)
        self.cancelled(ref)
        rustray.cancel(slow)
        self.cancelled(slow)

    def test_finished(self):
        ref = echo.remote("value")
        assert rustray.get(ref) == "value"
        rustray.cancel(ref)
        rustray.cancel(ref, force=True)
        assert rustray.get(ref) == "value"
        rustray.cancel(rustray.put(1))

    def test_cleaning_up_is_possible(self, tmp_path):
        @rustray.remote
        def tidy(path):
            try:
                tick(path)
                time.sleep(60)
            finally:
                (path.parent / "cleaned").touch()

        ref = tidy.remote(tmp_path / "ran")
        eventually(lambda: ticks(tmp_path / "ran"))
        rustray.cancel(ref)
        self.cancelled(ref)
        assert (tmp_path / "cleaned").exists()


class TestInterrupt:
    def test_get_can_be_interrupted_and_the_session_goes_on(self):
        slow = sleep_for.remote(1.0, "late")
        for _again in range(3):
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
            with pytest.raises(KeyboardInterrupt):
                rustray.get(slow)
        assert rustray.get([echo.remote(n) for n in range(100)]) == list(range(100))
        assert rustray.get(slow) == "late"


def test_unused_leases_are_given_back():
    rustray.get([echo.remote(n) for n in range(10)])
    eventually(lambda: rustray.available_resources().get("CPU") == CPUS)


def test_classes_take_turns_on_one_slot():
    @rustray.remote(num_cpus=CPUS)
    def one():
        return 1

    @rustray.remote(num_cpus=CPUS)
    def two():
        return 2

    for _turn in range(10):
        assert rustray.get([one.remote(), two.remote()]) == [1, 2]


def test_a_task_knows_what_it_was_given():
    @rustray.remote(num_cpus=2)
    def given():
        return rustray.get_runtime_context().get_assigned_resources()

    assert rustray.get(given.remote()) == {"CPU": 2.0}
    assert rustray.get_runtime_context().get_assigned_resources() == {}
