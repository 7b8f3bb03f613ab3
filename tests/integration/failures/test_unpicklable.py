"""What cannot be pickled is refused with the path to it, on whichever side it is met."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import rustray
from rustray import exceptions as errors


def test_argument():
    @rustray.remote
    def f(config):
        return config

    with pytest.raises(errors.SerializationError, match=r"'config'.*\['db'\]\['lock'\]"):
        f.remote({"db": {"lock": threading.Lock()}})
    with pytest.raises(TypeError, match="config"):
        f.remote(config=threading.Lock())


def test_value_of_put():
    with pytest.raises(errors.SerializationError, match=r"\[1\]"):
        rustray.put([1, threading.Lock()])


def test_result():
    @rustray.remote(max_retries=0)
    def f():
        return {"lock": threading.Lock()}

    with pytest.raises(errors.SerializationError, match=r"result of .*f\(\).*\['lock'\]"):
        rustray.get(f.remote())


def test_one_result_of_many():
    @rustray.remote(num_returns=2)
    def f():
        return np.ones(100_000), threading.Lock()

    for ref in f.remote():
        with pytest.raises(errors.SerializationError):
            rustray.get(ref)


def test_value_of_a_stream():
    @rustray.remote
    def f():
        yield 1
        yield threading.Lock()

    stream = f.remote()
    assert rustray.get(next(stream)) == 1
    with pytest.raises(errors.SerializationError):
        rustray.get(next(stream))


def test_the_function_itself():
    lock = threading.Lock()

    @rustray.remote
    def f():
        return lock

    with pytest.raises(errors.SerializationError, match="lock"):
        f.remote()


def test_what_only_the_worker_cannot_read():
    class Odd:
        def __reduce__(self):
            return int, ("not a number",)

    @rustray.remote
    def f(value):
        return value

    with pytest.raises(errors.DeserializationError, match="not a number"):
        rustray.get(f.remote(Odd()))
