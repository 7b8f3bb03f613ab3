"""Actors that die for good: on purpose, by accident, and before they are born."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import Any

import pytest

import rustray
from rustray.actor import exit_actor
from rustray.errors import (
    ActorDiedError,
    TaskError,
)
from tests.integration.actor_failures.mortal import Mortal, state_of
from tests.support import eventually, lives


@pytest.mark.parametrize("how, told", [("kill", "SIGKILL"), ("segv", "SIGSEGV"), ("3", "status 3")])
def test_a_crash_is_told_with_its_cause(how: str, told: str) -> None:
    mortal = Mortal.remote()
    refs = [mortal.add.remote(), mortal.die.remote(how), mortal.add.remote()]
    assert rustray.get(refs[0]) == 1
    for ref in (*refs[1:], mortal.add.remote()):
        with pytest.raises(ActorDiedError, match=told) as caught:
            rustray.get(ref)
        assert "Mortal" in str(caught.value) and caught.value.actor_id is not None


@pytest.mark.parametrize("how", ["exit_actor", "0"])
@pytest.mark.parametrize("concurrency", [1, 2])
def test_an_actor_that_ends_itself_is_not_restarted(how: str, concurrency: int) -> None:
    mortal = Mortal.options(max_restarts=-1, max_task_retries=-1, max_concurrency=concurrency).remote()
    pid = rustray.get(mortal.pid.remote())
    with pytest.raises(ActorDiedError, match="exit"):
        rustray.get(mortal.die.remote(how))
    with pytest.raises(ActorDiedError, match="exit"):
        rustray.get(mortal.add.remote())
    eventually(lambda: not lives(pid))
    assert state_of(mortal)["restarts"] == 0


def test_ray_terminate_ends_an_actor_after_its_calls() -> None:
    mortal = Mortal.options(max_restarts=1).remote()
    refs = [mortal.add.remote() for _ in range(500)]
    end = mortal.__ray_terminate__.remote()
    assert rustray.get(refs) == list(range(1, 501))
    with pytest.raises(ActorDiedError):
        rustray.get(end)


def test_calls_that_run_beside_exit_actor_are_finished(tmp_path: Any) -> None:
    @rustray.remote
    class Leaver:
        def __init__(self) -> None:
            self.event = asyncio.Event()

        async def slow(self) -> str:
            await self.event.wait()
            await asyncio.sleep(0.5)  # so that the other call leaves meanwhile
            return "finished"

        async def leave(self) -> None:
            try:
                exit_actor()
            finally:
                self.event.set()

    leaver = Leaver.remote()
    slow, leave = leaver.slow.remote(), leaver.leave.remote()
    assert rustray.get(slow) == "finished"
    with pytest.raises(ActorDiedError, match="exit_actor"):
        rustray.get(leave)

    @rustray.remote(max_concurrency=2)
    class ThreadedLeaver:
        def __init__(self) -> None:
            self.event = threading.Event()

        def slow(self) -> str:
            self.event.wait()
            time.sleep(0.5)  # so that the other call leaves meanwhile
            return "finished"

        def leave(self) -> None:
            try:
                exit_actor()
            finally:
                self.event.set()

    threaded = ThreadedLeaver.remote()
    slow, leave, queued = threaded.slow.remote(), threaded.leave.remote(), threaded.slow.remote()
    assert rustray.get(slow) == "finished"
    for ref in (leave, queued):
        with pytest.raises(ActorDiedError):
            rustray.get(ref)


def test_a_failed_constructor_fails_every_call() -> None:
    @rustray.remote(max_restarts=-1)
    class Unborn:
        def __init__(self, fail: bool) -> None:
            if fail:
                raise KeyError("no such thing")

        def call(self) -> None: ...

    unborn = Unborn.remote(True)
    first = unborn.call.remote()

    @rustray.remote
    def ask(handle: Any) -> None:
        rustray.get(handle.call.remote())

    for ref in (first, unborn.call.remote()):
        with pytest.raises(ActorDiedError) as caught:
            rustray.get(ref)
        assert 'raise KeyError("no such thing")' in str(caught.value)
        assert isinstance(caught.value.__cause__, KeyError)
        assert isinstance(caught.value.__cause__, TaskError)
    with pytest.raises(ActorDiedError, match="no such thing"):
        rustray.get(ask.remote(unborn))


def test_a_failed_argument_of_the_constructor_fails_every_call() -> None:
    @rustray.remote
    def bad() -> None:
        raise ValueError("bad argument")

    late = Mortal.remote(bad.remote())
    ref = bad.remote()
    rustray.wait([ref])
    for mortal in (late, Mortal.remote(ref), Mortal.options(name="unlucky").remote(ref)):
        with pytest.raises(ActorDiedError, match="bad argument"):
            rustray.get(mortal.add.remote())


def test_a_constructor_that_crashes_is_tried_as_often_as_restarts_allow(tmp_path: Any) -> None:
    @rustray.remote(max_restarts=2)
    class Crasher:
        def __init__(self, path: str) -> None:
            with open(path, "a") as file:
                file.write("x")
            os._exit(7)

        def call(self) -> None: ...

    path = tmp_path / "tries"
    crasher = Crasher.remote(str(path))
    with pytest.raises(ActorDiedError, match="status 7"):
        rustray.get(crasher.call.remote())
    assert path.read_text() == "xxx"


def test_kill() -> None:
    mortal = Mortal.options(max_restarts=5).remote()
    pid = rustray.get(mortal.pid.remote())
    rustray.kill(mortal)
    with pytest.raises(ActorDiedError, match="kill"):
        rustray.get(mortal.add.remote())
    eventually(lambda: not lives(pid))
    rustray.kill(mortal)  # once more is no error

    born_dead = Mortal.remote()
    rustray.kill(born_dead)
    with pytest.raises(ActorDiedError):
        rustray.get(born_dead.add.remote())
