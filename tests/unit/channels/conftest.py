"""The event loop of all tests of channels."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.channels.ends import RUNNER


@pytest.fixture(scope="session", autouse=True)
def runner() -> Iterator[None]:
    with RUNNER:
        yield
