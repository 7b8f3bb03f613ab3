"""Scheduling classes that the node knows. Those that nobody has used for a while it is told to forget.

Rule 1. Who may submit to a class has it: a remote function, or a task that has not ended or may be run again. When
        nobody has it any more, it is gone, with its code.
Rule 2. The node knows a class when it is told of demand for it: one that it was told to forget is told again then.
Rule 3. A class with tasks in its queue, or with leases, is never forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from rustray.driver.functions import Functions

if TYPE_CHECKING:
    from rustray.driver.scheduling_class import SchedulingClass

KEPT = 200
"""Classes that are known although nobody uses them: the last ones, for their levels count, and status shows them."""
UNUSED_S = 10.0
"""Seconds for which one of more than these has not been used when it is forgotten."""
LOOK_EVERY_S = 2.0


class KnownClasses:
    """Those of one session. Used under the session's lock."""

    def __init__(self, functions: Functions, tell: Callable[..., None]) -> None:
        self._functions = functions
        self._tell = tell
        self._of: dict[bytes, SchedulingClass] = {}
        self._turn = 0
        self._due = 0.0

    def get(self, key: bytes) -> SchedulingClass | None:
        """The class of this key, if the node knows it."""
        return self._of.get(key)

    def add(self, target: SchedulingClass) -> None:
        """Tell the node of a class, if it does not know it."""
        if target.key not in self._of:
            self._of[target.key] = target
            self._tell(("class", target.key, target.spec))

    def some(self, count: int) -> Iterator[SchedulingClass]:
        """`count` of them, others each time."""
        first = self._turn if self._turn < len(self._of) else 0
        self._turn = first + count
        return islice(self._of.values(), first, first + count)

    def tick(self, now: float) -> None:
        """Have those forgotten that were used longest ago, if there are many."""
        spare = len(self._of) - KEPT
        if spare <= 0 or now < self._due:
            return
        self._due = now + LOOK_EVERY_S
        unused = [target for target in self._of.values() if target.unused_for(now) > UNUSED_S]
        unused.sort(key=lambda target: target.unused_since)
        gone = [target for target in unused[:spare] if target.ask_for_nothing()]
        if not gone:
            return
        measured = [(target.key, *told) for target in gone if (told := target.measured.take_all()) is not None]
        if measured:
            self._tell(("predicted", measured))
        for target in gone:
            del self._of[target.key]
            self._functions.forget(target.code.key)
        self._tell(("unused", [target.key for target in gone]))
