"""The multi-level feedback queue: how urgent a class is, by what it has used of late beside its fair share.

A class has a level from 0, the most urgent, to 3. What it uses, in seconds of leases in use, counts against the
allotment of its level; when that is used up it moves one level down. In the pauses, while nothing of it runs, it is
given back as much as its fair share of the slots is worth. So one that runs for less than its share of its pauses
stays where it is; one that never pauses, or uses all of its share, ends at the lowest level, where turns are taken by
the slice. It is a token bucket, filled at the rate of the share, so no more than the share ever passes others.

Rule 1. Its fair share is that of its job, by weight, among the jobs that demand something, in equal parts for the
        classes of it that do (`Lines.fair_share`). Of 5 % of a slot it is sure at any time.
Rule 2. One whose tasks are known to be brief is given back its share also while they run, if these are no more than
        half of it: in a large cluster a light stream of many users hardly ever pauses. Of others even a single task
        counts in full, lest one that is long keeps a slot as the most urgent of all.
Rule 3. It rises when it wants something anew, and has been given back the allotment of the level above. One that
        only waits does not rise, so batches that take turns never become urgent to each other; but what it is given
        back while it waits is kept. So one whose quick tasks had to wait for slices soon passes those again.
Rule 4. One that nobody demands anything of comes back up one level a second besides.
Rule 5. It rises no higher than where it started, by its predicted run time, and is never owed more than the allotments
        that it has sunk through: who has slept for an hour has no more credit than who is new.

Priority shifts the levels of a class; what others compare is its *tier*, level minus priority.

Corbato, Merwin-Daggett and Daley, 1962; Arpaci-Dusseau, Operating Systems: Three Easy Pieces, chapter 8. That use is
weighed against a share, and sleepers' credit is bounded: Goyal, Vin and Cheng, 1996, and Linux' CFS.
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
"""Lease-seconds given back a second at least: so much of a slot a class may use for ever, however small its share."""
BRIEF = QUANTA[1]
"""Seconds: of whom it is known that his tasks take less, he gives back what others want soon. Rule 2."""
RISE = 1.0
"""Seconds without any demand after which a class comes up one level."""


def first_level(predicted: float | None) -> int:
    """Where a class starts: as if it had run one task already."""
    return 0 if predicted is None else next(level for level, q in enumerate(QUANTA) if predicted < q)


def is_brief(cls: SchedulingClass) -> bool:
    """Whether its tasks are known to be. Rule 2."""
    return cls.run_s is not None and cls.run_s < BRIEF


def _rate(cls: SchedulingClass) -> float:
    """What its use grows by each second."""
    running, share = cls.running, cls.share
    if running and (running > share / 2 or not is_brief(cls)):
        return running - LEAK
    return running - (share if share > LEAK else LEAK)


def settle(cls: SchedulingClass, now: float) -> bool:
    """Count what the class has used since it was last settled; whether its allotment is used up."""
    passed = now - cls.stamp
    level, used = cls.level, cls.used
    if passed > 0:
        cls.stamp = now
        used += _rate(cls) * passed
        if level == LOWEST and used > 0:
            used = 0.0
        elif used < 0:
            used = max(used, -sum(QUANTA[cls.start : level])) if level > cls.start else 0.0
        cls.used = used
    return used >= QUANTA[level]


def lowered(cls: SchedulingClass) -> tuple[int, float]:
    """(level, lease-seconds used of it) of a class whose allotment is used up."""
    level, used = cls.level, cls.used
    while used >= QUANTA[level]:
        used -= QUANTA[level]
        level += 1
    return level, used


def expiry(cls: SchedulingClass) -> float:
    """When its allotment will be used up if nothing changes. It is settled."""
    rate = _rate(cls)
    return cls.stamp + (QUANTA[cls.level] - cls.used) / rate if rate > 0 else inf


def risen(cls: SchedulingClass, now: float) -> tuple[int, float]:
    """(level, lease-seconds used of it) of a class that wants something anew. It is settled. Rules 3-5."""
    level, used = cls.level, cls.used
    while level > cls.start and used <= -QUANTA[level - 1]:
        level -= 1
        used += QUANTA[level]
    rested = max(cls.start, cls.level - int((now - cls.idle_since) / RISE))
    return (rested, 0.0) if rested < level else (level, used)
