"""The multi-level feedback queue: how urgent a class is, by what it has used of late.

A class has a level from 0, the most urgent, to 3. What it uses, in seconds of leases in use, counts against the
allotment of its level; when that is used up it moves one level down. A little of it is given back all the time
(`LEAK`), so that a class that uses less than that of one slot stays where it is. A class that nobody demands
anything of comes back up, one level a second, to the level it started at: that of its predicted run time.

Priority shifts the levels of a class; what others compare is its *tier*, level minus priority.

Corbato, Merwin-Daggett and Daley, 1962; Arpaci-Dusseau, Operating Systems: Three Easy Pieces, chapter 8.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rustray.scheduler.records import SchedulingClass

QUANTA = (0.02, 0.2, 2.0, inf)
"""By level: lease-seconds until a class moves down, and the longest predicted run time of one that starts there."""

SLICES = (0.2, 0.5, 1.0, 2.0)
"""By level: seconds that a worker runs at least before it is suspended for the turn of one as urgent. Stopping
one worker and going on with another costs a few milliseconds, so that loses 1 % or less."""

LOWEST = len(QUANTA) - 1
LEAK = 0.05
"""Lease-seconds given back a second: so much of a slot a class may use for ever and stay at its level."""
RISE = 1.0
"""Seconds without any demand after which a class comes up one level."""


def first_level(predicted: float | None) -> int:
    """Where a class starts: as if it had run one task already."""
    return 0 if predicted is None else next(level for level, q in enumerate(QUANTA) if predicted < q)


def settle(cls: SchedulingClass, now: float) -> bool:
    """Count what the class has used since it was last settled; whether its allotment is used up."""
    passed = now - cls.stamp
    if passed > 0:
        cls.stamp = now
        cls.used += (cls.running - LEAK) * passed
        if cls.used < 0:
            cls.used = 0.0
    return cls.used >= QUANTA[cls.level]


def lowered(cls: SchedulingClass) -> tuple[int, float]:
    """(level, lease-seconds used of it) of a class whose allotment is used up."""
    level, used = cls.level, cls.used
    while used >= QUANTA[level]:
        used -= QUANTA[level]
        level += 1
    return level, used


def expiry(cls: SchedulingClass) -> float:
    """When its allotment will be used up if nothing changes. It is settled."""
    if not cls.running:
        return inf
    return cls.stamp + (QUANTA[cls.level] - cls.used) / (cls.running - LEAK)


def risen(cls: SchedulingClass, now: float) -> int:
    """The level of a class that was idle until now."""
    return max(cls.start, cls.level - int((now - cls.idle_since) / RISE))
