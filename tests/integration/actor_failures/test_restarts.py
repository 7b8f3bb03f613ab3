"""Actors that come back, and the calls that wait for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rustray
from rustray.errors import (
    ActorDiedError,
    ActorUnavailableError,
)
from tests.integration.actor_failures.mortal import Mortal, state_of


def test_restarts() -> None:
    mortal = Mortal.options(max_restarts=2).remote()
    rustray.get([mortal.add.remote() for _ in range(3)])
    pids = set()
    for _ in range(2):
        pids.add(rustray.get(mortal.pid.remote()))
        died, after = mortal.die.remote(), mortal.add.remote()
        with pytest.raises(ActorUnavailableError, match="SIGKILL"):
            rustray.get(died)
        assert rustray.get(after) == 1  # its state is new; what had not begun waits for it
        assert rustray.get(mortal.again.remote())
    pids.add(rustray.get(mortal.pid.remote()))
    assert len(pids) == 3 and state_of(mortal)["restarts"] == 2
    with pytest.raises(ActorDiedError, match="SIGKILL"):
        rustray.get(mortal.die.remote())


def test_kill_with_restart() -> None:
    mortal = Mortal.options(max_restarts=1).remote()
    rustray.get(mortal.add.remote())
    rustray.kill(mortal, no_restart=False)
    assert rustray.get(mortal.add.remote()) == 1
    rustray.kill(mortal, no_restart=False)
    with pytest.raises(ActorDiedError):
        rustray.get(mortal.add.remote())


def test_calls_are_repeated_when_asked_for(tmp_path: Any) -> None:
    options = {"max_restarts": -1, "max_task_retries": 1}
    assert rustray.get(Mortal.options(**options).remote(tmp_path / "a").die_once.remote()) == "call 2"
    one = Mortal.options(max_restarts=-1).remote(tmp_path / "b")
    assert rustray.get(one.die_once.options(max_task_retries=1).remote()) == "call 2"
    two = Mortal.options(max_restarts=-1, max_concurrency=2, max_task_retries=-1).remote(tmp_path / "c")
    assert rustray.get(two.die_once.remote()) == "call 2"
    three = Mortal.options(**options).remote()
    with pytest.raises(ActorUnavailableError):
        rustray.get(three.die.remote())
    assert rustray.get(three.add.remote()) == 1


def test_exceptions_of_a_method_are_retried_when_asked_for() -> None:
    @rustray.remote
    class Flaky:
        tries = 0

        @rustray.method(max_task_retries=2, retry_exceptions=[KeyError])
        def f(self, succeeds_at: int) -> int:
            self.tries += 1
            if self.tries < succeeds_at:
                raise KeyError("not yet")
            return self.tries

        def plain(self, error: Exception) -> None:
            self.tries += 1
            raise error

        def count(self) -> int:
            return self.tries

    assert rustray.get(Flaky.remote().f.remote(3)) == 3
    with pytest.raises(KeyError):
        rustray.get(Flaky.remote().f.remote(4))
    flaky = Flaky.remote()
    with pytest.raises(ValueError):
        rustray.get(flaky.plain.options(max_task_retries=3, retry_exceptions=True).remote(ValueError("x")))
    assert rustray.get(flaky.count.remote()) == 4


def test_several_callers_and_a_storm_through_a_restart(tmp_path: Any) -> None:
    mortal = Mortal.options(max_restarts=1, max_task_retries=-1).remote(tmp_path / "file")

    @rustray.remote
    def call(mortal: Any, n: int) -> int:
        return len(rustray.get([mortal.add.remote() for _ in range(n)]))

    tasks = [call.remote(mortal, 1000) for _ in range(2)]
    refs = [mortal.add.remote() for _ in range(500)]
    once = mortal.die_once.remote()
    refs += [mortal.add.remote() for _ in range(500)]
    assert rustray.get(once) == "call 2" and len(rustray.get(refs)) == 1000
    assert rustray.get(tasks) == [1000, 1000]


def test_a_restart_has_its_big_arguments_again() -> None:
    @rustray.remote(max_restarts=1)
    class Holder:
        def __init__(self, array: Any, ref: list[Any], by_ref: Any) -> None:
            self.sums = array.sum(), rustray.get(ref[0]).sum(), by_ref.sum()

        def look(self) -> tuple[float, float, float]:
            return self.sums

    array = np.ones(200_000)
    holder = Holder.remote(array, [rustray.put(array)], rustray.put(array))
    expected = (200_000.0,) * 3
    assert rustray.get(holder.look.remote()) == expected
    rustray.kill(holder, no_restart=False)
    assert rustray.get(holder.look.remote()) == expected
