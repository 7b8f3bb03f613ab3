"""The answers that come by leases: results go to their tasks, run times to the estimate of their class."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rustray.driver.entry import VALUE
from rustray.driver.reactor import NEVER
from rustray.driver.scheduling_class import Lease, SchedulingClass
from rustray.driver.unused_leases import SPARE_S

if TYPE_CHECKING:
    from rustray.driver.session import Session


class Answers:
    """Takes the answers of one session's workers."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._tasks = session.tasks
        self._reactor = session.reactor

    def take(self, lease: Lease, results: list[Any], elapsed: float) -> None:
        """Tasks have ended that took `elapsed` seconds together. Caller has the lock."""
        target, in_flight, tasks = lease.target, lease.in_flight, self._tasks
        # An answer that came before, or that nobody waits for, counts for nothing.
        answered = [
            (task, result) for result in results if (task := in_flight.pop(result[0], None)) is not None
        ]
        if not answered:
            return
        lease.stuck = False
        count = len(results)
        now = time.monotonic()
        target.figures.answered(answered[0][0], count, elapsed, now)
        for task, _result in answered:
            if task.cancelled:
                break  # when it was stopped says nothing of how long the function takes
        else:
            _measure(target, count, elapsed)
        target.false_starts = 0
        if not in_flight:
            # Known before the results are: those who waited for them may submit to this very lease.
            target.idle += 1
            lease.idle_since = now
            if self._reactor.alarm == NEVER:
                self._reactor.alarm = now + SPARE_S
        for task, result in answered:
            if result[1] == VALUE and len(result) == 3:
                tasks.take_value(task, result[2])
                continue
            if len(result) > 4 and result[4]:
                # Rule 3: the worker still refers to these; our hold for it goes before our release.
                self._session.sharing.hold_for(lease.worker, result[4])
            task.where = None
            tasks.take_result(task, result, lease.worker)


def _measure(target: SchedulingClass, count: int, elapsed: float) -> None:
    """Tasks of `target` have run to their ends, `count` in `elapsed` seconds."""
    each = elapsed / count
    measured = target.measured
    measured.count += count
    measured.seconds += elapsed
    measured.squares += each * elapsed
    estimate = target.estimate
    # Slower news counts at once: a pipe that is too deep hurts more than one that is too shallow.
    if estimate is None or each > estimate * 4:
        target.estimate = max(each, 1e-6)
    else:
        target.estimate = max(1e-6, estimate + 0.25 * (each - estimate))
