"""What functions and classes capture travels with their code."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import pytest

import rustray
from rustray import errors

SMALL = np.arange(3)
BIG = np.ones(200_000)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    rustray.init(num_cpus=2)
    yield
    rustray.shutdown()


def by_value(function):
    # As in a notebook: pickled by value, with the globals that it uses.
    function.__module__ = "__main__"
    return function


def test_an_array_from_outside():
    weights = np.arange(4.0)

    @rustray.remote
    def closure(x):
        return (weights * x).sum() + SMALL.sum()

    @rustray.remote
    def default(x, w=np.ones(2)):  # noqa: B008
        return w * x

    assert rustray.get(closure.remote(2)) == 15
    assert rustray.get(default.remote(3)).tolist() == [3, 3]
    of_global = rustray.remote(by_value(lambda: BIG.sum()))
    assert rustray.get(of_global.remote()) == 200_000
    of_partial = rustray.remote(functools.partial(lambda a, x: a + x, weights))
    assert rustray.get(of_partial.remote(1)).tolist() == [1, 2, 3, 4]


def test_an_array_in_an_actor_class():
    weights = np.arange(4.0)

    @rustray.remote
    class Model:
        def predict(self, x):
            return float((weights * x).sum())

    assert rustray.get(Model.remote().predict.remote(2)) == 12


@pytest.mark.parametrize("value", [41, np.ones(100_000)], ids=["small", "big"])
def test_a_captured_ref_lives_as_long_as_the_function(value):
    ref = rustray.put(value)

    @rustray.remote
    def read():
        return np.sum(rustray.get(ref))  # noqa: F821  deleted below, and alive all the same

    captured = read.remote
    assert rustray.get(captured()) == np.sum(value)
    del ref
    assert rustray.get(captured()) == np.sum(value)


def test_a_ref_captured_by_a_task_that_is_still_pending():
    @rustray.remote
    def slow():
        return 7

    ref = slow.remote()

    @rustray.remote
    def read():
        return rustray.get(ref) + 1

    assert rustray.get(read.remote(), timeout=20) == 8


def test_a_ref_in_an_actor_class():
    ref = rustray.put(np.ones(100_000))

    @rustray.remote
    class Holder:
        def total(self):
            return float(rustray.get(ref).sum())

    holder = Holder.remote()
    assert rustray.get(holder.total.remote()) == 100_000


def test_too_much_is_refused():
    huge = np.zeros(100 << 20, np.uint8)

    @rustray.remote
    def use():
        return len(huge)

    with pytest.raises(errors.SerializationError, match="put()"):
        use.remote()
