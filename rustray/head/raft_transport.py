"""How raft's messages travel between heads, and which of them PySyncObj gets to see.

The transport takes the place of PySyncObj's own, which unpickles what a stranger sends. What it adds:

- peers prove the token first, and frames are sealed (`raft_link`);
- a head that lost its disk takes part only when that is safe (`raft_membership`);
- what PySyncObj would believe too easily is corrected on its way in and out (`raft_rules`), and what it acknowledges
  is on disk before the acknowledgement leaves.

All of it runs in the thread that turns PySyncObj's wheel.
"""

from __future__ import annotations

import logging
import math
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

from rustray.errors import ClusterStartError
from rustray.head.journal import Journal
from rustray.head.raft_library import TCPNode, Transport
from rustray.head.raft_link import SecureLink
from rustray.head.raft_membership import HelloRefused, Membership
from rustray.head.raft_rules import acknowledge, believe_append, believe_snapshot, counts
from rustray.head.raft_socket import ERROR, READ, REFUSED, Connection

RETRY_DIAL = 0.2  # seconds
PING_EVERY = 0.5  # seconds
PAUSED = 1.0  # seconds between two turns that mean this process was stopped, and not its peers
STRANGERS = 32  # connections that have proved nothing yet

_NOBODY = "-"  # the vote of a term that is used up

_log = logging.getLogger(__name__)

Message = dict[str, Any]


