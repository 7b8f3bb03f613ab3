"""Functions that nobody has run for a while are forgotten everywhere, and run again when they are called again."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import rustray
from rustray.driver import known_classes
from rustray.driver.current import current
from rustray.worker import code
from tests.integration.tasks.functions import BIG, CPUS
from tests.support import eventually, tick, ticks


@pytest.fixture
def forgetful(monkeypatch):
    """No class is known that is not used."""
    monkeypatch.setattr(known_classes, "KEPT", 0)
    monkeypatch.setattr(known_classes, "UNUSED_S", 0.0)
    monkeypatch.setattr(known_classes, "LOOK_EVERY_S", 0.0)


def forgotten(function):
    known = current().leases.known
    eventually(lambda: known.get(function._target.key) is None)


@pytest.mark.usefixtures("forgetful")
class TestForgotten:
    def test_is_told_again(self):
        @rustray.remote
        def add(x):
            return x + 1

        for x in range(3):
            assert rustray.get(add.remote(x)) == x + 1
            forgotten(add)

    def test_makes_a_lost_result_again(self, tmp_path):
        @rustray.remote
        def make(path, base):
            tick(path)
            return base + np.arange(BIG)

        ref = make.remote(tmp_path / "runs", rustray.put(np.ones(BIG)))
        rustray.wait([ref])
        forgotten(make)
        target = weakref.ref(make._target)
        del make
        gc.collect()
        assert target() is not None  # its task has it
        eventually(lambda: current().requests.query("lose", ref.binary()))
        assert rustray.get(ref)[10] == 11
        assert ticks(tmp_path / "runs") == 2
        ref = None
        eventually(lambda: (gc.collect(), target())[1] is None)

    def test_lets_go_of_what_it_captured(self):
        captured = rustray.put(np.ones(BIG))
        oid = captured.binary()

        def total():
            return rustray.get(captured).sum()

        remote = rustray.remote(total)
        assert rustray.get(remote.remote()) == BIG
        forgotten(remote)
        remote = total = captured = None
        eventually(lambda: (gc.collect(), oid in current().objects.entries)[1] is False)


def test_what_workers_have_forgotten_is_sent_again(monkeypatch):
    def made(x):
        return lambda: x

    leases, forgot = current().leases, []

    def on_messages(lease, messages, handle=leases._on_messages):
        forgot.extend(message for message in messages if message[0] == "forgot")
        handle(lease, messages)

    monkeypatch.setattr(leases, "_on_messages", on_messages)
    functions = [rustray.remote(num_cpus=CPUS)(made(x)) for x in range(2 * code.KEPT + 50)]
    for _ in range(2):
        assert [rustray.get(function.remote()) for function in functions] == list(range(len(functions)))
    assert forgot
