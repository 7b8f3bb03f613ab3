"""Channels over real loopback connections, both ends in this process, and in another where it is to be killed."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import grpc.aio
import psutil
import pytest

from rustray.errors import ClusterStartError
from rustray.wire import batches, certificates, channels, rustray_pb2
from rustray.wire.channels import (
    HIGH_WATER,
    Channel,
    ChannelRefused,
    ChannelServer,
    ChannelUnavailable,
    Security,
    dial,
)
from rustray.wire.frames import Message
from rustray.wire.security import check_bind, read_token, split_address

ROOT = Path(__file__).resolve().parents[2]
SECURITY = Security("a token of thirty-two characters")
HELLO = ("hello", 1)
TIMEOUT_S = 5.0


class End:
    """One end of a channel, and all that it is told."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.messages: list[Message] = []
        self.closed: list[str] = []
        self.drained = 0
        channel.on_messages = self.messages.extend
        channel.on_closed = self.closed.append
        channel.on_drained = self.on_drained

    def on_drained(self) -> None:
        self.drained += 1


class Server:
    """A server that collects its ends of channels."""

    def __init__(self, security: Security = SECURITY) -> None:
        self.ends: list[End] = []
        self.hellos: list[Message] = []
        self.server = ChannelServer(security, self.on_channel)
        self.address = ""

    def on_channel(self, channel: Channel, hello: Message) -> None:
        self.hellos.append(hello)
        self.ends.append(End(channel))

    async def __aenter__(self) -> Server:
        self.address = await self.server.start("127.0.0.1", 0)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.server.stop()


async def until(look: Callable[[], Any]) -> Any:
    async with asyncio.timeout(TIMEOUT_S):
        while not (found := look()):
            await asyncio.sleep(0.005)
    return found


async def pair(server: Server, bulk: bool = False) -> tuple[End, End]:
    """(the end that dialled, the end that was dialled)."""
    count = len(server.ends)
    end = End(await dial(server.address, HELLO, SECURITY, TIMEOUT_S, bulk=bulk))
    await until(lambda: len(server.ends) > count)
    return end, server.ends[-1]


RUNNER = asyncio.Runner()
"""One event loop for all: grpc.aio hands events of one that is closed to the next one, which then complains."""


@pytest.fixture(scope="module", autouse=True)
def runner() -> Iterator[None]:
    with RUNNER:
        yield


def run(test: Callable[[], Coroutine[Any, Any, None]], caplog: pytest.LogCaptureFixture) -> None:
    RUNNER.run(test())
    assert not [r for r in caplog.records if r.name == "asyncio" and r.levelno >= logging.WARNING]


