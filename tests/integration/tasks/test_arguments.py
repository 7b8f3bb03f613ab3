"""What goes into tasks with real processes and what comes out: arguments, results, refs, tasks of tasks."""

from __future__ import annotations

import numpy as np
import pytest

import rustray
from tests.integration.tasks.functions import BIG, CPUS, add, echo, hold
from tests.support import Gate, tick, ticks


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
            with pytest.raises(ValueError, match="num_returns=3 but returned 2") as told:
                rustray.get(ref)
            assert "executor.py" not in str(told.value) and "File" not in str(told.value)

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

    def test_refs_outlive_the_task_that_made_them(self, tmp_path):
        gate = Gate(tmp_path / "gate")

        @rustray.remote
        def start():
            return {
                "small": rustray.put(1),
                "big": rustray.put(np.ones(BIG)),
                "later": hold.remote(gate, 7),
            }

        made = rustray.get(start.remote())
        assert rustray.get(made["small"]) == 1
        assert rustray.get(made["big"]).sum() == BIG
        gate.open()
        assert rustray.get(made["later"]) == 7

    def test_a_remote_function_calls_itself_and_others(self):
        @rustray.remote
        def fib(n):
            return n if n < 2 else sum(rustray.get([fib.remote(n - 1), fib.remote(n - 2)]))

        assert rustray.get(fib.remote(6)) == 8
