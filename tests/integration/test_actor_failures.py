"""Actors that die: on purpose, by accident, with their driver; and those that come back."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import rustray
from rustray.actor import exit_actor
from rustray.driver.current import current
from rustray.errors import (
    ActorDiedError,
    ActorNotFoundError,
    ActorUnavailableError,
    SessionError,
    TaskError,
)
from rustray.testing import Cluster
from rustray.util import list_named_actors
from tests.support import eventually, lives


@pytest.fixture(scope="module")
def standalone() -> Iterator[Cluster]:
    """A cluster that outlives its drivers."""
    with Cluster(num_cpus=2) as cluster:
        yield cluster


@pytest.fixture(scope="module", autouse=True)
def driver(standalone: Cluster) -> Iterator[None]:
    rustray.init(standalone.address, namespace="tests")
    yield
    rustray.shutdown()


def state_of(actor: Any) -> dict[str, Any]:
    (row,) = [row for row in current().requests.query("actors") if row["id"] == actor._actor_id]
    return dict(row)


@rustray.remote
class Mortal:
    def __init__(self, path: Any = None) -> None:
        self.path = path and str(path)
        self.n = 0

    def add(self) -> int:
        self.n += 1
        return self.n

    def pid(self) -> int:
        return os.getpid()

    def again(self) -> bool:
        return rustray.get_runtime_context().was_current_actor_reconstructed

    def die(self, how: str = "kill") -> None:
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif how == "segv":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif how == "exit_actor":
            exit_actor()
        else:
            sys.exit(int(how))

    def die_once(self) -> str:
        """Dies at its first call; the file tells the next incarnation."""
        with open(self.path, "a") as file:
            file.write("x")
        if os.path.getsize(self.path) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return f"call {os.path.getsize(self.path)}"


# -- dying for good


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
            await asyncio.sleep(0.1)  # so that the other call leaves meanwhile
            return "finished"

        async def leave(self) -> None:
            self.event.set()
            exit_actor()

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
            time.sleep(0.1)  # so that the other call leaves meanwhile
            return "finished"

        def leave(self) -> None:
            self.event.set()
            exit_actor()

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


# -- coming back


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


# -- owners


def test_actors_die_with_the_worker_that_made_them() -> None:
    @rustray.remote(max_restarts=1)
    class Parent:
        def __init__(self) -> None:
            self.child = Mortal.options(name="child", max_restarts=-1).remote()
            self.lasting = Mortal.options(name="lasting", lifetime="detached").remote()

        def children(self) -> Any:
            rustray.get([self.child.add.remote(), self.lasting.add.remote()])
            return self.child, self.lasting

    parent = Parent.options(max_restarts=0).remote()
    child, lasting = rustray.get(parent.children.remote())
    rustray.kill(parent)
    eventually(lambda: "child" not in list_named_actors())
    with pytest.raises(ActorDiedError, match="created it"):
        rustray.get(child.add.remote())
    assert rustray.get(lasting.add.remote()) == 2
    rustray.kill(lasting)


DRIVER = """
import sys, os, rustray
rustray.init(sys.argv[1], namespace="tests")

@rustray.remote
def nested(x):
    return 2 * x

@rustray.remote
class Service:
    def __init__(self, start=0):
        self.n = start
        self.child = None
    def add(self):
        self.n += 1
        return self.n
    def work(self, x):
        return rustray.get(nested.remote(x))
    def make(self):
        self.child = Service.remote(10)
        return rustray.get(self.child.add.remote())
    def pid(self):
        return os.getpid()
    def die(self):
        os._exit(1)

lasting = Service.options(name="service", lifetime="detached", max_restarts=1).remote(5)
mortal = Service.options(name="mortal").remote()
rustray.get([lasting.add.remote(), mortal.add.remote(), lasting.work.remote(1)])
print(rustray.get(mortal.pid.remote()), flush=True)
if sys.argv[2] == "killed":
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("end", ["ended", "killed"])
def test_detached_actors_outlive_their_driver(standalone: Cluster, end: str) -> None:
    told = subprocess.run(
        [sys.executable, "-c", DRIVER, standalone.address, end], capture_output=True, text=True, timeout=40
    )
    assert told.stdout.strip(), told.stderr
    mortal_pid = int(told.stdout)
    eventually(lambda: not lives(mortal_pid))
    with pytest.raises(ActorNotFoundError):
        rustray.get_actor("mortal")
    service = rustray.get_actor("service")
    assert rustray.get(service.add.remote()) == 7
    assert rustray.get([service.work.remote(x) for x in (2, 3)]) == [4, 6]
    assert rustray.get(service.make.remote()) == 11
    # It restarts, although its driver has gone.
    with pytest.raises(ActorUnavailableError):
        rustray.get(service.die.remote())
    assert rustray.get(service.add.remote()) == 6
    assert rustray.get(service.work.remote(4)) == 8
    pid = rustray.get(service.pid.remote())
    del service
    assert rustray.get(rustray.get_actor("service").add.remote()) == 7
    rustray.kill(rustray.get_actor("service"))
    eventually(lambda: not lives(pid))
    with pytest.raises(ActorNotFoundError):
        rustray.get_actor("service")


def test_handles_of_a_session_that_has_ended(standalone: Cluster) -> None:
    program = f"""
import rustray
rustray.init({standalone.address!r})
@rustray.remote
class A:
    def f(self): return 1
a = A.remote()
ref = a.f.remote()
rustray.get(ref)
rustray.shutdown()
for call in (lambda: rustray.get(a.f.remote()), lambda: rustray.kill(a)):
    try:
        call()
    except rustray.exceptions.SessionError as error:
        print(type(error).__name__)
rustray.init({standalone.address!r})
try:
    rustray.get(a.f.remote())
except rustray.exceptions.SessionError as error:
    print(type(error).__name__)
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=40)
    assert told.stdout.split() == [SessionError.__name__] * 3, told.stderr
