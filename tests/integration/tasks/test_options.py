"""Options of tasks, and the slots that tasks with real processes hold."""

from __future__ import annotations

import os
import time

import pytest

import rustray
from tests.integration.tasks.functions import CPUS, add, echo
from tests.support import eventually


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
