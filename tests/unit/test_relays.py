"""Relays between two nodes, over real channels on the loopback interface and real sockets."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from rustray.node.neighbours import RETRY_S, Neighbours
from rustray.node.outbox import Inbox, Outbox
from rustray.node.relays import WINDOW, Relays
from rustray.wire.channels import Channel, ChannelServer, dial
from rustray.wire.frames import Message
from rustray.wire.security import Security

CLIENT = 7
LIMIT_S = 10.0


class Node:
    """A node that has nothing but its neighbours and relays."""

    def __init__(self, number: int, security: Security) -> None:
        self.loop = asyncio.get_running_loop()
        self.security = security
        self.dialled: list[Channel] = []
        self.neighbours = Neighbours(self.loop, number, self._dial)
        self.relays = Relays(self.loop, number, self.neighbours, self._tell)
        self.told: asyncio.Queue[tuple[Message, list[int]]] = asyncio.Queue()
        self.server = ChannelServer(security, self.neighbours.on_channel)
        self.address = ""

    async def start(self) -> None:
        self.address = await self.server.start("127.0.0.1", 0)

    async def _dial(self, address: str, hello: Message) -> Channel:
        channel = await dial(address, hello, self.security, 2.0)
        self.dialled.append(channel)
        return channel

    def _tell(self, _node: int, client: int, message: Message, fds: Sequence[int]) -> bool:
        if client != CLIENT:
            return False
        self.told.put_nowait((message, [os.dup(fd) for fd in fds]))
        return True

    async def stop(self) -> None:
        self.relays.close()
        self.neighbours.close()
        await self.server.stop()


class Pair:
    """A driver's socket on one node and a worker's on another."""

    def __init__(self, one: Node, two: Node) -> None:
        self.one, self.two = one, two
        self.relay = 0

    async def lend(self, client: int = CLIENT) -> tuple[socket.socket, socket.socket]:
        self.relay, fd, page = self.two.relays.lend(1, client, ("lease", b"k", 5, 9))
        self.page = page
        worker = socket.socket(fileno=fd)
        message, fds = await asyncio.wait_for(self.one.told.get(), LIMIT_S)
        assert message == ("lease", b"k", 5, 9)
        driver = socket.socket(fileno=fds[0])
        self.driver_page = fds[1]
        for sock in (driver, worker):
            sock.setblocking(False)
        return driver, worker


async def receive(sock: socket.socket, size: int) -> bytes:
    loop, got = asyncio.get_running_loop(), bytearray()
    while len(got) < size:
        piece = await asyncio.wait_for(loop.sock_recv(sock, size - len(got)), LIMIT_S)
        if not piece:
            break
        got += piece
    return bytes(got)


def run(test: Callable[[Pair], Any]) -> None:
    async def inner() -> None:
        security = Security("t" * 64)
        one, two = Node(1, security), Node(2, security)
        await one.start()
        await two.start()
        one.neighbours.add(2, two.address)
        two.neighbours.add(1, one.address)
        try:
            await test(Pair(one, two))
        finally:
            await one.stop()
            await two.stop()

    asyncio.run(inner())


def test_what_one_writes_the_other_reads() -> None:
    async def test(pair: Pair) -> None:
        loop = asyncio.get_running_loop()
        driver, worker = await pair.lend()
        big = os.urandom(3 * WINDOW)
        for sender, receiver in ((driver, worker), (worker, driver)):
            sending = asyncio.create_task(loop.sock_sendall(sender, big))
            assert await receive(receiver, len(big)) == big
            await sending

    run(test)


def test_who_does_not_read_stops_the_sender_within_the_window() -> None:
    async def test(pair: Pair) -> None:
        loop = asyncio.get_running_loop()
        driver, worker = await pair.lend()
        sending = asyncio.create_task(loop.sock_sendall(worker, bytes(8 * WINDOW)))
        done, _ = await asyncio.wait([sending], timeout=0.5)
        assert not done
        (pipe,) = pair.one.relays._pipes.values()
        assert sum(map(len, pipe.to_write)) <= WINDOW
        assert len(await receive(driver, 8 * WINDOW)) == 8 * WINDOW
        await sending

    run(test)


def test_the_end_of_a_worker_comes_after_all_it_wrote() -> None:
    async def test(pair: Pair) -> None:
        driver, worker = await pair.lend()
        os.pwrite(pair.page, (77).to_bytes(8, "little"), 0)
        worker.send(b"x" * 100_000)
        worker.close()
        pair.two.relays.end(pair.relay, ("lease_lost", 5, "signal", "died"))
        assert await receive(driver, 200_000) == b"x" * 100_000
        message, _fds = await asyncio.wait_for(pair.one.told.get(), LIMIT_S)
        assert message == ("lease_lost", 5, "signal", "died")
        assert int.from_bytes(os.pread(pair.driver_page, 8, 0), "little") == 77
        assert not pair.one.relays._pipes and not pair.two.relays._pipes

    run(test)


def test_a_client_that_leaves_ends_the_workers_socket() -> None:
    async def test(pair: Pair) -> None:
        driver, worker = await pair.lend()
        driver.close()
        assert await receive(worker, 1) == b""
        assert not pair.one.relays._pipes

    run(test)


def test_a_client_that_is_gone_is_told_to_the_worker() -> None:
    async def test(pair: Pair) -> None:
        _relay, fd, page = pair.two.relays.lend(1, CLIENT + 1, ("lease", b"k", 5, 9))
        worker = socket.socket(fileno=fd)
        worker.setblocking(False)
        os.close(page)
        assert await receive(worker, 1) == b""

    run(test)


def test_a_started_task_is_told_while_it_runs() -> None:
    async def test(pair: Pair) -> None:
        driver, worker = await pair.lend()
        os.pwrite(pair.page, (5).to_bytes(8, "little"), 0)
        pair.two.relays.tick()
        worker.send(b"!")
        await receive(driver, 1)
        assert int.from_bytes(os.pread(pair.driver_page, 8, 0), "little") == 5

    run(test)


def test_nothing_is_lost_and_nothing_comes_twice_when_the_connection_is_cut() -> None:
    async def test(pair: Pair) -> None:
        got: list[int] = []
        there = asyncio.Event()

        def on_item(_node: int, item: int) -> None:
            got.append(item)
            if item == 999:
                there.set()

        pair.two.neighbours.handlers["item"] = on_item
        for item in range(1000):
            pair.one.neighbours.send(2, ("item", item))
            if item % 50 == 0:
                await asyncio.sleep(0)
            if item % 200 == 100:
                while (known := pair.two.neighbours._known.get(1)) is None or known.incoming is None:
                    await asyncio.sleep(0.001)
                known.incoming.close("cut by the test")
                await asyncio.sleep(0.01)  # some of them go between the cuts
        await asyncio.wait_for(there.wait(), LIMIT_S)
        assert got == list(range(1000))
        assert len(pair.one.dialled) > 1

    run(test)


def test_a_node_that_is_down_is_not_believed() -> None:
    async def test(pair: Pair) -> None:
        got: list[int] = []
        there = asyncio.Event()
        pair.two.neighbours.handlers["item"] = lambda _node, item: (got.append(item), there.set())
        pair.one.neighbours.send(2, ("item", 1))
        await asyncio.wait_for(there.wait(), LIMIT_S)
        down: list[int] = []
        pair.two.neighbours.on_down.append(down.append)
        pair.two.neighbours.remove(1)
        pair.two.neighbours.remove(1)
        pair.one.neighbours.send(2, ("item", 2))
        await asyncio.sleep(0.2)  # that nothing comes cannot be awaited
        assert got == [1] and down == [1]

    run(test)


def test_the_page_says_when_the_node_of_the_worker_is_gone() -> None:
    async def test(pair: Pair) -> None:
        driver, _worker = await pair.lend()
        assert os.pread(pair.driver_page, 1, 16) == b"\0"
        pair.one.relays.forget_node(2)
        assert await receive(driver, 1) == b""
        assert os.pread(pair.driver_page, 1, 16) == b"\1"
        assert not pair.one.relays.is_open(pair.relay)

    run(test)


def test_a_later_life_of_a_node_takes_nothing_meant_for_the_earlier() -> None:
    async def test(pair: Pair) -> None:
        got: list[int] = []
        pair.two.neighbours.handlers["item"] = lambda _node, item: got.append(item)
        pair.one.neighbours.add(3, pair.two.address)  # where node 3 was, node 2 listens now
        pair.one.neighbours.send(3, ("item", 1))
        there = asyncio.Event()
        pair.two.neighbours.handlers["last"] = lambda _node: there.set()
        while not pair.one.dialled:
            await asyncio.sleep(0.01)
        pair.one.neighbours.send(2, ("item", 2), ("last",))
        await asyncio.wait_for(there.wait(), LIMIT_S)
        assert got == [2]

    run(test)


def test_who_is_not_taken_dials_again_with_pauses() -> None:
    async def test(pair: Pair) -> None:
        pair.two.server._on_channel = lambda channel, _hello: channel.close("not yet")
        loop = asyncio.get_running_loop()
        start = loop.time()
        pair.one.neighbours.send(2, ("item", 1))
        async with asyncio.timeout(LIMIT_S):
            while len(pair.one.dialled) < 4:
                await asyncio.sleep(0.01)
        assert loop.time() - start > 0.99 * sum(RETRY_S[:3])

    run(test)


def test_nodes_that_are_connected_tell_each_other_of_a_later_leader() -> None:
    async def test(pair: Pair) -> None:
        heard: asyncio.Queue[tuple[int, int]] = asyncio.Queue()
        for node in (pair.one, pair.two):
            node.neighbours._on_epoch = lambda epoch, node=node: heard.put_nowait(
                (node.neighbours.number, epoch)
            )
            node.neighbours.follow(1)
        await pair.lend()
        pair.two.neighbours.follow(2)
        assert await asyncio.wait_for(heard.get(), LIMIT_S) == (1, 2)
        pair.one.neighbours.follow(3)
        assert await asyncio.wait_for(heard.get(), LIMIT_S) == (2, 3)
        pair.two.neighbours.follow(3)
        await asyncio.sleep(0.1)  # that nothing comes cannot be awaited
        assert heard.empty()

    run(test)


def test_nothing_is_kept_for_a_node_that_was_gone_before_we_joined() -> None:
    async def test() -> None:
        neighbours = Neighbours(asyncio.get_running_loop(), 9, None)
        neighbours.add(4, "somewhere:1")
        neighbours.send(3, ("item", 1))
        await asyncio.sleep(0)
        assert neighbours.is_down(3) and not neighbours.is_down(4) and not neighbours.is_down(10)
        assert set(neighbours._known) == {4}

    asyncio.run(test())


@pytest.mark.parametrize("seen", [0, 1, 2, 3])
def test_an_outbox_sends_again_what_was_not_seen(seen: int) -> None:
    outbox, inbox = Outbox(), Inbox()
    sent = [outbox.put([("m", n)]) for n in range(3)]
    for batch in sent[:seen]:
        assert inbox.take(batch[0][1])
    again = outbox.again(inbox.seen)
    assert again == sent[seen:]
    for batch in sent[:seen]:
        assert not inbox.take(batch[0][1])
    for batch in again:
        assert inbox.take(batch[0][1])
    outbox.acknowledged(inbox.seen)
    assert len(outbox) == 0
