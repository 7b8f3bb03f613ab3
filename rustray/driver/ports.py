"""Free ports for several heads on one machine."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from rustray.errors import ClusterStartError

_LAST_PORT = 32_000
"""Below those that systems give to connections, so that nobody gets one of ours between looking and listening."""


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that are free, as are those next to them."""
    with _listeners() as listen:
        found: list[int] = []
        start = 20_000 + random.randrange(5_000) * 2  # others may be looking too
        for port in range(start, _LAST_PORT, 2):
            if len(found) == count:
                break
            if listen(port) and listen(port + 1):
                found.append(port)
        if len(found) < count:
            raise ClusterStartError(f"There are no {count} free pairs of ports from {start} to {_LAST_PORT}.")
        return found


@contextmanager
def _listeners() -> Iterator[Callable[[int], bool]]:
    with ExitStack() as sockets:

        def listen(port: int) -> bool:
            sock = sockets.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                return False
            return True

        yield listen
