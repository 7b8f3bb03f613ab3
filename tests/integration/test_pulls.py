"""Objects on their way between nodes: brought before they are asked for, and waiting for room."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import rustray
from rustray.driver.current import current
from rustray.exceptions import GetTimeoutError
from rustray.testing import Cluster
from tests.support import eventually

MIB = 1 << 20
PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(nodes=0, object_store_memory=64 * MIB) as running:
        running.add_node(2, resources={"here": 1})
        running.add_node(2, resources={"there": 1})
        yield running


@pytest.fixture
def driver(cluster: Cluster) -> Iterator[None]:
    rustray.init(cluster.nodes[0].address, log_to_driver=False)
    yield
    rustray.shutdown()


def used() -> int:
    """Bytes in the store of the node that this runs on."""
    stats: dict[str, int] = current().requests.ask("query", "store", ()).fields[1]
    return stats["used"]


def test_the_next_argument_comes_while_a_task_runs(driver: None, tmp_path: Path) -> None:
    """Both tasks need all of the other node, so the second waits for the lease of the first, in the driver."""
    started = tmp_path / "started"

    @rustray.remote(num_cpus=0, resources={"there": 1})
    def work(array: np.ndarray) -> bool:
        """Whether the second array is on this node before its task begins."""
        started.touch()
        deadline = time.monotonic() + PATIENCE_S
        while used() < 9 * MIB and len(array) == MIB and time.monotonic() < deadline:
            time.sleep(0.01)
        return used() >= 9 * MIB

    first = work.remote(rustray.put(np.ones(MIB, dtype=np.uint8)))
    eventually(started.exists, PATIENCE_S)
    second = work.remote(rustray.put(np.ones(8 * MIB, dtype=np.uint8)))
    assert rustray.get(first, timeout=2 * PATIENCE_S)
    rustray.get(second, timeout=PATIENCE_S)


def test_a_pull_waits_for_room(driver: None) -> None:
    @rustray.remote(num_cpus=0, resources={"here": 0.01})
    class Keeper:
        def keep(self) -> None:
            self.views = [rustray.get(rustray.put(np.ones(4 * MIB, dtype=np.uint8))) for _ in range(14)]

        def drop(self, delay_s: float) -> None:
            time.sleep(delay_s)
            self.views.clear()

    @rustray.remote(num_cpus=0, resources={"there": 0.01})
    def make() -> np.ndarray:
        return np.full(16 * MIB, 3, dtype=np.uint8)

    keeper = Keeper.remote()
    rustray.get(keeper.keep.remote(), timeout=20)
    made = make.remote()
    rustray.wait([made], timeout=PATIENCE_S)  # it is there: what follows is its way here

    def told() -> object:
        with pytest.raises(GetTimeoutError) as caught:
            rustray.get(made, timeout=0.5)
        return re.search(r"no room for 16,7\d+,\d+ bytes.* 59.* MiB by 1 other process", str(caught.value), re.S)

    eventually(told)
    dropped = keeper.drop.remote(3.5)  # longer than anybody was patient before
    assert (rustray.get(made, timeout=20) == 3).all()
    rustray.get(dropped)
