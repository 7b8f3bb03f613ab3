"""Hosts of their own for heads and nodes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.network import Network, NotPermitted


@pytest.fixture(scope="package")
def all_hosts() -> Iterator[Network]:
    try:
        network = Network(7)
    except NotPermitted as reason:
        pytest.skip(f"needs network namespaces: {reason}")
    yield network
    network.close()


@pytest.fixture
def network(all_hosts: Network) -> Iterator[Network]:
    yield all_hosts
    all_hosts.heal()
