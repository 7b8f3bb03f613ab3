"""A worker that waits lends its slot, and takes it back whatever comes between."""

from __future__ import annotations

import contextlib
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from rustray.worker.inbox import Inbox
from rustray.worker.lending import Lending


class Interrupts:
    """A shield that lets an interrupt through as it ends, from the `number`th time on."""

    def __init__(self) -> None:
        self.at = -1
        self.ends = 0

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_exc: object) -> None:
        self.ends += 1
        if self.ends == self.at:
            raise KeyboardInterrupt


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def worker(told: list[str]) -> Any:
    return SimpleNamespace(
        inbox=Inbox(),
        actor=None,
        channels={1: SimpleNamespace(send=lambda *messages: told.extend(f"to 1: {m[0]}" for m in messages))},
        flush=lambda: None,
        session=SimpleNamespace(
            tell=lambda *messages: told.extend(m[0] for m in messages),
            reactor=SimpleNamespace(shield=Interrupts()),
        ),
    )


WAITED = ["to 1: blocked", "blocked", "unblocked", "to 1: unblocked"]


def test_a_wait_is_told_when_it_begins_and_ends(worker: Any, told: list[str]) -> None:
    lending = Lending(worker)
    with lending.lend():
        assert lending.waits and told == WAITED[:2]
    assert not lending.waits and told == WAITED


@pytest.mark.parametrize("at", [1, 2])
def test_an_interrupt_leaves_nothing_half_told(worker: Any, told: list[str], at: int) -> None:
    lending = Lending(worker)
    worker.session.reactor.shield.at = at
    with contextlib.suppress(KeyboardInterrupt), lending.lend():
        pass
    assert not lending.waits and told == WAITED


def test_what_an_interrupted_task_has_left_is_settled_once(worker: Any, told: list[str]) -> None:
    lending = Lending(worker)
    begun, end = threading.Event(), threading.Event()

    def left_behind() -> None:
        from rustray.worker.context import running

        running.set(SimpleNamespace())  # type: ignore[arg-type]
        with lending.lend():
            begun.set()
            end.wait(10)

    thread = threading.Thread(target=left_behind)
    thread.start()
    assert begun.wait(10)
    lending.settle()
    assert told == WAITED
    with lending.lend():
        end.set()
        thread.join()
        assert told == WAITED + WAITED[:2], "the end of an old wait is not that of another"
