"""The cluster of the tests of processes that leave it as it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import rustray
from rustray.testing import Cluster


@pytest.fixture(scope="package")
def cluster() -> Iterator[Cluster]:
    with Cluster(nodes=2, num_cpus=1) as running:
        yield running


@pytest.fixture
def session(cluster: Cluster) -> Iterator[None]:
    rustray.init(cluster.address, log_to_driver=False)
    yield
    rustray.shutdown()
