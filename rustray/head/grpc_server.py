"""Serving rustray.proto at a node: the service for programs in any language, and channels, at one port.

Imports grpc, which takes long and starts threads: a node's process imports this module after it has forked its
zygote, and drivers and workers never do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rustray.head.servicer import RustRayServicer
from rustray.wire import rustray_pb2_grpc
from rustray.wire.channels import Channel, ChannelServer, Security
from rustray.wire.frames import Message


class GrpcServer:
    """The services of a node.

    Parameters
    ----------
    path: the node's socket.
    on_channel: see `ChannelServer`.
    """

    def __init__(
        self, path: str, security: Security, on_channel: Callable[[Channel, Message], None]
    ) -> None:
        self._servicer = RustRayServicer(path)
        self._channels = ChannelServer(security, on_channel)
        rustray_pb2_grpc.add_RustRayServicer_to_server(self._servicer, self._channels.server)

    async def start(self, host: str, port: int) -> str:
        """Serve; the address, "host:port". `port` 0: any free one. ClusterStartError."""
        address = await self._channels.start(host, port)
        self._servicer.start()
        return address

    async def stop(self) -> None:
        """Refuse new calls, end all channels and calls, and close all sessions."""
        await self._channels.stop()
        await asyncio.wait_for(self._servicer.stop(), 5.0)
