"""Channels whose other end is away, is killed, or is no channel at all."""

from __future__ import annotations

import asyncio

import grpc.aio
import pytest

from rustray.wire import batches, channels, rustray_pb2
from rustray.wire.channels import ChannelUnavailable, dial
from rustray.wire.frames import Message, encode
from tests.unit.channels.ends import HELLO, SECURITY, TIMEOUT_S, End, Server, pair, run, until
from tests.unit.channels.processes import DIALLER, other_process, start


def test_nobody_there_and_nobody_awake(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        with pytest.raises(ChannelUnavailable, match="Nobody answers at 127.0.0.1:1"):
            await dial("127.0.0.1:1", HELLO, SECURITY, TIMEOUT_S)
        listener = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
        address = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        with pytest.raises(ChannelUnavailable, match=r"did not answer within 0\.2 s"):
            await dial(address, HELLO, SECURITY, 0.2)
        listener.close()

    run(test, caplog)


def test_another_version(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with Server() as server:
            metadata = (("authorization", SECURITY.authorization), ("rustray-protocol", "0"))
            async with grpc.aio.insecure_channel(server.address) as connection:
                call = connection.stream_stream("/rustray.v1.Links/Open")(metadata=metadata)
                assert await call.code() == grpc.StatusCode.FAILED_PRECONDITION
                assert "not 0. All machines need the same version" in await call.details()

    run(test, caplog)


def test_a_peer_that_is_killed_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        process, address = other_process()
        end = End(await dial(address, HELLO, SECURITY, TIMEOUT_S))
        process.kill()
        process.wait()
        await until(lambda: end.closed)
        for _again in range(10):
            end.channel.send(("n",))
            await asyncio.sleep(0.01)  # that it is not told again cannot be awaited
        assert len(end.closed) == 1 and end.closed[0]
        assert end.channel.closed and end.channel.backlog == 0
        await end.channel.wait_closed()

    run(test, caplog)


def test_a_dialler_that_is_killed_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with Server() as server:
            process = start(DIALLER, server.address)
            await until(lambda: server.ends)
            process.kill()
            process.wait()
            await until(lambda: server.ends[0].closed)
            await asyncio.sleep(0.05)  # that it is not told again cannot be awaited
            assert len(server.ends[0].closed) == 1 and server.ends[0].closed[0]

    run(test, caplog)


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\x0a",
        b"garbage",
        b"\x0a\x05abc",
        b"\x0a\x04\xff\xff\xff\xff",
        rustray_pb2.Batch(frames=b"\x01\x00\x00\x00?").SerializeToString(),
        rustray_pb2.Batch(frames=b"\x05\x00\x00\x00i\x01\x00\x00\x00").SerializeToString(),
        rustray_pb2.Batch(frames=b"\x0a\x00\x00\x00[\x01\x00\x00\x00i\x01\x00\x00\x00").SerializeToString(),
        rustray_pb2.Batch(deflated=b"not deflated").SerializeToString(),
    ],
)
def test_garbage_ends_the_channel(garbage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with Server() as server:
            metadata = (("authorization", SECURITY.authorization), ("rustray-protocol", channels.PROTOCOL))
            async with grpc.aio.insecure_channel(server.address) as connection:
                call = connection.stream_stream("/rustray.v1.Links/Open")(metadata=metadata)
                hello: list[bytes | memoryview] = [encode([HELLO])]
                await call.write(await batches.pack(hello, len(hello[0]), False))
                await until(lambda: server.ends)
                await call.write(garbage)
                assert await call.read() is grpc.aio.EOF
            assert len(server.ends[0].closed) == 1
            assert "sent what are no messages" in server.ends[0].closed[0]

    run(test, caplog)


def test_a_handler_that_fails_ends_the_channel(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with Server() as server:
            near, far = await pair(server)

            def fail(_messages: list[Message]) -> None:
                raise KeyError("defect")

            far.channel.on_messages = fail
            near.channel.send(("n",))
            await until(lambda: near.closed)
            assert "could not be handled: KeyError" in far.closed[0]

    run(test, caplog)


def test_no_first_message(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "HELLO_S", 0.1)

    async def test() -> None:
        async with Server() as server:
            metadata = (("authorization", SECURITY.authorization), ("rustray-protocol", channels.PROTOCOL))
            async with grpc.aio.insecure_channel(server.address) as connection:
                call = connection.stream_stream("/rustray.v1.Links/Open")(metadata=metadata)
                assert await asyncio.wait_for(call.read(), TIMEOUT_S) is grpc.aio.EOF
            assert server.ends == []

    run(test, caplog)
