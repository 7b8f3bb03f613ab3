from __future__ import annotations

from typing import Any

import pytest

from rustray.errors import OptionError
from rustray.model.job_options import job_options
from rustray.model.resources import Resources
from rustray.scheduler.actions import Grant
from rustray.scheduler.core import Scheduler
from rustray.scheduler.events import ClassAdded, Demand, JobAdded, NodeAdded


def test_only_what_is_given_is_told() -> None:
    assert job_options() == job_options(qos="normal") == {}
    assert job_options(weight=3, priority=-2, min_cpus=1, max_cpus=2.5) == {
        "weight": 3.0,
        "priority": -2,
        "min_cpus": 1,
        "max_cpus": 2.5,
    }


def test_what_is_given_goes_before_what_the_kind_of_job_stands_for() -> None:
    assert job_options(qos="batch") == {"weight": 0.5, "priority": -1}
    assert job_options(qos="interactive", weight=9) == {"weight": 9.0, "priority": 1}


@pytest.mark.parametrize(
    "given",
    [
        {"qos": "fast"},
        {"weight": 0},
        {"weight": True},
        {"weight": "1"},
        {"priority": 11},
        {"priority": 0.5},
        {"min_cpus": -1},
        {"max_cpus": 0},
        {"min_cpus": 2, "max_cpus": 1},
    ],
)
def test_what_is_not_allowed(given: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(reversed(given))):
        job_options(**given)


def test_the_options_are_those_of_a_job_in_the_scheduler() -> None:
    scheduler = Scheduler()
    for job, qos in ((1, "batch"), (2, "interactive")):
        scheduler.step(JobAdded(job, **job_options(qos=qos)), 0.0)
        scheduler.step(ClassAdded(b"%d" % job, job, "f", Resources.of(cpu=1)), 0.0)
        scheduler.step(Demand(b"%d" % job, job, 1), 0.0)
    (grant,) = scheduler.step(NodeAdded("n1", Resources.of(cpu=1)), 0.0)
    assert isinstance(grant, Grant) and grant.client == 2
