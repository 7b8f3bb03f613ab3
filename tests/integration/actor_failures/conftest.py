"""The cluster of all tests of actors that die; it outlives its drivers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import rustray
from rustray.testing import Cluster


@pytest.fixture(scope="package")
def standalone() -> Iterator[Cluster]:
    with Cluster(num_cpus=2) as cluster:
        yield cluster


@pytest.fixture(scope="package", autouse=True)
def driver(standalone: Cluster) -> Iterator[None]:
    rustray.init(standalone.address, namespace="tests")
    yield
    rustray.shutdown()
