"""When some tasks will have ended, and how sure that is: from what the cluster expects of their functions. Pure.

The model: `workers` of them take tasks of one queue until it is empty. n tasks of mean m and standard deviation s take
n m / w on w workers, with a standard deviation of s sqrt(n) / w; at the end workers wait for the last one, for half a
run if there are several, give or take a uniform distribution's deviation of a whole run, m / sqrt(12).

A task that has run for a while is one of those that take longer than that: what is left of it is what is left of a
normal distribution beyond there (its mean and deviation, see N. Johnson and S. Kotz on truncated normals), so that it
counts down, ever slower. One that has run for longer than m + s is none that was expected, and that is what is told.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from rustray.model.quantities import TENTHS_S, lapse_with_error

SOON_S = 0.1
LEAST_SPREAD = 0.1
"""Of a run: what few tasks have taken alike is known no better than that."""


@dataclass(frozen=True)
class Group:
    """Tasks of one function that have not ended.

    Parameters
    ----------
    waiting: how many have not begun.
    running: for how many seconds each of the others has run.
    run_s, spread_s: what the cluster expects of one, in seconds: mean and standard deviation.
    """

    waiting: int
    running: tuple[float, ...]
    run_s: float
    spread_s: float


@dataclass(frozen=True)
class Forecast:
    """Seconds that are left, and their standard deviation.

    Parameters
    ----------
    overdue: seconds that a run was to take, where all that is left have run for longer, else 0.0; `error` is that of
        this expectation then, and nobody knows how much is left.
    """

    seconds: float
    error: float
    overdue: float = 0.0

    def told(self) -> str:
        """As "about 12 s ± 2 s left" or "longer than the expected 12 s ± 2 s"; "" of what will end at once."""
        if self.overdue:
            return f"longer than the expected {_with_error(self.overdue, self.error)}"
        return "" if self.seconds < SOON_S else f"about {_with_error(self.seconds, self.error)} left"


def _with_error(seconds: float, error: float) -> str:
    """With the last place that is told as the least error."""
    place = 60.0 if seconds >= 3600 else 1.0 if seconds >= TENTHS_S else 0.1
    return lapse_with_error(seconds, max(error, place))


def forecast(groups: Iterable[Group], workers: int) -> Forecast | None:
    """See the module; None while nothing runs.

    Parameters
    ----------
    workers: how many run them now.
    """
    if workers < 1:
        return None
    work = variance = longest = waiting = mean = overdue = spread_of_overdue = 0.0
    on_time = False
    for group in groups:
        spread = max(group.spread_s, LEAST_SPREAD * group.run_s)
        left = [_left(group.run_s, spread, ran) for ran in group.running]
        work += group.waiting * group.run_s + sum(seconds for seconds, _deviation in left)
        variance += group.waiting * group.spread_s**2 + sum(deviation**2 for _seconds, deviation in left)
        longest = max(longest, *(seconds for seconds, _deviation in left), 0.0)
        waiting += group.waiting
        mean = max(mean, group.run_s)
        late = [ran > group.run_s + spread for ran in group.running]
        on_time = on_time or group.waiting > 0 or not all(late)
        if any(late) and group.run_s > overdue:
            overdue, spread_of_overdue = group.run_s, spread
    if overdue and not on_time:
        return Forecast(longest, spread_of_overdue, overdue)
    ending = mean if waiting and workers > 1 else 0.0
    seconds = max(work / workers + ending / 2, longest)
    return Forecast(seconds, math.sqrt(variance / workers**2 + ending**2 / 12))


def _left(run_s: float, spread_s: float, ran: float) -> tuple[float, float]:
    """What is left of a task that has run for `ran` seconds, and its standard deviation."""
    if not spread_s:
        return max(0.0, run_s - ran), 0.0
    beyond = min((ran - run_s) / spread_s, 1.0)  # of one that is late no less is left later
    density = math.exp(-(beyond**2) / 2) / math.sqrt(2 * math.pi)
    hazard = density / (math.erfc(beyond / math.sqrt(2)) / 2)
    rest = max(0.0, 1 + beyond * hazard - hazard**2)
    return spread_s * (hazard - beyond), spread_s * math.sqrt(rest)


def by_pace(done: int, left: int, seconds: float) -> Forecast | None:
    """The same from the pace so far, for tasks of which nothing is expected; None before a few have ended."""
    if done < 3 or seconds <= 0:
        return None
    expected = left * seconds / done
    return Forecast(expected, expected / math.sqrt(done))
