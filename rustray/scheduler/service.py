"""What each job's tasks have had so far, by weight: its virtual time.

Shares say what a job has at a moment, and slots are whole: with two of them, weights of 1 and 3 rest at one each. So
what each job was served, in shares of the cluster times seconds divided by its weight, is kept besides. Who is behind
has the next turn, and time makes up for what slots cannot (start-time fair queueing: Goyal, Vin and Cheng, 1996).

Rule 1. Only leases in use count: not those of actors, which take no turns, nor in bundles, nor blocked, suspended or
        idle ones.
Rule 2. Credit is for those who wait. One that wants nothing, or has all that it wants, is at least where those who wait
        are on average; and where nobody waits, all are even, for what is plenty is not owed to others.
Rule 3. Nobody is ahead or behind by more than `WINDOW`.
"""

from __future__ import annotations

from collections.abc import Collection

from rustray.scheduler.records import Job

WINDOW = 20.0
"""Seconds of the whole cluster, divided among those who wait, that one may be ahead or behind of their average: some
slices of the lowest level for each of a few, and little for one that could not be served for an hour."""


def settle(job: Job, now: float) -> None:
    """Count what the job was served since it was last settled."""
    job.served += job.pace * (now - job.stamp) / job.weight
    job.stamp = now


def even_out(jobs: Collection[Job], now: float) -> None:
    """Settle all, and keep them within their bounds. Rules 2 and 3."""
    for job in jobs:
        settle(job, now)
    waiting = [job for job in jobs if job.waits]
    weight = sum(job.weight for job in waiting)
    if not waiting:
        most = max((job.served for job in jobs), default=0.0)
        for job in jobs:
            job.served = most
        return
    middle = sum(job.served * job.weight for job in waiting) / weight
    far = WINDOW / weight
    for job in jobs:
        least = middle - far if job.waits else middle
        job.served = min(max(job.served, least), middle + far)
