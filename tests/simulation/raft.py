"""The replicated log as a head sees it: plain raft (Ongaro and Ousterhout, 2014) over a network that loses messages.

With the interface of `rustray.head.raft.Replica`. What is on disk outlives a crash: term, vote and entries.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable
from typing import Any, NamedTuple

from rustray.cluster.state import ClusterState
from tests.simulation.clock import Clock, VirtualLoop
from tests.simulation.network import Network

HEARTBEAT_S = 0.1
ELECTION_S = (0.5, 1.0)
FALLBACK_S = 1.5
COMMIT_TIMEOUT_S = 10.0

Then = Callable[[dict[str, Any]], None]


class Entry(NamedTuple):
    term: int
    op: str
    payload: bytes
    operation: str


class Disk:
    """What one head has written."""

    def __init__(self) -> None:
        self.term = 0
        self.voted = ""
        self.log: list[Entry] = []
        self.boots = 0


class Replica:
    """One head's part in the log."""

    def __init__(
        self,
        clock: Clock,
        loop: VirtualLoop,
        network: Network,
        address: str,
        peers: dict[str, Replica],
        disk: Disk,
        on_leader: Callable[[], None],
        on_follower: Callable[[], None],
        on_word: Callable[[bytes], None],
    ) -> None:
        self.state = ClusterState()
        self.is_leader = False
        self.leader: str | None = None
        self.address = address
        self.applied = 0
        self._clock = clock
        self._loop = loop
        self._network = network
        self._peers = peers
        self._disk = disk
        disk.boots += 1
        self._on_leader = on_leader
        self._on_follower = on_follower
        self._on_word = on_word
        self._role = "follower"
        self._commit = 0
        self._votes: set[str] = set()
        self._next: dict[str, int] = {}
        self._match: dict[str, int] = {}
        self._heard_from: dict[str, float] = {}
        self._submitted = 0
        self._pending: dict[str, tuple[float, list[Then]]] = {}
        self.fallback_s = FALLBACK_S
        """Seconds for which it leads without hearing of a majority."""
        self._deadline = 0.0
        self._wait_for_leader()
        self._tick()

    @property
    def majority(self) -> int:
        return len(self._peers) // 2 + 1

    # -- commands

    def submit(self, op: str, payload: dict[str, Any], then: Then) -> None:
        """See `rustray.head.raft.Replica.submit`."""
        if not self.is_leader:
            self._loop.call_soon(then, {"error": "not_leader", "message": "it does not lead"})
            return
        self._submitted += 1
        operation = payload.get("operation")
        if operation is None:
            operation = f"{self.address}-{self._disk.boots}-{self._submitted}"
            payload = {**payload, "operation": operation}
        if operation in self._pending:
            self._pending[operation][1].append(then)
            return
        self._pending[operation] = self._clock.now + COMMIT_TIMEOUT_S, [then]
        self._append(Entry(self._disk.term, op, marshal.dumps(payload, 4), operation))

    def tell_others(self, word: bytes) -> None:
        """See `rustray.head.raft.Replica.tell_others`."""
        if self.is_leader:
            self._broadcast("on_word", self._disk.term, word)

    def on_word(self, term: int, word: bytes) -> None:
        if term == self._disk.term and self._role == "follower":
            self._on_word(word)

    def _append(self, entry: Entry) -> None:
        self._disk.log.append(entry)
        self._match[self.address] = len(self._disk.log)
        self._loop.call_soon(self._replicate)
        self._advance()

    def _answer(self, operation: str, result: dict[str, Any]) -> None:
        _deadline, thens = self._pending.pop(operation, (0.0, []))
        for then in thens:
            self._loop.call_soon(then, result)

    # -- time

    def _wait_for_leader(self) -> None:
        low, high = ELECTION_S if len(self._peers) > 1 else (0.01, 0.02)
        self._deadline = self._clock.now + self._clock.random.uniform(low, high)

    def _tick(self) -> None:
        now = self._clock.now
        if self._role == "leader":
            heard = sum(now - self._heard_from.get(peer, 0.0) < self.fallback_s for peer in self._peers) + 1
            if heard < self.majority:
                self._step_down(self._disk.term)
            else:
                self._replicate()
            for operation, (deadline, _thens) in list(self._pending.items()):
                if now > deadline:
                    self._answer(operation, _unknown("not committed in time"))
        elif now >= self._deadline:
            self._stand()
        self._loop.call_later(HEARTBEAT_S, self._tick)

    # -- elections

    def _stand(self) -> None:
        disk = self._disk
        disk.term += 1
        disk.voted = self.address
        self._role = "candidate"
        self.leader = None
        self._votes = {self.address}
        self._wait_for_leader()
        last = disk.log[-1].term if disk.log else 0
        self._broadcast("on_vote", disk.term, self.address, len(disk.log), last)
        self._count_votes()

    def on_vote(self, term: int, candidate: str, length: int, last: int) -> None:
        disk = self._disk
        self._see(term)
        mine = disk.log[-1].term if disk.log else 0
        if term == disk.term and disk.voted in ("", candidate) and (last, length) >= (mine, len(disk.log)):
            disk.voted = candidate
            self._wait_for_leader()
            self._send(candidate, "on_voted", term, self.address)

    def on_voted(self, term: int, voter: str) -> None:
        if self._role == "candidate" and term == self._disk.term:
            self._votes.add(voter)
            self._count_votes()

    def _count_votes(self) -> None:
        if len(self._votes) < self.majority:
            return
        self._role = "leader"
        self._next = dict.fromkeys(self._peers, len(self._disk.log))
        self._match = dict.fromkeys(self._peers, 0)
        self._heard_from = dict.fromkeys(self._peers, self._clock.now)
        self._append(Entry(self._disk.term, "", b"", ""))

    def _see(self, term: int) -> None:
        if term > self._disk.term:
            self._step_down(term)

    def _step_down(self, term: int) -> None:
        if term > self._disk.term:
            self._disk.term, self._disk.voted = term, ""
        self._role = "follower"
        self.leader = None
        self._wait_for_leader()
        if self.is_leader:
            self.is_leader = False
            for operation in list(self._pending):
                self._answer(operation, _unknown("it ceased to lead"))
            self._on_follower()

    # -- the log

    def _replicate(self) -> None:
        if self._role != "leader":
            return
        log = self._disk.log
        for peer in self._peers:
            if peer != self.address:
                start = self._next[peer]
                before = log[start - 1].term if start else 0
                entries = log[start : start + 64]
                self._send(
                    peer, "on_append", self._disk.term, self.address, start, before, entries, self._commit
                )

    def on_append(
        self, term: int, leader: str, start: int, before: int, entries: list[Entry], commit: int
    ) -> None:
        disk, log = self._disk, self._disk.log
        self._see(term)
        if term < disk.term:
            return
        if self._role == "candidate":
            self._role = "follower"
        self.leader = leader
        self._wait_for_leader()
        if start > len(log) or start and log[start - 1].term != before:
            self._send(leader, "on_appended", term, self.address, False, min(start, len(log)) - 1)
            return
        for offset, entry in enumerate(entries):
            at = start + offset
            if at < len(log) and log[at].term != entry.term:
                assert at >= self.applied, "raft: an applied entry is truncated"
                del log[at:]
            if at == len(log):
                log.append(entry)
        end = start + len(entries)
        self._apply_to(min(commit, end))
        self._send(leader, "on_appended", term, self.address, True, end)

    def on_appended(self, term: int, peer: str, ok: bool, end: int) -> None:
        self._see(term)
        if self._role != "leader" or term != self._disk.term:
            return
        self._heard_from[peer] = self._clock.now
        if not ok:
            self._next[peer] = max(0, min(end, self._next[peer]))
            return
        self._match[peer] = max(self._match[peer], end)
        self._next[peer] = max(self._next[peer], end)
        self._advance()

    def _advance(self) -> None:
        ends = sorted(self._match.values(), reverse=True)
        end = ends[self.majority - 1]
        if self._role == "leader" and end > self._commit and self._disk.log[end - 1].term == self._disk.term:
            self._apply_to(end)

    def _apply_to(self, end: int) -> None:
        self._commit = max(self._commit, end)
        while self.applied < self._commit:
            entry = self._disk.log[self.applied]
            self.applied += 1
            if not entry.op:
                if self._role == "leader" and entry.term == self._disk.term and not self.is_leader:
                    self.is_leader = True
                    self.leader = self.address
                    self._loop.call_soon(self._begin, entry.term)
                continue
            payload = marshal.loads(entry.payload)
            result = self.state.apply(entry.op, payload)
            if self._role == "leader":
                self._network.trace("log", self.address, entry.op, payload, result)
            self._answer(entry.operation, result)

    def _begin(self, term: int) -> None:
        if self.is_leader and term == self._disk.term:
            self._on_leader()

    # -- messages

    def _broadcast(self, call: str, *fields: Any) -> None:
        for peer in self._peers:
            if peer != self.address:
                self._send(peer, call, *fields)

    def _send(self, peer: str, call: str, *fields: Any) -> None:
        at = self._peers.get(peer)
        if at is not None:
            self._network.datagram(_host(self.address), _host(peer), at._loop, getattr(at, call), *fields)


def _host(address: str) -> str:
    return address.partition(":")[0]


def _unknown(why: str) -> dict[str, Any]:
    return {"error": "unknown_outcome", "message": f"{why}: it may be carried out or not"}
