"""The thread that turns PySyncObj's wheel: the raft of one head.

Of PySyncObj we use what makes it raft: elections, replication, commitment. Its queue, callbacks, pickled methods,
forks, files and sockets are not used: its traps are in them.

Rule 1. What is committed is handed over in order, with all else that the other side has to know in between.
Rule 2. A turn adds the commands that have come, sends them once to each head, and makes them durable here while
        they travel. Only then does it wait.
Rule 3. An error that is not a full disk stops the thread: a head that is not sure of itself must not lead.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from rustray.head.journal import JournalFull
from rustray.head.raft_folder import HeadFolder
from rustray.head.raft_library import SyncObj, SyncObjConf
from rustray.head.raft_membership import Membership
from rustray.head.raft_snapshot import Snapshot, Snapshots
from rustray.head.raft_socket import READ
from rustray.head.raft_transport import RaftTransport

COMPACT_ENTRIES = 5_000
COMPACT_BYTES = 64 << 20  # of journal
STEP_DOWN_EVERY = 30.0  # seconds, of a leader that has no room on its disk

_NO_OP = b"\1"
_FOLLOWER = 0

_log = logging.getLogger(__name__)


class Timing(NamedTuple):
    """Seconds. A follower stands for election when it has not heard from a leader for `election` (a random time in
    between); a leader that the majority does not answer gives up after `fallback`."""

    heartbeat: float
    election: tuple[float, float]
    fallback: float
    turn: float  # at least so often the wheel turns


ALONE = Timing(heartbeat=0.002, election=(0.01, 0.02), fallback=1.5, turn=0.25)
TOGETHER = Timing(heartbeat=0.1, election=(0.5, 1.0), fallback=1.5, turn=0.025)


class Submitted(NamedTuple):
    term: int  # of the leadership it was submitted to
    operation: str
    entries: list[bytes]


class Facts(NamedTuple):
    """The state as of the entry `last`, to be written as a snapshot."""

    last: int
    facts: dict[str, Any]


class Word(NamedTuple):
    """For the other heads, while this one leads; in no log, and it may be lost."""

    word: bytes


class Listener(Protocol):
    """Who is told, in this order and in the thread that `post` brings it to."""

    def on_entry(self, entry: bytes) -> None: ...
    def on_snapshot(self, facts: dict[str, Any]) -> None: ...
    def on_facts_wanted(self, index: int) -> None: ...
    def on_elected(self, term: int) -> None: ...
    def on_deposed(self) -> None: ...
    def on_refused(self, operation: str, code: str) -> None: ...
    def on_word(self, word: bytes) -> None: ...
    def on_stopped(self, error: BaseException) -> None: ...


Event = tuple[Callable[..., None], tuple[Any, ...]]


class _Raft(SyncObj):  # type: ignore[misc]
    """PySyncObj with our journal, snapshots and transport; all that knows its insides is here."""

    _SyncObj__raftElectionDeadline: float

    def __init__(
        self,
        membership: Membership,
        conf: SyncObjConf,
        folder: HeadFolder,
        snapshots: Snapshots,
        make_transport: Callable[[Any, Any, Any], RaftTransport],
        on_entry: Callable[[bytes], None],
    ) -> None:
        super().__init__(membership.address, membership.others, conf, transportClass=make_transport)
        journal = folder.journal
        if not len(journal):
            journal.add(_NO_OP, 1, 0)
        self._on_entry = on_entry
        self._SyncObj__raftLog = journal
        self._SyncObj__serializer = snapshots
        term, last_term = journal.getCurrentTerm(), journal[-1][2]
        self._SyncObj__raftCurrentTerm = max(term, last_term)
        self._SyncObj__votedForNodeId = journal.getVotedForNodeId() if term >= last_term else None
        self._SyncObj__raftCommitIndex = folder.snapshot.last[1] if folder.snapshot else 1

    def _SyncObj__doApplyCommand(self, command: bytes) -> None:
        self._on_entry(command)

    def set_term(self, term: int, vote: str) -> None:
        self._SyncObj__setCurrentTerm(term, vote)

    def next_index(self, node: Any) -> int:
        return int(self._SyncObj__raftNextIndex.get(node, 0))

    def match_index(self, address: str) -> int:
        """Up to which entry the head at `address` is known to have the log; of a leader."""
        matches = list(self._SyncObj__raftMatchIndex.items())
        return next((int(index) for node, index in matches if node.address == address), 0)

    def raise_next_index(self, node: Any, index: int) -> None:
        if self._isLeader():
            known = self._SyncObj__raftNextIndex
            known[node] = max(known[node], index)

    def send_entries(self) -> None:
        self._SyncObj__sendAppendEntries()

    def step_down(self, rest: float) -> None:
        """Cease to lead, and do not stand for election for `rest` seconds."""
        if self._isLeader():
            self._SyncObj__setState(_FOLLOWER)
            self._SyncObj__raftLeader = None
        self.postpone_election(rest)

    def expect_election(self) -> None:
        """Heads have come or gone, so a leader may be missing: find out sooner than after a long silence."""
        now = time.monotonic()
        soon = now + self.conf.raftMinTimeout * random.uniform(0.4, 1.0)
        if not now < self._SyncObj__raftElectionDeadline < soon:
            self._SyncObj__raftElectionDeadline = soon

    def postpone_election(self, seconds: float) -> None:
        self._SyncObj__raftElectionDeadline = time.monotonic() + seconds


class RaftThread:
    """`post` brings events to the listener's thread; False when nobody is there any more.

    Raises ClusterStartError where the port cannot be had.
    """

    def __init__(
        self,
        folder: HeadFolder,
        token: bytes,
        bind: str,
        timing: Timing,
        compact_entries: int,
        listener: Listener,
        post: Callable[[list[Event]], bool],
    ) -> None:
        self._membership = folder.membership
        self._journal = folder.journal
        self._timing = timing
        self._listener = listener
        self._post = post
        self._events: list[Event] = []
        self._inbox: deque[Submitted | Facts | Word] = deque()
        self._closing = False
        self._leading: int | None = None  # the term
        self._barrier = 0  # the last entry when it was elected
        self._announced = False
        self._stepped_down = -STEP_DOWN_EVERY
        self.leader: str | None = None  # who leads, as far as this head knows
        self._snapshots = Snapshots(
            folder.path, folder.journal, folder.snapshot, self._want_facts, self._take_snapshot
        )
        conf = SyncObjConf(
            autoTick=False,
            appendEntriesPeriod=timing.heartbeat,
            raftMinTimeout=timing.election[0],
            raftMaxTimeout=timing.election[1],
            leaderFallbackTimeout=timing.fallback,
            fullDumpFile=str(self._snapshots.path),
            useFork=False,
            logCompactionMinEntries=compact_entries,
        )

        def make_transport(raft: Any, me: Any, nodes: Any) -> RaftTransport:
            self._transport = RaftTransport(
                raft, nodes, self._membership, self._journal, token, bind, self._take_word
            )
            return self._transport

        self._raft = _Raft(self._membership, conf, folder, self._snapshots, make_transport, self._take_entry)
        self._snapshots.backlog = self._transport.backlog
        self._raft.addOnTickCallback(self._turn)
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._raft._poller.subscribe(self._wake_fd, lambda fd, mask: os.eventfd_read(fd), READ)
        self._thread = threading.Thread(target=self._run, name="rustray-raft", daemon=True)
        self._thread.start()

    # -- in the listener's thread

    def put(self, item: Submitted | Facts | Word) -> None:
        self._inbox.append(item)
        self._wake()

    def heads(self) -> list[dict[str, Any]]:
        """One row a head, as of a moment ago; of others only a leader knows how far they have come."""
        raft, last = self._raft, self._journal.last_index
        term, committed = raft.raftCurrentTerm, raft.raftCommitIndex
        leads = self._leading is not None
        own = {
            "address": self._membership.address,
            "state": "leads" if leads else "follows",
            "term": term,
            "committed": committed,
            "lag": max(0, committed - raft.raftLastApplied),
            "rtt_s": None,
        }
        rows = [own]
        for address, rtt in self._transport.round_trips().items():
            known = raft.match_index(address) if leads else 0
            rows.append(
                {
                    "address": address,
                    "state": "does not answer"
                    if rtt is None
                    else "leads"
                    if address == self.leader
                    else "follows",
                    "term": term,
                    "committed": min(known, committed),
                    "lag": max(0, last - known),
                    "rtt_s": rtt,
                }
            )
        return rows

    def compact(self) -> None:
        self._raft.forceLogCompaction()

    def close(self) -> None:
        """Stop; port and files are closed on return."""
        self._closing = True
        self._wake()
        self._thread.join()
        os.close(self._wake_fd)

    def _wake(self) -> None:
        os.eventfd_write(self._wake_fd, 1)

    # -- in the thread itself

    def _run(self) -> None:
        try:
            while not self._closing:
                try:
                    self._journal.sync()
                    self._raft.doTick(self._patience)
                except JournalFull as full:
                    _log.error("head %s: %s", self._membership.address, full)
                    self._raft.step_down(self._timing.election[1])
                    self._notice_leadership()
                    self._hand_over()
                    time.sleep(self._timing.turn)
        except BaseException as error:
            _log.critical("head %s: raft has stopped", self._membership.address, exc_info=True)
            self._tell(self._listener.on_stopped, error)
            self._hand_over()
        finally:
            self._raft.destroy()
            self._snapshots.close()

    @property
    def _patience(self) -> float:
        """Seconds that a turn may wait for messages: a head alone has none to wait for when it stands for election."""
        alone = not self._membership.others
        return self._timing.heartbeat if alone and not self._announced else self._timing.turn

    def _turn(self) -> None:
        """Once per turn of the wheel, before it waits for messages."""
        now = time.monotonic()
        self._transport.turn(now)
        if not self._membership.votes:
            self._raft.postpone_election(self._timing.election[1])
        self._notice_leadership()
        last = self._journal.last_index
        while self._inbox:
            self._take(self._inbox.popleft())
        if self._journal.last_index != last:
            self._raft.send_entries()
            if not self._membership.others:
                self._wake()  # committed at the next turn
        self._journal.sync()
        if self._journal.size > COMPACT_BYTES:
            self._raft.forceLogCompaction()
        if self._journal.full and self._leading is not None and self._membership.others:
            self._let_another_lead(now)
        self._hand_over()

    def _take(self, item: Submitted | Facts | Word) -> None:
        if isinstance(item, Facts):
            self._snapshots.provide(*item)
        elif isinstance(item, Word):
            if self._leading is not None:
                self._transport.tell_all(item.word)
        elif item.term != self._leading:
            self._tell(self._listener.on_refused, item.operation, "not_leader")
        else:
            try:
                for entry in item.entries:
                    self._journal.add(entry, self._journal.last_index + 1, item.term)
            except JournalFull:  # without its last fragment it is no command
                self._tell(self._listener.on_refused, item.operation, "read_only")

    def _notice_leadership(self) -> None:
        raft = self._raft
        leading = raft.raftCurrentTerm if raft._isLeader() else None
        if leading != self._leading:
            if self._announced:
                self._tell(self._listener.on_deposed)
            self._leading, self._announced = leading, False
            self._barrier = self._journal.last_index
        if leading is not None and not self._announced and raft.raftLastApplied >= self._barrier:
            self._announced = True
            self._tell(self._listener.on_elected, leading)
        leader = raft._getLeader()
        self.leader = leader.address if leader is not None else None

    def _let_another_lead(self, now: float) -> None:
        """A full disk here need not stop a cluster whose other heads have room."""
        if now - self._stepped_down > STEP_DOWN_EVERY:
            self._stepped_down = now
            self._raft.step_down(3 * self._timing.election[1])

    def _take_entry(self, entry: bytes) -> None:
        self._tell(self._listener.on_entry, entry)

    def _take_word(self, word: bytes) -> None:
        self._tell(self._listener.on_word, word)

    def _want_facts(self, index: int) -> None:
        self._tell(self._listener.on_facts_wanted, index)

    def _take_snapshot(self, snapshot: Snapshot) -> None:
        self._tell(self._listener.on_snapshot, snapshot.facts)

    def _tell(self, hear: Callable[..., None], *arguments: Any) -> None:
        self._events.append((hear, arguments))

    def _hand_over(self) -> None:
        if self._events:
            events, self._events = self._events, []
            if not self._post(events):
                self._closing = True
