"""Tasks with real processes that are cancelled, before they run and while they do."""

from __future__ import annotations

import signal
import time

import pytest

import rustray
from tests.integration.tasks.functions import CPUS, add, echo, hold
from tests.support import Gate, eventually, tick, ticks


class TestCancel:
    @pytest.fixture(autouse=True)
    def idle(self):
        """Start and end with free workers."""
        yield
        eventually(lambda: rustray.available_resources().get("CPU") == CPUS)

    @pytest.fixture
    def never(self, tmp_path):
        """A gate that no test opens."""
        return Gate(tmp_path / "never")

    def cancelled(self, ref):
        with pytest.raises(rustray.exceptions.TaskCancelledError):
            rustray.get(ref, timeout=60)

    def test_queued(self, tmp_path, never):
        @rustray.remote
        def note(path):
            tick(path)

        blockers = [hold.remote(never) for _ in range(CPUS)]
        ref = note.remote(tmp_path / "ran")
        rustray.cancel(ref)
        self.cancelled(ref)
        for blocker in blockers:
            rustray.cancel(blocker)
            self.cancelled(blocker)
        assert ticks(tmp_path / "ran") == 0

    def test_waiting_for_its_argument(self, never):
        slow = hold.remote(never)
        ref = add.remote(slow)
        rustray.cancel(ref)
        self.cancelled(ref)
        rustray.cancel(slow)
        self.cancelled(slow)

    def test_running_python(self, tmp_path):
        @rustray.remote
        def spin(path):
            tick(path)
            while True:
                pass

        ref = spin.remote(tmp_path / "ran")
        eventually(lambda: ticks(tmp_path / "ran"))
        rustray.cancel(ref)
        self.cancelled(ref)

    def test_a_running_stream(self, tmp_path):
        @rustray.remote
        def endless(path):
            number = 0
            while True:
                yield number
                number += 1
                time.sleep(0.01)  # values come in a while yet when it is cancelled

        stream = endless.remote(tmp_path / "ran")
        assert rustray.get(next(stream)) == 0
        rustray.cancel(stream)
        with pytest.raises(rustray.exceptions.TaskCancelledError):
            for ref in stream:
                rustray.get(ref, timeout=60)

    def test_force_ends_what_does_not_listen(self, never):
        @rustray.remote
        def deaf():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            never.wait()

        ref = deaf.remote()
        never.wait_for_waiters()
        rustray.cancel(ref, force=True)
        self.cancelled(ref)
        assert never.waiters == 1

    def test_force_leaves_the_other_tasks_alone(self, tmp_path):
        @rustray.remote(max_retries=0)
        def work(gate=None):
            if gate is not None:
                gate.wait()
            return "fine"

        rustray.get([work.remote() for _ in range(300)])
        gate = Gate(tmp_path / "gate")
        running = [work.remote(gate) for _ in range(CPUS)]
        queued = [work.remote() for _ in range(100)]
        gate.wait_for_waiters(CPUS)
        for ref in queued[::2]:
            rustray.cancel(ref, force=True)
        for ref in queued[::2]:
            self.cancelled(ref)  # while the workers run something else
        gate.open()
        assert rustray.get(running) == ["fine"] * CPUS
        assert rustray.get(queued[1::2]) == ["fine"] * 50

    def test_what_the_task_has_submitted_goes_too(self, never):
        @rustray.remote
        def parent():
            return rustray.get(hold.remote(never))

        ref = parent.remote()
        never.wait_for_waiters()
        rustray.cancel(ref)
        self.cancelled(ref)

    def test_a_task_that_waits_in_get(self, tmp_path, never):
        slow = hold.remote(never)

        @rustray.remote
        def wait_for(refs, path):
            tick(path)
            return rustray.get(refs[0])

        ref = wait_for.remote([slow], tmp_path / "ran")
        eventually(lambda: ticks(tmp_path / "ran"))
        rustray.cancel(ref)
        self.cancelled(ref)
        rustray.cancel(slow)
        self.cancelled(slow)

    def test_finished(self):
        ref = echo.remote("value")
        assert rustray.get(ref) == "value"
        rustray.cancel(ref)
        rustray.cancel(ref, force=True)
        assert rustray.get(ref) == "value"
        rustray.cancel(rustray.put(1))

    def test_cleaning_up_is_possible(self, tmp_path, never):
        @rustray.remote
        def tidy():
            try:
                never.wait()
            finally:
                (tmp_path / "cleaned").touch()

        ref = tidy.remote()
        never.wait_for_waiters()
        rustray.cancel(ref)
        self.cancelled(ref)
        assert (tmp_path / "cleaned").exists()
