"""What RustRay itself runs is not counted as work."""

from __future__ import annotations

import time

import pytest

import rustray
from rustray.driver.current import current
from rustray.model.own_work import KEEPER_CLASS
from tests.support import eventually


@pytest.fixture
def cluster():
    rustray.init(num_cpus=1)
    yield
    rustray.shutdown()


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("name", [KEEPER_CLASS, "Worker"])
def test_calls_of_a_keeper_are_no_tasks_and_its_worker_is_not_busy(name):
    def call(self, fails):
        if fails:
            raise ValueError("no")

    def samples():
        (series,) = current().requests.query("node_metrics").values() or [[]]
        return [sample for sample in series if sample["time"] > after + 0.6]

    after = 0.0
    eventually(samples)
    actor = rustray.remote(num_cpus=0)(type(name, (), {"call": call})).remote()
    refs = [actor.call.remote(at % 2) for at in range(20)]
    rustray.wait(refs, num_returns=len(refs))
    after = time.time()
    eventually(samples)
    after = 0.0
    found = samples()
    counted = sum(
        sample.get(of, 0.0) for sample in found for of in ("tasks_per_s", "failed_per_s", "ran_per_s")
    )
    counts = current().tasks
    if name == KEEPER_CLASS:
        assert (counts.finished, counts.failed, counted, found[-1]["busy"]) == (0, 0, 0, 0)
    else:
        assert (counts.finished, counts.failed, found[-1]["busy"]) == (10, 10, 1) and counted
