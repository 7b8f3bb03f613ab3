"""What a job may ask of the cluster as a whole: the options of `init` that the scheduler goes by."""

from __future__ import annotations

from typing import Any

from rustray.errors import OptionError
from rustray.model import option_checks as check

QOS: dict[str, dict[str, Any]] = {
    "interactive": {"weight": 2.0, "priority": 1},
    "normal": {},
    "batch": {"weight": 0.5, "priority": -1},
}
"""Kinds of jobs, and what they stand for; what is given besides goes before it."""
LEAST_WEIGHT, MOST_WEIGHT = 0.01, 100.0


def job_options(
    qos: str | None = None,
    weight: float | None = None,
    priority: int | None = None,
    min_cpus: float | None = None,
    max_cpus: float | None = None,
) -> dict[str, Any]:
    """What is told of the job, as `scheduler.events.JobAdded` has it; what is not given is left out.

    Raises
    ------
    OptionError: a value that is not allowed.
    """
    check.one_of(None, *QOS)("qos", qos)
    options = dict(QOS[qos or "normal"])
    if weight is not None:
        options["weight"] = _weight(weight)
    if priority is not None:
        options["priority"] = check.priority("priority", priority)
    amount = check.quantity(none=0)
    if min_cpus is not None:
        options["min_cpus"] = amount("min_cpus", min_cpus)
    if max_cpus is not None:
        options["max_cpus"] = amount("max_cpus", max_cpus)
        if max_cpus == 0 or max_cpus < (min_cpus or 0):
            raise OptionError(
                f"max_cpus={max_cpus!r} is not allowed: it must be more than 0, and min_cpus at least."
            )
    return options


def _weight(value: Any) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not LEAST_WEIGHT <= value <= MOST_WEIGHT
    ):
        raise OptionError(
            f"weight={value!r} is not allowed: it must be a number from {LEAST_WEIGHT} to {MOST_WEIGHT:g}."
        )
    return float(value)
