"""What is sent through a channel: order, backlog, batches, and the last words of who closes it."""

from __future__ import annotations

import asyncio
import os
import signal

import grpc
import psutil
import pytest

from rustray.wire import batches, channels, rustray_pb2
from rustray.wire.channels import HIGH_WATER, Channel, dial
from rustray.wire.security import split_address
from tests.unit.channels.ends import HELLO, SECURITY, TIMEOUT_S, End, Server, pair, run, until
from tests.unit.channels.processes import other_process


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


def test_a_server_that_stops_lets_the_calls_end_that_take_its_reason(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        over: list[object] = []
        open_channel = channels.ChannelServer._open

        async def note(
            self: channels.ChannelServer, requests: object, context: grpc.aio.ServicerContext
        ) -> None:
            context.add_done_callback(over.append)
            await open_channel(self, requests, context)

        monkeypatch.setattr(channels.ChannelServer, "_open", note)
        async with Server() as server:
            ends = [(await pair(server))[0] for _channel in range(3)]
            stop = server.server.server.stop

            async def look(grace: float | None) -> None:
                assert len(over) == 3
                await stop(grace)

            monkeypatch.setattr(server.server.server, "stop", look)
        await until(lambda: all(end.closed for end in ends))
        assert {end.closed[0] for end in ends} == {"the other side is shutting down"}

    run(test, caplog)


@pytest.mark.parametrize(
    ("far", "tls", "intact"), [(True, False, False), (True, True, True), (False, False, True)]
)
def test_who_vouches_for_the_bytes(
    far: bool, tls: bool, intact: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        assert Channel("host:1", far, tls).intact is intact

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
            await asyncio.sleep(0.3)  # that it does not drain cannot be awaited
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
