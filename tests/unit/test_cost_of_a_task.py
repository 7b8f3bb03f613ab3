"""What a task costs its client where there are many: calls of Python functions, which no busy machine changes."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from types import FrameType

import pytest

from rustray.driver.stopping import Stop
from tests.unit.lease_bench import Bench

TASKS = 1000


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def calls_of(work: Callable[[], object]) -> Counter[str]:
    """How often `work` enters each function of Python, by name."""
    found: Counter[str] = Counter()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            found[frame.f_code.co_qualname] += 1

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return found


def test_a_task_that_waits_behind_others_is_submitted_by_six_calls(bench: Bench) -> None:
    bench.submit(10)
    calls = calls_of(lambda: bench.submit(TASKS))
    # To make the task, its entry and its ref, to ask whose child it is, to queue it, and the one for all of these.
    assert calls["Tasks.submit"] == TASKS
    assert calls.total() < 6.9 * TASKS, calls.most_common(10)


def test_a_task_that_waits_is_stopped_by_nine_calls(bench: Bench) -> None:
    tasks = [entry.task for entry in bench.submit(TASKS)]

    def stop() -> None:
        stop = Stop(bench.session, tasks)
        stop.interrupt()
        assert stop.outcome().dropped == TASKS

    calls = calls_of(stop)
    assert calls["Tasks.fail"] == TASKS
    assert calls.total() < 9.5 * TASKS, calls.most_common(10)
