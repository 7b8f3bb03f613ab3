"""The two addresses of a head: nodes reach it at one port, other heads at the next."""

from __future__ import annotations

from rustray.wire.security import join_address, split_address


def raft_address(address: str) -> str:
    """Where the head that nodes reach at `address` is reached by other heads."""
    host, port = split_address(address)
    return join_address(host, port + 1)


def grpc_address(address: str) -> str:
    """The reverse of `raft_address`."""
    host, port = split_address(address)
    return join_address(host, port - 1)
