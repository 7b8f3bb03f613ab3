"""The cluster of the tests of sessions that need no own one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import rustray


@pytest.fixture(scope="package")
def cluster() -> Iterator[str]:
    context = rustray.init(num_cpus=2, num_gpus=2, object_store_memory=128 << 20, ignore_reinit_error=True)
    yield context["session_dir"]
    rustray.shutdown()
