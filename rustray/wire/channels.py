"""Both ends of channels: `dial` makes one, a `ChannelServer` accepts it.

The token is checked before a message is read. Channels between the same two processes share one TCP connection, unless
one is dialled as `bulk`: what is big then does not stand in the way of what is urgent.

Imports grpc, which starts threads: only heads and nodes import this, after they have forked their zygote.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from rustray.errors import ClusterStartError, RustRayError
from rustray.wire import versions
from rustray.wire.channel import CLOSE_S, HIGH_WATER, LOW_WATER, Channel
from rustray.wire.frames import ConnectionClosed, Message
from rustray.wire.grpc_text import meaning
from rustray.wire.security import TLS_NAME, Security, is_loopback, join_address, split_address

__all__ = [
    "CLOSE_S",
    "HIGH_WATER",
    "LOW_WATER",
    "Channel",
    "ChannelRefused",
    "ChannelServer",
    "ChannelUnavailable",
    "Security",
    "TokenRefused",
    "dial",
]

log = logging.getLogger(__name__)

PROTOCOL = str(versions.PROTOCOL)
"""Of the messages on channels: both ends must have the same."""
MAX_MESSAGE_BYTES = 16 << 20
MAX_CALLS = 4096
"""Calls at once, most of them waiting for a result; more are refused with RESOURCE_EXHAUSTED."""
HELLO_S = 10.0
"""Seconds in which the first message must come."""
_METHOD = "/rustray.v1.Links/Open"
_VERSION_KEY = "rustray-protocol"
_REASON_KEY = "rustray-reason-bin"

_COMMON = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # A peer whose machine has gone without a word is noticed within 15 s, whatever the users' heartbeats do.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # A batch in one HTTP/2 frame, read in few system calls.
    ("grpc.http2.max_frame_size", 2 << 20),
    ("grpc.http2.lookahead_bytes", 4 << 20),
]
_SERVER_OPTIONS = [
    *_COMMON,
    # Otherwise another process of this machine could listen at the same port and take calls with tokens.
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
]
_CLIENT_OPTIONS = [
    *_COMMON,
    # The cluster's machines are near, whatever the environment says of the way to the web.
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_retries", 0),  # who dials decides on that
]

Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Any]]


class ChannelUnavailable(RustRayError):
    """Nobody answers at the address, or not in time. Trying again may help."""


class ChannelRefused(RustRayError):
    """The other side does not want this process, or is none of ours: token, TLS or version differ.

    Trying again does not help.
    """


class TokenRefused(ChannelRefused):
    """The other side has another token."""


async def dial(
    address: str, hello: Message | None, security: Security, timeout: float, *, bulk: bool = False
) -> Channel:
    """A channel to the server at `address`, "host:port", whose first message is `hello`, or what is sent first.

    Parameters
    ----------
    timeout: seconds until the server must have accepted.
    bulk: with a TCP connection of its own.

    Raises
    ------
    ChannelUnavailable, ChannelRefused.
    """
    host, _port = split_address(address)
    options: list[tuple[str, int | str]] = [*_CLIENT_OPTIONS, ("grpc.use_local_subchannel_pool", int(bulk))]
    if security.ca is None:
        connection = grpc.aio.insecure_channel(address, options=options)
    else:
        options.append(("grpc.ssl_target_name_override", TLS_NAME))
        connection = grpc.aio.secure_channel(address, _client_credentials(security.ca), options=options)
    call = connection.stream_stream(_METHOD)(
        metadata=(("authorization", security.authorization), (_VERSION_KEY, PROTOCOL))
    )
    try:
        async with asyncio.timeout(timeout):
            accepted = dict(await call.initial_metadata() or ())
            if _VERSION_KEY not in accepted:
                raise _refusal(address, await call.code(), await call.details() or "", security)
    except TimeoutError:
        await _hang_up(call, connection)
        raise ChannelUnavailable(f"{address} did not answer within {timeout:g} s.") from None
    except BaseException:
        await _hang_up(call, connection)
        raise
    channel = Channel(address, far=not is_loopback(host), tls=security.tls)
    if hello is not None:
        channel.send(hello)

    async def read() -> Any:
        batch = await call.read()
        if batch is grpc.aio.EOF and (reason := dict(await call.trailing_metadata() or ()).get(_REASON_KEY)):
            raise ConnectionClosed(reason.decode())
        return batch

    async def run() -> None:
        try:
            await channel.run(read, call.write, call.done_writing)
        finally:
            await _hang_up(call, connection)

    _keep(asyncio.create_task(run()))
    return channel


async def _hang_up(call: Any, connection: grpc.aio.Channel) -> None:
    call.cancel()
    await connection.close()


_tasks: set[asyncio.Task[None]] = set()


def _keep(task: asyncio.Task[None]) -> None:
    # The event loop itself keeps only weak references of its tasks.
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


_credentials: dict[bytes, grpc.ChannelCredentials] = {}


def _client_credentials(ca: bytes) -> grpc.ChannelCredentials:
    """One object for one authority: gRPC shares connections between those who have the same."""
    if ca not in _credentials:
        _credentials[ca] = grpc.ssl_channel_credentials(ca)
    return _credentials[ca]


def _refusal(address: str, code: grpc.StatusCode, details: str, security: Security) -> RustRayError:
    if code == grpc.StatusCode.UNAUTHENTICATED:
        return TokenRefused(
            f"{address} refused the token. Give the token of that cluster: --token-file FILE, or RUSTRAY_TOKEN in the "
            "environment. 'rustray status' on the head's machine tells in which file it is."
        )
    if code == grpc.StatusCode.FAILED_PRECONDITION:
        return ChannelRefused(f"{address} refused the connection: {details}")
    if code == grpc.StatusCode.UNIMPLEMENTED:
        return ChannelRefused(f"{address} is a gRPC server, but no head or node of RustRay.")
    lowered = details.lower()
    if security.tls and any(word in lowered for word in ("ssl", "tls", "handshake", "certificate")):
        return ChannelRefused(
            f"No TLS connection to {address}: {meaning(details)}. Give --tls-dir (programs: RUSTRAY_TLS_DIR) with the "
            "folder that the cluster was started with, or none if it was started without."
        )
    if not security.tls and "socket closed" in lowered:
        return ChannelRefused(
            f"{address} closed the connection at once: it probably uses TLS. Give --tls-dir (programs: "
            "RUSTRAY_TLS_DIR) with the folder that the cluster was started with."
        )
    return ChannelUnavailable(f"Nobody answers at {address}: {meaning(details) or code.name}.")


class TokenCheck(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Refuses calls without "authorization: Bearer TOKEN" before anything of their messages is read."""

    def __init__(self, security: Security) -> None:
        self._security = security
        # A handler of streams reads no message by itself; the client of any kind of call sees its status.
        self._refusal = grpc.stream_stream_rpc_method_handler(_refuse)

    async def intercept_service(self, continuation: Continuation, details: grpc.HandlerCallDetails) -> Any:
        """The handler of a call: the one of its method, or the refusal."""
        for name, value in details.invocation_metadata:
            if name == "authorization" and self._security.admits(value):
                return await continuation(details)
        return self._refusal


