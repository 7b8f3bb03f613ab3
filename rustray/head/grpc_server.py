"""Serving rustray.proto: the address, the token on every call, and the end.

Imports grpc, which takes long and starts threads: the server imports this module after it has forked its
zygote, and drivers and workers never do.
"""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio

from rustray.errors import ClusterStartError
from rustray.head.servicer import RustRayServicer
from rustray.wire import rustray_pb2_grpc
from rustray.wire.channels import MAX_CALLS, MAX_MESSAGE_BYTES, Security, TokenCheck

_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # Otherwise another process of this machine could listen at the same port and take calls with tokens.
    ("grpc.so_reuseport", 0),
]


class GrpcServer:
    """The service on a port of the loopback interface.

    Parameters
    ----------
    path: the node's socket. token: what callers must give.
    """

    def __init__(self, path: str, token: str) -> None:
        self._servicer = RustRayServicer(path)
        self._server = grpc.aio.server(
            interceptors=[TokenCheck(Security(token))], options=_OPTIONS, maximum_concurrent_rpcs=MAX_CALLS
        )
        rustray_pb2_grpc.add_RustRayServicer_to_server(self._servicer, self._server)

    async def start(self, port: int) -> str:
        """Serve; the address, "127.0.0.1:port". `port` 0: any free one. ClusterStartError."""
        try:
            bound = self._server.add_insecure_port(f"127.0.0.1:{port}")
        except RuntimeError as error:
            raise ClusterStartError(
                f"The gRPC service cannot listen at 127.0.0.1:{port}: {error}. Another program may have the port: "
                "choose another, or 0 for any free one."
            ) from error
        await self._server.start()
        self._servicer.start()
        return f"127.0.0.1:{bound}"

    async def stop(self) -> None:
        """Refuse new calls, cancel those that run, and close all sessions."""
        await self._server.stop(None)
        await asyncio.wait_for(self._servicer.stop(), 5.0)
