"""The cluster of all tests of bad input and trouble; after each of them it goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import rustray
from tests.integration.failures.tasks import CPUS, alive


@pytest.fixture(scope="package", autouse=True)
def cluster() -> Iterator[None]:
    rustray.init(num_cpus=CPUS, object_store_memory=128 << 20)
    yield
    rustray.shutdown()


@pytest.fixture(autouse=True)
def others_go_on(cluster: None) -> Iterator[None]:
    yield
    assert rustray.get(alive.remote(), timeout=20) == "alive"
