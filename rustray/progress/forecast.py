"""When some tasks will have ended, and how sure that is: from what the cluster expects of their functions. Pure.

The model: `workers` of them take tasks of one queue until it is empty. n tasks of mean m and standard deviation s take
n m / w on w workers, with a standard deviation of s sqrt(n) / w; at the end workers wait for the last one, for half a
run if there are several, give or take a uniform distribution's deviation of a whole run, m / sqrt(12).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from rustray.model.quantities import lapse_with_error

SOON_S = 0.1


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
    """Seconds that are left, and their standard deviation."""

    seconds: float
    error: float

    def told(self) -> str:
        """As "about 12 s ± 2 s left"; "" of what should have ended by now, or will at once."""
        return "" if self.seconds < SOON_S else f"about {lapse_with_error(self.seconds, self.error)} left"


def forecast(groups: Iterable[Group], workers: int) -> Forecast | None:
    """See the module; None while nothing runs.

    Parameters
    ----------
    workers: how many run them now.
    """
    if workers < 1:
        return None
    work = variance = longest = waiting = mean = 0.0
    for group in groups:
        tasks = group.waiting + len(group.running)
        # One that runs for longer than expected has about a spread left.
        left = [max(group.run_s - ran, group.spread_s, 0.05 * group.run_s) for ran in group.running]
        work += group.waiting * group.run_s + sum(left)
        variance += tasks * group.spread_s**2
        longest = max(longest, *left, 0.0)
        waiting += group.waiting
        mean = max(mean, group.run_s)
    ending = mean if waiting and workers > 1 else 0.0
    seconds = max(work / workers + ending / 2, longest)
    return Forecast(seconds, math.sqrt(variance / workers**2 + ending**2 / 12))


def by_pace(done: int, left: int, seconds: float) -> Forecast | None:
    """The same from the pace so far, for tasks of which nothing is expected; None before a few have ended."""
    if done < 3 or seconds <= 0:
        return None
    expected = left * seconds / done
    return Forecast(expected, expected / math.sqrt(done))