async def _refuse(_requests: Any, context: grpc.aio.ServicerContext) -> None:
    await context.abort(
        grpc.StatusCode.UNAUTHENTICATED,
        "Give the cluster's token as metadata 'authorization: Bearer TOKEN'. 'rustray status' tells where it is.",
    )


class ChannelServer:
    """Accepts channels at one port, and calls of other services that are added before its start.

    Parameters
    ----------
    on_channel: called with a new channel and its first message; to set the channel's handlers, or to close it.

    Attributes
    ----------
    server: for ``add_..._to_server``.
    """

    def __init__(self, security: Security, on_channel: Callable[[Channel, Message], None]) -> None:
        self._security = security
        self._on_channel = on_channel
        self._channels: dict[Channel, asyncio.Event] = {}
        """Those whose calls have not ended, with what tells that they have."""
        self.server = grpc.aio.server(
            interceptors=[TokenCheck(security)], options=_SERVER_OPTIONS, maximum_concurrent_rpcs=MAX_CALLS
        )
        handler = grpc.stream_stream_rpc_method_handler(self._open)
        service, method = _METHOD[1:].split("/")
        self.server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {method: handler}),)
        )

    async def start(self, host: str, port: int) -> str:
        """Listen; the address, "host:port". `port` 0: any free one. ClusterStartError."""
        address = join_address(host, port)
        try:
            if self._security.ca is None:
                bound = self.server.add_insecure_port(address)
            else:
                pair = (self._security.key, self._security.cert)
                bound = self.server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
        except RuntimeError as error:
            raise ClusterStartError(
                f"The gRPC service cannot listen at {address}: {_why_not(host, port)}."
            ) from error
        await self.server.start()
        return join_address(host, bound)

    async def stop(self, reason: str = "the other side is shutting down") -> None:
        """Refuse new calls, end the channels once what was sent on them is delivered, and cancel what goes on then."""
        for channel in list(self._channels):
            channel.close(reason)
        # A channel is closed before its call is over, which takes the reason to the other side.
        if ends := [asyncio.create_task(over.wait()) for over in self._channels.values()]:
            await asyncio.wait(ends, timeout=2 * CLOSE_S)
        await self.server.stop(None)

    async def _open(self, _requests: Any, context: grpc.aio.ServicerContext) -> None:
        given = dict(context.invocation_metadata()).get(_VERSION_KEY)
        if given != PROTOCOL:
            await context.abort(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"protocol {PROTOCOL} is spoken here, not {given}. All machines need the same version of RustRay.",
            )
        await context.send_initial_metadata(((_VERSION_KEY, PROTOCOL),))
        peer = _peer_of(context.peer())
        channel = Channel(peer, far=not is_loopback(split_address(peer)[0]), tls=self._security.tls)
        late = asyncio.get_running_loop().call_later(HELLO_S, channel.close, "no first message came")

        def on_first(messages: list[Message]) -> None:
            late.cancel()
            channel.on_messages = lambda _messages: None
            self._on_channel(channel, messages[0])
            if len(messages) > 1 and not channel.closed:
                channel.on_messages(messages[1:])

        channel.on_messages = on_first
        self._channels[channel] = over = asyncio.Event()

        def on_over(_context: Any) -> None:
            del self._channels[channel]
            over.set()

        context.add_done_callback(on_over)
        try:
            await channel.run(context.read, context.write, None)
            if channel.farewell:
                context.set_trailing_metadata(((_REASON_KEY, channel.farewell.encode()),))
        finally:
            late.cancel()


def _why_not(host: str, port: int) -> str:
    """Why nobody can listen there now: gRPC does not say."""
    try:
        family, kind, protocol, _name, found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(found)
            probe.listen()
    except socket.gaierror:
        return f"the name {host} is not known on this machine"
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return "another program has the port; choose another, or 0 for any free one"
        if error.errno == errno.EADDRNOTAVAIL:
            return "this machine does not have that address"
        return error.strerror or str(error)
    return "another program had the port a moment ago"


def _peer_of(text: str) -> str:
    """ "127.0.0.1:5000" of gRPC's "ipv4:127.0.0.1:5000", "[::1]:5000" of "ipv6:%5B::1%5D:5000"."""
    return text.partition(":")[2].replace("%5B", "[").replace("%5D", "]")
