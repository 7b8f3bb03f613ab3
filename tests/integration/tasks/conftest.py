"""The cluster of all tests of tasks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import rustray
from tests.integration.tasks.functions import CPUS


@pytest.fixture(scope="package", autouse=True)
def cluster() -> Iterator[None]:
    rustray.init(num_cpus=CPUS, object_store_memory=256 << 20)
    yield
    rustray.shutdown()
