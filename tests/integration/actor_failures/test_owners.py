"""Actors and the driver or worker that made them: who ends with whom."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rustray
from rustray.driver.current import current
from rustray.errors import (
    ActorDiedError,
    ActorNotFoundError,
    ActorUnavailableError,
    SessionError,
)
from rustray.testing import Cluster
from rustray.util import list_named_actors
from tests.integration.actor_failures.mortal import Mortal
from tests.support import Gate, eventually, lives


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


def test_no_actor_ends_a_worker_whose_refs_others_have(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")

    @rustray.remote
    def held() -> str:
        gate.wait()
        return "value"

    @rustray.remote
    def later() -> Any:
        return os.getpid(), held.remote()

    pid, ref = rustray.get(later.remote())
    eventually(lambda: not current().leases._leases)  # the worker is idle
    mortal = Mortal.options(num_cpus=0).remote()
    assert rustray.get(mortal.pid.remote()) != pid
    rustray.kill(mortal)
    gate.open()
    assert rustray.get(ref) == "value"


DRIVER = """
import sys, os, rustray
rustray.init(sys.argv[1], namespace="tests")

@rustray.remote
def nested(x):
    return 2 * x

@rustray.remote
class Service:
    def __init__(self, start=0, array=(), box=()):
        self.n = start
        self.bytes = [len(array), *(len(rustray.get(ref)) for ref in box)]
        self.child = None
    def sizes(self):
        return self.bytes
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

lasting = Service.options(name="service", lifetime="detached", max_restarts=1).remote(
    5, rustray.put(bytes(200_000)), [rustray.put(bytes(300_000))]
)
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
    assert rustray.get(service.sizes.remote()) == [200_000, 300_000]
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
import gc, weakref
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
argument = A
kept = weakref.ref(argument)
try:
    a.f.remote(argument)
except rustray.exceptions.SessionError:
    del argument, A
gc.collect()
print(kept() is None)
rustray.init({standalone.address!r})
try:
    rustray.get(a.f.remote())
except rustray.exceptions.SessionError as error:
    print(type(error).__name__)
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    name = SessionError.__name__
    assert told.stdout.split() == [name, name, "True", name], told.stderr
