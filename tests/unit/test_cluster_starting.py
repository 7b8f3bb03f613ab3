"""The processes of a cluster that is being started: all of them stay, or none."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from rustray.clusters import starting
from rustray.driver import launch


class Process:
    """In place of one that has been started."""

    def __init__(self) -> None:
        self.stopped = False

    def stop(self) -> None:
        self.stopped = True


def test_what_comes_up_after_all_were_given_up_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a thread that the pool has lost to an interrupt in the middle of a submission."""
    early, late = Process(), Process()
    begun, go = threading.Event(), threading.Event()

    def start(which: Any) -> Process:
        if which is late:
            begun.set()
            assert go.wait(60)
        return cast(Process, which)

    monkeypatch.setattr(launch, "start", start)
    started = starting.Started()
    started.start(cast(Any, early))
    assert not early.stopped
    thread = threading.Thread(target=started.start, args=(late,), daemon=True)
    thread.start()
    assert begun.wait(60)
    started.give_up()
    assert early.stopped and not late.stopped
    go.set()
    thread.join(60)
    assert late.stopped and len(started.up) == 1
