"""wait and get: timeouts, order, misuse, interrupts."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

import rustray
from rustray.driver.current import current
from tests.integration.tasks.functions import BIG, add, echo, hold
from tests.support import Gate, eventually, threads_in_get


@pytest.fixture
def gate(tmp_path):
    """Of tasks that are to be waited for in vain: it opens at the end of the test."""
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.open()


class TestWait:
    def test_ready_and_not_ready_keep_their_order(self, gate):
        slow = [hold.remote(gate, n) for n in range(2)]
        quick = [rustray.put(n) for n in range(4)]
        refs = [quick[0], slow[0], quick[1], slow[1], quick[2], quick[3]]
        ready, rest = rustray.wait(refs, num_returns=3)
        assert ready == [quick[0], quick[1], quick[2]]
        assert rest == [slow[0], slow[1], quick[3]]

    def test_timeout(self, gate):
        ref = hold.remote(gate)
        start = time.monotonic()
        assert rustray.wait([ref], timeout=0) == ([], [ref])
        assert rustray.wait([ref], timeout=0.1) == ([], [ref])
        assert time.monotonic() - start < 20  # the gate is opened by nobody

    def test_zero_timeout_sees_what_is_there(self):
        refs = [echo.remote(n) for n in range(5)]
        rustray.get(refs)
        assert rustray.wait(refs, num_returns=5, timeout=0) == (refs, [])

    def test_what_was_only_waited_for_may_be_moved(self):
        @rustray.remote
        def boxes():
            return [rustray.put(bytes(BIG)) for _ in range(3)]

        refs = rustray.get(boxes.remote())
        assert rustray.wait(refs, num_returns=3) == (refs, [])
        eventually(lambda: current().requests.query("lose", refs[0].binary()))
        assert rustray.get(refs[1:]) == [bytes(BIG)] * 2

    def test_failed_is_ready(self):
        ready, _rest = rustray.wait([add.remote("a", 1)])
        assert len(ready) == 1

    def test_refused(self):
        ref = rustray.put(1)
        with pytest.raises(ValueError, match="twice"):
            rustray.wait([ref, ref])
        with pytest.raises(ValueError, match="only 1"):
            rustray.wait([ref], num_returns=2)
        with pytest.raises(TypeError):
            rustray.wait(ref)
        with pytest.raises(TypeError, match="ObjectRef"):
            rustray.get([ref, 3])

    def test_get_with_a_timeout(self, gate):
        ref = hold.remote(gate)
        with pytest.raises(rustray.exceptions.GetTimeoutError, match="0.1 s"):
            rustray.get(ref, timeout=0.1)
        with pytest.raises(TimeoutError):
            rustray.get([rustray.put(1), ref], timeout=0)


class TestInterrupt:
    def test_get_can_be_interrupted_and_the_session_goes_on(self, gate):
        slow = hold.remote(gate, "late")

        def interrupt():
            eventually(threads_in_get)
            os.kill(os.getpid(), signal.SIGINT)

        for _again in range(3):
            with pytest.raises(KeyboardInterrupt):
                threading.Thread(target=interrupt).start()
                rustray.get(slow)
        assert rustray.get([echo.remote(n) for n in range(100)]) == list(range(100))
        gate.open()
        assert rustray.get(slow) == "late"
