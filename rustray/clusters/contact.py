"""A session for asking only: it has no job, and a cluster does not stay up for its sake."""

from __future__ import annotations

import os
import socket
from typing import Any

from rustray.driver import discovery, launch
from rustray.driver.session import Session
from rustray.errors import ClusterStartError

CONNECT_TIMEOUT_S = 10.0


def reach(address: str) -> Contact:
    """A contact to the cluster at `address`, as of `rustray.init`.

    Raises
    ------
    ClusterStartError: there is no such cluster. SessionError: it does not answer.
    """
    path = discovery.find_node(address)
    if path is not None:
        return Contact(path)
    gateway = discovery.start_gateway(address)
    return Contact(gateway.socket, gateway)


class Contact:
    """See the module. May be used by several threads, and as a context manager.

    Parameters
    ----------
    path: the socket of the node that is asked.
    gateway: that node, if it was started for this and is to end with it.

    Raises
    ------
    ClusterStartError, SessionError: the node is gone, or does not answer.
    """

    def __init__(self, path: str, gateway: launch.StartedProcess | None = None) -> None:
        self._gateway = gateway
        self._session: Session | None = None
        try:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.connect(path)
            except OSError as error:
                sock.close()
                raise ClusterStartError(f"Cannot connect to the node at {path}: {error}.") from error
            self._session = Session(sock, ("asker", {"pid": os.getpid()}), None)
            self._session.start(CONNECT_TIMEOUT_S)
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return self._session is not None and self._session.ended is None

    def query(self, what: str, *args: Any) -> Any:
        """Ask the node or the head for a plain value.

        Raises
        ------
        OptionError: there is no such question. SessionError: the cluster is gone, or no head has answered for long.
        """
        assert self._session is not None
        return self._session.requests.query(what, *args)

    def close(self) -> None:
        """Let go of the cluster. Harmless when that was done."""
        if self._session is not None:
            self._session.close()
        gateway, self._gateway = self._gateway, None
        if gateway is not None:
            gateway.stop()

    def __enter__(self) -> Contact:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
