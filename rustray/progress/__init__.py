"""`rustray.progress(refs)`: how far some tasks are, as a bar that moves until they have ended.

refs = [work.remote(n) for n in range(100)]
values = rustray.get(rustray.progress(refs))
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import TypeVar

from rustray.driver.api import wait
from rustray.driver.current import current
from rustray.driver.refs import ObjectRef
from rustray.driver.session import Session
from rustray.errors import OptionError
from rustray.model.option_checks import kind_of
from rustray.model.quantities import lapse, pace
from rustray.progress.bar import Bar
from rustray.progress.counting import Count, Counting, expected
from rustray.progress.predictions import Predictions
from rustray.progress.screen import Screen

LOOK_S = 0.25
SHARE = 10
"""Looking takes at most one part in so many of the time."""

Refs = TypeVar("Refs")


def progress(refs: Refs, *, desc: str = "", block: bool = True) -> Refs:
    """Show how many tasks are done, run and have failed, their pace, and when they will probably all have ended.

    The time that is left comes from what the cluster expects of their functions, and has its standard deviation beside
    it.
    Failed tasks raise nothing here: `rustray.get` does. Ctrl-C ends the waiting, not the tasks (in a notebook, ⏹ ends
    the tasks of its cell).

    Parameters
    ----------
    refs: a ref, or a list, tuple or set of them.
    desc: what is in front of the bar.
    block: wait until all have ended; else return at once: the bar moves by itself, also while `get` waits.

    Returns
    -------
    The refs, so that the call can stand inside `rustray.get(...)`.

    Raises
    ------
    OptionError: refs is something else. SessionError: there is no cluster.
    """
    found = _refs(refs)
    session = current()
    session.check_open()
    watch = _Watch(session, found, desc)
    if block:
        watch.run()
    else:
        watch.show(time.monotonic())
        threading.Thread(target=watch.follow, name="rustray-progress", daemon=True).start()
    return refs


def _refs(refs: object) -> list[ObjectRef]:
    if isinstance(refs, ObjectRef):
        return [refs]
    several = isinstance(refs, Iterable) and not isinstance(refs, str)
    found: dict[ObjectRef, None] = {}
    for ref in refs if several else (refs,):  # type: ignore[attr-defined]
        if not isinstance(ref, ObjectRef):
            raise OptionError(f"progress() takes a ref or a list of refs; this is {kind_of(ref)}.")
        found[ref] = None
    return list(found)


class _Watch:
    """One bar."""

    def __init__(self, session: Session, refs: list[ObjectRef], desc: str) -> None:
        self._session = session
        self._counting = Counting(refs, session.objects.lock)
        self._predictions = Predictions(session)
        self._desc = desc
        self._began = time.monotonic()
        self._before: int | None = None
        self._screen = Screen(session)
        session.objects.want(ref._entry for ref in refs if not ref._entry.ready)

    def run(self) -> None:
        """Show it until all have ended."""
        try:
            while not self.show(time.monotonic()):
                pending = self._counting.pending
                wait(pending, num_returns=len(pending), timeout=self._pause)
        finally:
            self._screen.close()

    def follow(self) -> None:
        """The same in a thread of its own."""
        try:
            while not self.show(time.monotonic()) and self._session.ended is None:
                time.sleep(self._pause)
        finally:
            self._screen.close()

    def show(self, now: float) -> bool:
        """Look, and show it; whether all have ended."""
        count = self._counting.look(now, self._predictions.look(now, self._counting.keys))
        if self._before is None:
            self._before = count.ended
        self._screen.show(bar(self._desc, count, now - self._began, self._before))
        self._pause = max(LOOK_S, SHARE * (time.monotonic() - now))
        return not count.left


def bar(desc: str, count: Count, seconds: float, before: int = 0) -> Bar:
    """What is told of tasks.

    Parameters
    ----------
    count: how they are now.
    seconds: for which they have been looked at.
    before: how many had ended before.
    """
    since = count.ended - before
    told = [pace(since / seconds)] if since and seconds > 0 else []
    if not count.left:
        told = [f"in {lapse(seconds)}", *told] if since else []
    elif (left := expected(count, seconds, before)) is not None:
        told.append(left.told())
    return Bar(
        desc, count.done, count.total, tuple(filter(None, told)), count.failed, count.cancelled, count.running
    )


__all__ = ["progress"]
