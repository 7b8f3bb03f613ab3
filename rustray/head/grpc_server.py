"""Serving rustray.proto: the address, the token on every call, and the end.

Imports grpc, which takes long and starts threads: the server imports this module after it has forked its
zygote, and drivers and workers never do.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from rustray.errors import ClusterStartError
from rustray.head.servicer import RustRayServicer
from rustray.wire import rustray_pb2_grpc

MAX_MESSAGE_BYTES = 16 << 20
MAX_CALLS = 4096
"""Calls at once, most of them waiting for a result; more are refused with RESOURCE_EXHAUSTED."""
_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # Otherwise another process of this machine could listen at the same port and take calls with tokens.
    ("grpc.so_reuseport", 0),
]

Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Any]]


class TokenCheck(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Refuses calls without "authorization: Bearer TOKEN" before anything of their messages is read."""

    def __init__(self, token: str) -> None:
        self._wanted = f"Bearer {token}".encode()
        # A handler of streams reads no message by itself; the client of any kind of call sees its status.
        self._refusal = grpc.stream_stream_rpc_method_handler(_refuse)

    async def intercept_service(self, continuation: Continuation, details: grpc.HandlerCallDetails) -> Any:
        """The handler of a call: the one of its method, or the refusal."""
        for name, value in details.invocation_metadata:
            if name == "authorization":
                given = value if isinstance(value, bytes) else value.encode()
                if hmac.compare_digest(given, self._wanted):
                    return await continuation(details)
        return self._refusal


async def _refuse(_requests: Any, context: grpc.aio.ServicerContext) -> None:
    await context.abort(
        grpc.StatusCode.UNAUTHENTICATED,
        "Give the cluster's token as metadata 'authorization: Bearer TOKEN'. It is in the cluster's cluster.json.",
    )


class GrpcServer:
    """The service on a port of the loopback interface.

    Parameters
    ----------
    path: the node's socket. token: what callers must give.
    """

    def __init__(self, path: str, token: str) -> None:
        self._servicer = RustRayServicer(path)
        self._server = grpc.aio.server(
            interceptors=[TokenCheck(token)], options=_OPTIONS, maximum_concurrent_rpcs=MAX_CALLS
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
