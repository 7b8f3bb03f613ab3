"""The cluster of all tests of actors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import rustray


@pytest.fixture(scope="package", autouse=True)
def cluster() -> Iterator[None]:
    rustray.init(num_cpus=2, num_gpus=2, namespace="tests", resources={"special": 1})
    yield
    rustray.shutdown()
