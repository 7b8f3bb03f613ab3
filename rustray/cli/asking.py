"""Asking a cluster, for the commands that do: through a node of this machine, or a gateway."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol

from rustray.clusters.contact import Contact
from rustray.clusters.registry import ADDRESS_VARIABLE, usual
from rustray.driver import discovery
from rustray.driver.registry import clusters, read_connection_file
from rustray.errors import ClusterStartError
from rustray.wire.security import split_address

OFFICE_TIMEOUT_S = 4.0
"""Seconds for which a cluster may be without a head that leads before it is told to be so: an election takes less."""
REACH_TIMEOUT_S = 1.0

Query = Callable[..., Any]


class _Options(Protocol):
    """What options are added to: a command, or a group of them that exclude each other."""

    def add_argument(self, *names: str, **what: Any) -> Any: ...


def add_address(command: _Options) -> None:
    """The option that says which cluster."""
    command.add_argument(
        "--address",
        "--name",
        dest="address",
        metavar="NAME",
        default=not usual() and os.environ.get(ADDRESS_VARIABLE) or "auto",  # which prefers a name there
        help="the name of a cluster, or what else rustray.init takes ($RUSTRAY_ADDRESS, else the newest cluster here)",
    )


@contextmanager
def connected(address: str) -> Iterator[tuple[Query, dict[str, Any]]]:
    """A way to ask the cluster, and the connection file of the node that is asked."""
    gateway = None
    path = discovery.find_node(address)
    if path is None:
        gateway = discovery.start_gateway(address)
        path = gateway.socket
    try:
        facts = _joined(path)
        with Contact(path) as contact:
            yield contact.query, facts
    finally:
        if gateway is not None:
            gateway.stop()


def _joined(path: str) -> dict[str, Any]:
    """The connection file of the node with this socket. ClusterStartError while no head leads it."""
    deadline = time.monotonic() + OFFICE_TIMEOUT_S
    while True:
        try:
            facts = {**read_connection_file(folder := os.path.dirname(path)), "folder": folder}
        except (OSError, ValueError) as error:
            raise ClusterStartError(f"The node at {path} has just ended.") from error
        if facts["role"] != "node" or facts.get("joined"):
            return facts
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    told = [
        f"{address} {'answers' if answers else 'does not answer'}"
        for address, answers in reached(facts["heads"]).items()
    ]
    waits = [
        f" The one at {other['address']} waits: {other['waits']}."
        for other in clusters()
        if other["role"] == "head" and set(other["heads"]) == set(facts["heads"]) and other.get("waits")
    ]
    raise ClusterStartError(
        f"No head leads this cluster now; that takes {len(told) // 2 + 1} of {len(told)} that run. "
        f"Heads: {', '.join(told)}.{''.join(waits)}"
    )


def reached(addresses: list[str]) -> dict[str, bool]:
    """Whether a process listens at each of them."""

    def is_reached(address: str) -> bool:
        try:
            socket.create_connection(split_address(address), REACH_TIMEOUT_S).close()
        except OSError:
            return False
        return True

    with ThreadPoolExecutor(5) as pool:
        return dict(zip(addresses, pool.map(is_reached, addresses), strict=True))
