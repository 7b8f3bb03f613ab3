"""Queues to which a thread adds tasks while another one, which has the lock, looks at them or empties them."""

from __future__ import annotations

import threading
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest

from rustray.driver.locality import bind, bring_forward, near
from rustray.driver.scheduling_class import SchedulingClass
from rustray.driver.stopping import unfinished


def task(number: int) -> SimpleNamespace:
    return SimpleNamespace(
        number=number, deps=(), args=b"", bound=0, cancelled=False, ended=False, where=None
    )


class Task(SimpleNamespace):
    """While it is looked at, another thread submits."""

    def __init__(self, queue: deque[Any]) -> None:
        super().__init__(**vars(task(1)), queue=queue)

    def __getattribute__(self, name: str) -> Any:
        if name in ("number", "deps", "bound", "cancelled"):
            super().__getattribute__("queue").append(task(9))
        return super().__getattribute__(name)


@pytest.fixture
def target() -> SchedulingClass:
    submitter: Any = SimpleNamespace(lock=threading.RLock())
    code: Any = SimpleNamespace(name="f")
    made = SchedulingClass(submitter, b"key", code, {})
    made.queue.extend([Task(made.queue), task(2)])  # type: ignore[list-item]
    return made


def test_what_is_looked_at(target: SchedulingClass) -> None:
    queue = target.queue
    assert near(queue) is None
    assert bind(queue, {1: 1}) == {}
    bring_forward(queue, 1)
    assert target.find(2) is queue[1]
    assert target.describe(queue[1])["position"] == 2
    session: Any = SimpleNamespace(
        objects=SimpleNamespace(lock=threading.RLock()),
        leases=SimpleNamespace(classes=lambda: [target]),
        actors=SimpleNamespace(channels=list),
        arguments=SimpleNamespace(held_up={}),
    )
    assert {1, 2} <= {task.number for task in unfinished(session, 0)}


def test_what_is_added_while_it_is_emptied(target: SchedulingClass) -> None:
    queue = target.queue  # as a thread has it that is about to add to it
    assert [task.number for task in target.take_queue()] == [1, 2]
    queue.append(late := task(3))  # type: ignore[arg-type]
    assert late in target.queue