class RaftTransport(Transport):  # type: ignore[misc]
    """Parameters: raft: the SyncObj that owns it. bind: host:port to listen on. hear: takes a word of the leader.

    Raises ClusterStartError where the port cannot be had. A head without others listens to nobody.
    """

    def __init__(
        self,
        raft: Any,
        others: Iterable[TCPNode],
        membership: Membership,
        journal: Journal,
        token: bytes,
        bind: str,
        hear: Callable[[bytes], None],
    ) -> None:
        super().__init__(raft, None, others)
        self._hear = hear
        self._raft = raft
        self._nodes: dict[str, TCPNode] = {node.address: node for node in others}
        self._membership = membership
        self._journal = journal
        self._token = token
        self._now = 0.0
        self._strangers: set[Connection] = set()  # not proved, or not yet known who it is
        self._connections: dict[str, Connection] = {}
        self._joined: set[str] = set()  # those that PySyncObj knows to be connected
        self._dial_at: dict[str, float] = {}
        self._complained: dict[str, str] = {}
        self._asked: dict[str, float] = {}  # when a head was sent entries, or none, that it is to acknowledge
        self._round_trips: dict[str, float] = {}
        self._proven: int | None = None  # by the message that PySyncObj handles just now
        self._server = self._listen(bind) if self._nodes else None

    def _listen(self, bind: str) -> socket.socket:
        host, _colon, port = bind.rpartition(":")
        try:
            server = socket.create_server((host, int(port)), family=_family(host), backlog=16)
        except (OSError, OverflowError, ValueError) as error:
            raise ClusterStartError(
                f"The head could not listen for other heads on {bind}: {error}. Another process may have the port, or "
                "the address is not one of this machine."
            ) from error
        server.setblocking(False)
        self._raft._poller.subscribe(server.fileno(), self._on_dialed, READ | ERROR)
        return server

    # -- connections

    def turn(self, now: float) -> None:
        """Dial, ping, and give up what is silent. To be called at least every few hundred milliseconds."""
        connections = [*self._strangers, *self._connections.values()]
        paused = now - self._now > PAUSED
        self._now = now
        for connection in connections:
            connection.now = now
            if paused:
                connection.excuse_silence()
            connection.check_timeouts()
            if connection.peer and connection.quiet_for > PING_EVERY:
                connection.send({"type": "ping"})
        for address in self._nodes:
            if self._membership.address > address and address not in self._connections:
                self._dial(address, now)

    def _dial(self, address: str, now: float) -> None:
        if now < self._dial_at.get(address, -math.inf) or any(s.peer == address for s in self._strangers):
            return
        self._dial_at[address] = now + RETRY_DIAL
        host, _colon, port = address.rpartition(":")
        try:
            family, kind, protocol, _name, place = socket.getaddrinfo(
                host.strip("[]"), int(port), type=socket.SOCK_STREAM
            )[0]
        except OSError as error:
            self._complain(address, str(error))
            return
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            sock.connect(place)
        except BlockingIOError:
            pass  # the poller tells when it is there
        except OSError as error:
            sock.close()
            self._complain(address, str(error))
            return
        self._serve(sock, SecureLink(self._token, dials=True), address)

    def _on_dialed(self, fd: int, mask: int) -> None:
        assert self._server is not None
        try:
            sock, _place = self._server.accept()
        except OSError:  # it hung up already; should the server itself be broken, dialing others still works
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(self._strangers) >= STRANGERS:
            min(self._strangers, key=lambda stranger: stranger.began).close("too many strangers")
        self._serve(sock, SecureLink(self._token, dials=False), "")

    def _serve(self, sock: socket.socket, link: SecureLink, peer: str) -> None:
        connection = Connection(
            self._raft._poller, sock, link, self._now, self._on_open, self._on_message, self._on_closed, peer
        )
        self._strangers.add(connection)

    def _on_open(self, connection: Connection) -> None:
        if connection.peer:  # we dialed; the other side speaks when it knows who we are
            connection.send(self._membership.hello(connection.peer, self._raft.raftCurrentTerm))

    def _on_closed(self, connection: Connection, reason: str) -> None:
        self._strangers.discard(connection)
        address = connection.peer
        self._complain(address or "a stranger", reason)
        if self._connections.get(address) is connection:
            del self._connections[address]
            self._membership.on_disconnected(address)
            self._asked.pop(address, None)
            self._round_trips.pop(address, None)
            if address in self._joined:
                self._joined.discard(address)
                self._onNodeDisconnected(self._nodes[address])
                if self._raft._getLeader() == self._nodes[address]:
                    self._raft.expect_election()

    def _complain(self, peer: str, text: str) -> None:
        """Log why there is no connection, but not at each new try. A head that is away is nothing to warn of."""
        if self._complained.get(peer) != text:
            self._complained[peer] = text
            level = logging.WARNING if text.startswith(REFUSED) else logging.INFO
            _log.log(level, "head %s: no connection with %s: %s", self._membership.address, peer, text)

    # -- messages in

    def _on_message(self, connection: Connection, message: Any) -> None:
        kind = message["type"]
        if kind == "hello":
            self._on_hello(connection, message)
        elif connection.peer in self._joined and kind in self._HANDLERS:
            self._HANDLERS[kind](self, self._nodes[connection.peer], message)

    def _on_hello(self, connection: Connection, hello: Message) -> None:
        membership = self._membership
        address = hello["address"]
        if connection.peer not in ("", address):
            connection.close(f"{address} answers there")
            return
        try:
            news = membership.on_hello(hello)
        except HelloRefused as refused:
            connection.close(f"{REFUSED}: {refused}")
            return
        if connection in self._strangers:
            self._strangers.discard(connection)
            older = self._connections.get(address)
            if older is not None:
                older.close("it has connected anew")
                membership.on_hello(hello)
            self._connections[address] = connection
            self._complained.pop(address, None)
            if not connection.peer:
                connection.peer = address
                connection.send(membership.hello(address, self._raft.raftCurrentTerm))
        if news:
            self._remember()
        used_up = membership.decide()
        if used_up is not None:
            if used_up > self._raft.raftCurrentTerm:  # durable before this head takes part
                self._raft.set_term(used_up, _NOBODY)
            self._remember()
            for peer, other in list(self._connections.items()):
                other.send(membership.hello(peer, self._raft.raftCurrentTerm))
        if membership.takes_part:
            for peer, known in list(membership.hellos.items()):
                if known["state"] != "blank" and peer not in self._joined and peer in self._connections:
                    self._joined.add(peer)
                    self._onNodeConnected(self._nodes[peer])
                    if self._raft._getLeader() is None:
                        self._raft.expect_election()

    def _remember(self) -> None:
        self._journal.remember(membership=self._membership.state, met=sorted(self._membership.met))

    def _on_append(self, node: TCPNode, message: Message) -> None:
        if message["term"] < self._raft.raftCurrentTerm:
            return
        committed = self._raft.raftCommitIndex
        if "entries" not in message:
            self._onMessageReceived(node, believe_snapshot(message, committed))
            return
        believed = believe_append(message, self._journal, committed)
        self._proven = believed.proven
        self._onMessageReceived(node, believed.message)
        self._proven = None
        if self._membership.on_proven(message["term"], message["last_index"], believed.proven):
            self._remember()
            for peer, other in list(self._connections.items()):
                other.send(self._membership.hello(peer, self._raft.raftCurrentTerm))

    def _on_ack(self, node: TCPNode, ack: Message) -> None:
        if not counts(ack, self._raft.raftCurrentTerm):
            return
        asked = self._asked.pop(node.address, None)
        if asked is not None:
            self._round_trips[node.address] = time.monotonic() - asked
        sent = self._raft.next_index(node)
        self._onMessageReceived(node, ack)
        if ack["success"]:  # what is on its way behind the acknowledged is not to be sent again
            self._raft.raise_next_index(node, sent)

    def _on_vote_wanted(self, node: TCPNode, message: Message) -> None:
        if self._membership.votes:
            self._onMessageReceived(node, message)

    def _on_vote(self, node: TCPNode, message: Message) -> None:
        self._onMessageReceived(node, message)

    def _on_word(self, node: TCPNode, message: Message) -> None:
        if message["term"] == self._raft.raftCurrentTerm and self._raft._getLeader() == node:
            self._hear(message["word"])

    _HANDLERS = {
        "word": _on_word,
        "append_entries": _on_append,
        "next_node_idx": _on_ack,
        "request_vote": _on_vote_wanted,
        "response_vote": _on_vote,
    }

    # -- messages out

    def send(self, node: TCPNode, message: Message) -> bool:
        """Whether it is on its way; PySyncObj repeats what matters."""
        if node.address not in self._joined:
            return False
        kind = message["type"]
        if kind == "next_node_idx":
            message = acknowledge(message, self._raft.raftCurrentTerm, self._proven)
            self._journal.sync()
        elif kind == "append_entries":
            message["last_index"] = self._journal.last_index
            self._asked.setdefault(node.address, time.monotonic())
        self._connections[node.address].send(message)
        return node.address in self._joined

    def tell_all(self, word: bytes) -> None:
        """Say something to the other heads that is in no log; those that are slow to listen are passed over."""
        message = {"type": "word", "term": self._raft.raftCurrentTerm, "word": word}
        for address in list(self._joined):
            connection = self._connections[address]
            if connection.backlog == 0:
                connection.send(message)

    def backlog(self, node: TCPNode) -> int:
        connection = self._connections.get(node.address)
        return connection.backlog if connection is not None else 0

    def round_trips(self) -> dict[str, float | None]:
        """Seconds from sending something to the acknowledgement that it is on disk, by head; None of one that is not
        connected, 0.0 of one that was not measured yet. From any thread."""
        joined, measured = set(self._joined), dict(self._round_trips)
        return {address: measured.get(address, 0.0) if address in joined else None for address in self._nodes}

    def destroy(self) -> None:
        self._joined.clear()  # so that nobody is told of what ends now
        if self._server is not None:
            self._raft._poller.unsubscribe(self._server.fileno())
            self._server.close()
        for connection in [*self._strangers, *self._connections.values()]:
            self._complained[connection.peer or "a stranger"] = "closed"
            connection.close("closed")


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