def test_messages_of_any_size_arrive_in_order_both_ways(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with Server() as server:
            near, far = await pair(server)
            sent = [("n", i, b"x" * (i * 7919 % 50_000)) for i in range(200)]
            sent += [("big", os.urandom(5 << 20)), ("deep", [(1, None, {"a": 2.5})], True)]
            for end, other in ((near, far), (far, near)):
                end.channel.send(*sent[:3])
                for message in sent[3:]:
                    end.channel.send(message)
                await until(lambda messages=other.messages: len(messages) == len(sent))
                assert other.messages == sent
            assert server.hellos == [HELLO]
            assert near.channel.peer == server.address
            near.channel.close()
            await near.channel.wait_closed()

    run(test, caplog)


def test_buffers_may_change_after_send(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with Server() as server:
            near, far = await pair(server)
            block = bytearray(b"before")
            near.channel.send(("chunk", memoryview(block)))
            block[:] = b"after!"
            assert (await until(lambda: far.messages)) == [("chunk", b"before")]
            near.channel.close()

    run(test, caplog)


def test_what_is_sent_before_the_end_arrives(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with Server() as server:
            near, far = await pair(server)
            near.channel.send(*[("n", i) for i in range(1000)])
            near.channel.close()
            near.channel.send(("too late",))
            await until(lambda: far.closed)
            assert far.messages == [("n", i) for i in range(1000)]
            assert far.closed == [f"{far.channel.peer} has closed the connection"]
            assert near.closed == []

    run(test, caplog)


def test_a_server_says_why_it_closes(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with Server() as server:
            near, far = await pair(server)
            far.channel.send(("refused", "not_leader", "10.0.0.1:1"))
            far.channel.close("another head leads")
            await until(lambda: near.closed)
            assert near.messages == [("refused", "not_leader", "10.0.0.1:1")]
            assert near.closed == ["another head leads"]
            assert far.closed == []

    run(test, caplog)


def test_a_server_that_stops_ends_its_channels(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        server = Server()
        async with server:
            near, far = await pair(server)
            far.channel.send(("last",))
        await until(lambda: near.closed)
        assert near.messages == [("last",)]
        assert near.closed == ["the other side is shutting down"]
        near.channel.send(("nobody hears",))
        assert near.channel.backlog == 0

    run(test, caplog)


@pytest.mark.parametrize("metadata", [(), (("authorization", "Bearer wrong"),)])
def test_wrong_or_no_token(caplog: pytest.LogCaptureFixture, metadata: tuple[tuple[str, str], ...]) -> None:
    async def test() -> None:
        async with Server() as server:
            with pytest.raises(ChannelRefused, match="refused the token.*--token-file.*RUSTRAY_TOKEN"):
                await dial(server.address, HELLO, Security("another token"), TIMEOUT_S)
            async with grpc.aio.insecure_channel(server.address) as connection:
                call = connection.stream_stream("/rustray.v1.Links/Open")(metadata=metadata)
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call.read()
                assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
            assert server.hellos == []

    run(test, caplog)


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


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tls")
    certificates.make(str(folder), ["head.example"])
    return str(folder)


def test_certificates_are_of_one_authority_and_nobody_else_reads_them(authority: str) -> None:
    from cryptography import x509

    folder = Path(authority)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == dict.fromkeys(
        ("ca.pem", "ca.key", "cert.pem", "key.pem"), 0o600
    )
    ca = (folder / "ca.pem").read_bytes()
    names = certificates.make(authority, ["10.1.2.3"])
    assert names[0] == "10.1.2.3" and "127.0.0.1" in names
    assert (folder / "ca.pem").read_bytes() == ca
    certificate = x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca))


def test_tls(authority: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    secure = Security.load(SECURITY.token, authority)
    certificates.make(str(tmp_path), [])
    other = Security.load(SECURITY.token, str(tmp_path))

    async def test() -> None:
        async with Server(secure) as server:
            for _again in range(2):
                channel = await dial(server.address, HELLO, secure, TIMEOUT_S)
                channel.send(("secret",))
                await until(lambda: server.ends and server.ends[-1].messages == [("secret",)])
                channel.close()
                await channel.wait_closed()
            with pytest.raises(ChannelRefused, match="not of the authority"):
                await dial(server.address, HELLO, other, TIMEOUT_S)
            with pytest.raises(ChannelRefused, match="probably uses TLS"):
                await dial(server.address, HELLO, SECURITY, TIMEOUT_S)
            with pytest.raises(ChannelRefused, match="refused the token"):
                await dial(server.address, HELLO, Security("another", secure.ca), TIMEOUT_S)
        async with Server() as plain:
            with pytest.raises(ChannelRefused, match="does not use TLS"):
                await dial(plain.address, HELLO, secure, TIMEOUT_S)

    run(test, caplog)


def test_a_slow_reader_makes_a_backlog_and_drains_it(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        process, address = other_process()
        try:
            end = End(await dial(address, HELLO, SECURITY, TIMEOUT_S))
            os.kill(process.pid, signal.SIGSTOP)
            chunk = bytes(1 << 20)
            for number in range(64):
                end.channel.send(("chunk", number, chunk))
            await asyncio.sleep(0.3)
            assert HIGH_WATER < end.channel.backlog < 65 << 20
            assert end.drained == 0
            os.kill(process.pid, signal.SIGCONT)
            await until(lambda: end.channel.backlog == 0)
            assert end.drained == 1
            end.channel.send(("count",))
            assert (await until(lambda: end.messages)) == [("count", 64)]
            # The rest of what was sent cannot go out, yet the end comes.
            os.kill(process.pid, signal.SIGSTOP)
            end.channel.send(*[("chunk", number, chunk) for number in range(64)])
            end.channel.close()
            await asyncio.wait_for(end.channel.wait_closed(), 3 * channels.CLOSE_S)
            assert end.closed == []
        finally:
            process.kill()
            process.wait()

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
            await asyncio.sleep(0.01)
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
            await asyncio.sleep(0.05)
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
                hello: list[bytes | memoryview] = [channels_frame(HELLO)]
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


def test_channels_share_a_connection_but_bulk_has_its_own(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with Server() as server:
            port = split_address(server.address)[1]

            def connections() -> int:
                found = psutil.Process().net_connections("tcp")
                return sum(1 for c in found if c.status == "ESTABLISHED" and c.raddr.port == port)

            ends = [(await pair(server))[0] for _channel in range(3)]
            assert connections() == 1
            ends.append((await pair(server, bulk=True))[0])
            assert connections() == 2
            for end in ends:
                end.channel.close()

    run(test, caplog)


def test_batches_to_other_machines_are_compressed_where_it_pays(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        text, noise = b"all work and no play " * 5000, os.urandom(100_000)
        for data, far, smaller in ((text, True, True), (text, False, False), (noise, True, False)):
            batch = await batches.pack([data[:10], data[10:]], len(data), far)
            assert (len(batch) < len(data) // 2) == smaller
            assert bytes(batches.unpack(batch)) == data
            parsed = rustray_pb2.Batch.FromString(batch)
            assert parsed.WhichOneof("piece") == ("deflated" if smaller else "frames")
        bomb = rustray_pb2.Batch(deflated=__import__("zlib").compress(bytes(batches.BATCH_BYTES + 1)))
        with pytest.raises(ValueError, match="inflates to more"):
            batches.unpack(bomb.SerializeToString())
        for size in (0, 1, 127, 128, 16_383, 16_384, batches.BATCH_BYTES):
            packed = await batches.pack([bytes(size)], size, False)
            assert packed == rustray_pb2.Batch(frames=bytes(size)).SerializeToString()

    run(test, caplog)


def test_where_a_server_may_listen() -> None:
    bare, secure = Security("token"), Security("token", b"ca", b"cert", b"key")
    for host in ("127.0.0.1", "localhost", "::1"):
        check_bind(host, bare, insecure=False)
    with pytest.raises(ClusterStartError, match="without TLS.*rustray certs"):
        check_bind("0.0.0.0", bare, insecure=False)
    with pytest.raises(ClusterStartError, match="without a token:"):
        check_bind("10.0.0.1", Security("", b"ca", b"cert", b"key"), insecure=False)
    check_bind("0.0.0.0", bare, insecure=True)
    check_bind("0.0.0.0", secure, insecure=False)


def test_token_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rustray.errors import AuthenticationError

    monkeypatch.setenv("RUSTRAY_TOKEN", "from the environment".replace(" ", "-"))
    assert read_token() == "from-the-environment"
    path = tmp_path / "token"
    path.write_text("0123456789abcdef\n")
    path.chmod(0o644)
    with pytest.raises(AuthenticationError, match="chmod 600"):
        read_token(str(path))
    path.chmod(0o600)
    assert read_token(str(path)) == "0123456789abcdef"
    path.write_text("short")
    with pytest.raises(AuthenticationError, match="at least 16"):
        read_token(str(path))
    assert "0123456789abcdef" not in repr(Security("0123456789abcdef"))


def channels_frame(message: Message) -> bytes:
    from rustray.wire.frames import encode

    return encode([message])


PRELUDE = f"""
import asyncio, sys
from rustray.wire.channels import ChannelServer, Security, dial
SECURITY = Security({SECURITY.token!r})
"""
SERVER = """
def on_channel(channel, hello):
    chunks = 0
    def on_messages(messages):
        nonlocal chunks
        for message in messages:
            if message[0] == "count":
                channel.send(("count", chunks))
            else:
                chunks += 1
    channel.on_messages = on_messages
async def main():
    server = ChannelServer(SECURITY, on_channel)
    print(await server.start("127.0.0.1", 0), flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
DIALLER = """
async def main():
    await dial(sys.argv[1], ("hello", 1), SECURITY, 5)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    program = textwrap.dedent(PRELUDE + code)
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


def other_process() -> tuple[subprocess.Popen[str], str]:
    process = start(SERVER)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()
