"""The frame codec over real socket pairs."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Iterator

import pytest

from rustray.node.peers import Peer
from rustray.wire.frames import (
    CONGESTED_BYTES,
    SHORTAGE_PAUSE_S,
    Connection,
    ConnectionClosed,
    encode,
    peer_is_me,
)

Pair = tuple[Connection, Connection]


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, two = socket.socketpair()
    ends = Connection(one, takes_fds=True), Connection(two, takes_fds=True)
    yield ends
    for end in ends:
        end.close()


@pytest.mark.parametrize(
    "message",
    [
        ("op",),
        ("op", 1, -(2**70), 1.5, "text", b"bytes", None, True),
        ("op", [(1, 2), {"k": [b"v"]}], (), "\ud800"),
    ],
)
def test_plain_values_arrive_as_they_were(pair: Pair, message: tuple[object, ...]) -> None:
    pair[0].send([message])
    assert pair[1].receive() == [message]


def test_frames_that_arrive_together_and_in_pieces(pair: Pair) -> None:
    data = encode([("a", 1)]) + encode([("b", 2), ("c", 3)]) + encode([("d", 4)])
    got = []
    for at in range(0, len(data), 7):
        pair[0].sock.sendall(data[at : at + 7])
        got += pair[1].receive()
    assert got == [("a", 1), ("b", 2), ("c", 3), ("d", 4)]


def test_nothing_there_is_no_end(pair: Pair) -> None:
    assert pair[1].receive() == []


def test_what_the_socket_does_not_take_is_kept_in_order(pair: Pair) -> None:
    told = []
    pair[0].on_backlog = told.append
    payload = bytes(3_000_000)
    pair[0].send([("big", payload)])
    pair[0].send([("small", 1)])
    assert pair[0].backlog and told == [pair[0]]
    got = []
    while len(got) < 2:
        got += pair[1].receive()
        pair[0].flush()
    assert got == [("big", payload), ("small", 1)] and not pair[0].backlog


def test_descriptors_travel_in_order_and_stay_the_senders(pair: Pair) -> None:
    pipes = [os.pipe() for _ in range(3)]
    for number, (reader, writer) in enumerate(pipes):
        pair[0].send([("take", number)], fds=[writer])
        os.close(writer)
        assert pair[1].receive() == [("take", number)]
        got = pair[1].fds.popleft()
        assert not os.get_inheritable(got)
        os.write(got, b"x")
        os.close(got)
        assert os.read(reader, 2) == b"x" and os.read(reader, 2) == b""
        os.close(reader)


def test_descriptors_behind_a_backlog(pair: Pair) -> None:
    reader, writer = os.pipe()
    pair[0].send([("big", bytes(2_000_000))])
    pair[0].send([("take",)], fds=[writer])
    os.close(writer)
    got = []
    while len(got) < 2:
        got += pair[1].receive()
        pair[0].flush()
    os.write(pair[1].fds.popleft(), b"late")
    assert os.read(reader, 10) == b"late"
    os.close(reader)


class Sick:
    """A socket on which sending fails."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.sock = sock
        self.number = number
        self.tries = 0

    def sendmsg(self, *_args: object) -> int:
        self.tries += 1
        raise OSError(self.number, os.strerror(self.number))

    send = sendmsg

    def __getattr__(self, name: str) -> object:
        return getattr(self.sock, name)


@pytest.mark.parametrize("number", [errno.ENOBUFS, errno.ETOOMANYREFS, errno.ENOMEM])
def test_what_the_system_has_no_room_for_is_kept_with_its_descriptors(pair: Pair, number: int) -> None:
    ours, theirs = pair
    told = []
    ours.on_backlog = told.append
    reader, writer = os.pipe()
    sock = ours.sock
    ours.sock = Sick(sock, number)  # type: ignore[assignment]
    ours.send([("lease",)], fds=[writer])
    ours.send([("next",)])
    os.close(writer)
    assert told == [ours] and not ours.flush() and ours.short and ours.backlog
    ours.sock = sock
    assert ours.flush() and not ours.short
    assert theirs.receive() + theirs.receive() == [("lease",), ("next",)]
    os.write(theirs.fds.popleft(), b"x")
    assert os.read(reader, 2) == b"x"
    os.close(reader)


def test_a_frame_that_can_never_be_sent_ends_the_connection(pair: Pair) -> None:
    ours, theirs = pair
    ours.sock = Sick(ours.sock, errno.EMSGSIZE)  # type: ignore[assignment]
    ours.send([("lost",)])
    for end in pair:
        with pytest.raises(ConnectionClosed):
            end.receive()


def test_a_peer_of_the_node_tries_again_without_turning(pair: Pair) -> None:
    ours, theirs = pair
    loop = asyncio.new_event_loop()
    peer = Peer(loop, ours, lambda _messages: None, lambda: None)
    sock, sick = ours.sock, Sick(ours.sock, errno.ETOOMANYREFS)
    ours.sock = sick  # type: ignore[assignment]
    peer.send(("lease",))
    loop.run_until_complete(asyncio.sleep(0.1))  # that it does not try all the time cannot be awaited
    assert 2 <= sick.tries <= 2 + 0.1 / SHORTAGE_PAUSE_S
    ours.sock = sock
    loop.run_until_complete(asyncio.sleep(2 * SHORTAGE_PAUSE_S))
    assert theirs.receive() == [("lease",)]
    peer.close()
    loop.close()


def test_a_sender_is_congested_until_the_peer_reads_or_the_connection_ends(pair: Pair) -> None:
    ours, theirs = pair
    assert not ours.congested
    ours.send([(b"x" * (2 * CONGESTED_BYTES),)])
    assert ours.congested
    while not ours.flush():
        theirs.receive()
    assert not ours.congested
    ours.send([(b"x" * (2 * CONGESTED_BYTES),)])
    ours.close()
    assert not ours.congested


def test_the_end_is_told_after_all_that_was_sent(pair: Pair) -> None:
    pair[0].send([("last", 1)])
    pair[0].close()
    pair[0].send([("swallowed",)])
    assert pair[1].receive() == [("last", 1)]
    with pytest.raises(ConnectionClosed):
        pair[1].receive()


@pytest.mark.parametrize("data", [struct.pack("<I", 5) + b"\xff" * 5, struct.pack("<I", 2**31)])
def test_what_is_not_a_frame_ends_the_connection(pair: Pair, data: bytes) -> None:
    pair[0].sock.sendall(data)
    with pytest.raises(ConnectionClosed):
        pair[1].receive()


def test_closing_twice_and_what_was_kept(pair: Pair) -> None:
    reader, writer = os.pipe()
    pair[0].send([("big", bytes(2_000_000))])
    pair[0].send([("take",)], fds=[writer])
    os.close(writer)
    pair[0].close()
    pair[0].close()
    assert os.read(reader, 1) == b""  # the copy that waited is closed too
    os.close(reader)


def test_the_peer_is_this_user(pair: Pair) -> None:
    assert peer_is_me(pair[0].sock)
