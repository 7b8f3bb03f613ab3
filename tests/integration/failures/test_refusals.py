"""What the cluster cannot or will not do is said at once."""

from __future__ import annotations

import dataclasses

import pytest

import rustray
from rustray import exceptions as errors
from rustray.driver.current import current


def test_said_at_once_with_what_is_missing_and_what_there_is():
    @rustray.remote(num_cpus=64)
    def f():
        pass

    with pytest.raises(errors.InfeasibleError, match=r"Missing: 62 CPU; the closest node has 2 CPU"):
        rustray.get(f.remote(), timeout=60)


def test_custom_resources():
    @rustray.remote(resources={"tape": 1})
    def f():
        pass

    with pytest.raises(errors.InfeasibleError, match="tape"):
        rustray.get(f.remote(), timeout=60)
    with pytest.raises(errors.InfeasibleError, match="tape"):
        rustray.get(f.remote(), timeout=60)


def test_gpus():
    @rustray.remote
    def f():
        pass

    with pytest.raises(errors.InfeasibleError, match="GPU"):
        rustray.get(f.options(num_gpus=1).remote(), timeout=60)


def test_a_coroutine_function_is_refused():
    with pytest.raises(ValueError, match="asyncio.run"):

        @rustray.remote
        async def f():
            pass


def test_a_request_that_the_node_cannot_handle_is_refused_and_the_session_goes_on():
    @rustray.remote
    def f():
        return 1

    @rustray.remote
    class Counter:
        def get(self):
            return 1

    # Past the check of options, as another version's client might be.
    f_bad, unnamed, named = f.options(), Counter.options(), Counter.options(name="refused")
    for bad in (f_bad, unnamed, named):
        bad._options = dataclasses.replace(bad._options, num_gpus=1.5)
    for _again in range(2):
        with pytest.raises(errors.InfeasibleError, match="whole number"):
            rustray.get(f_bad.remote(), timeout=20)
    with pytest.raises(errors.ActorDiedError, match="whole number"):
        rustray.get(unnamed.remote().get.remote(), timeout=20)
    with pytest.raises(errors.SessionError, match="whole number"):
        named.remote()
    with pytest.raises(errors.SessionError, match="cannot handle"):
        current().requests.query("store", "no", "arguments")
    assert rustray.get(Counter.options(name="refused").remote().get.remote(), timeout=20) == 1
