"""Exceptions of tasks come home: of their own type, and with the remote traceback."""

from __future__ import annotations

import threading

import pytest

import rustray
from rustray import exceptions as errors


def test_of_the_users_type_with_the_remote_traceback():
    class Broken(Exception):
        def __init__(self, code, *, hint):
            super().__init__(code)
            self.hint = hint

    @rustray.remote
    def inner_function():
        raise Broken(42, hint="glue")

    with pytest.raises(Broken) as caught:
        rustray.get(inner_function.remote())
    assert isinstance(caught.value, errors.TaskError)
    assert caught.value.args == (42,) and caught.value.hint == "glue"
    assert "in inner_function" in str(caught.value) and "Broken" in str(caught.value)
    assert "rustray/worker" not in str(caught.value)


def test_through_several_tasks():
    @rustray.remote
    def inner():
        raise LookupError("at the bottom")

    @rustray.remote
    def outer():
        return rustray.get(inner.remote())

    with pytest.raises(LookupError) as caught:
        rustray.get(outer.remote())
    assert "at the bottom" in str(caught.value) and "outer" in str(caught.value)


def test_that_do_not_pickle():
    class Stubborn(Exception):
        def __init__(self):
            super().__init__("stubborn text")
            self.lock = threading.Lock()

    @rustray.remote
    def f():
        raise Stubborn

    with pytest.raises(errors.TaskError, match="stubborn text"):
        rustray.get(f.remote())


def test_stop_iteration():
    @rustray.remote
    def f():
        raise StopIteration("not for you")

    with pytest.raises(errors.TaskError, match="not for you"):
        rustray.get(f.remote())


def test_each_get_raises_again():
    @rustray.remote
    def f():
        return 1 / 0

    ref = f.remote()
    for _again in range(2):
        with pytest.raises(ZeroDivisionError):
            rustray.get(ref)


def test_in_a_list_of_refs():
    @rustray.remote
    def f(x):
        return 1 // x

    with pytest.raises(ZeroDivisionError):
        rustray.get([f.remote(1), f.remote(0), f.remote(1)])
