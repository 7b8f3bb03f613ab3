"""One head's part in the replicated log: commands go in, and come out in the same order on every head.

Rule 1. The state is touched in the asyncio loop only. The raft thread hands over what is committed, in
        order, and asks for the state of a snapshot in the same order.
Rule 2. A command is answered when this head has applied it. When the head ceases to lead, what is not answered
        yet is answered "unknown_outcome": the next leader may carry it out or not. Whoever sends it again under
        the same operation id learns which.
Rule 3. A head leads (`is_leader`) from the moment it has applied all that was committed before its election.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

from rustray.errors import OptionError
from rustray.head.addresses import grpc_address
from rustray.head.journal import SEGMENT_BYTES
from rustray.head.raft_entries import Assembly, CommandTooLarge, pack_command
from rustray.head.raft_folder import HeadFolder
from rustray.head.raft_thread import (
    ALONE,
    COMPACT_ENTRIES,
    TOGETHER,
    Event,
    Facts,
    RaftThread,
    Submitted,
    Timing,
    Word,
)

COMMIT_TIMEOUT = 10.0  # seconds after which a command is answered "unknown_outcome" in any case
PENDING_BYTES = 64 << 20  # of commands on their way; more are refused

_COMMAND_OVERHEAD = 512  # bytes that a waiting command costs beside its own

_log = logging.getLogger(__name__)

Then = Callable[[dict[str, Any]], None]


class State(Protocol):
    """What is replicated: see `rustray.cluster.state.ClusterState`."""

    def apply(self, op: str, payload: Mapping[str, Any]) -> dict[str, Any]: ...
    def to_dict(self) -> dict[str, Any]: ...
    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Self: ...


class _Pending(NamedTuple):
    deadline: float
    size: int
    thens: list[Then]


class Replica:
    """Use it in the thread of `loop` only; it calls back there.

    Parameters
    ----------
    address: "host:port" of this head for the other heads.
    others: addresses of the other heads: none, two or four, for ever the same.
    folder: the head's memory on disk, its own; made where it does not exist.
    password: the cluster's token. Heads prove it to each other, and their messages are sealed with it.
    state: the state to begin with. What was there before is restored into a new one of its class, so ask
        the attribute `state` for it each time.
    on_leader: this head leads now, and its state has all that was ever committed.
    on_follower: it leads no more.
    bind: "host:port" to listen on; "" for loopback. A head without others does not listen.
    on_word: the leading head has said this: see `tell_others`.
    on_failed: the replica has stopped for good because of this error, and the process should end.
    timing, compact_entries, segment_bytes: for tests. None: as fits the number of heads.

    Raises
    ------
    ClusterStateError: journal or snapshot are damaged, or of other heads.
    ClusterStartError: the port cannot be had, or another process has the folder.
    """

    def __init__(
        self,
        address: str,
        others: list[str],
        folder: Path | str,
        password: str | bytes,
        state: State,
        loop: asyncio.AbstractEventLoop,
        on_leader: Callable[[], None],
        on_follower: Callable[[], None],
        *,
        bind: str = "",
        on_word: Callable[[bytes], None] = lambda _word: None,
        on_failed: Callable[[BaseException], None] | None = None,
        timing: Timing | None = None,
        compact_entries: int = COMPACT_ENTRIES,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        if len(others) not in (0, 2, 4) or len({address, *others}) != len(others) + 1:
            raise OptionError(f"A cluster has 1, 3 or 5 heads, all different, not {[address, *others]}.")
        if others and not password:
            raise OptionError("Heads need a token to know each other by.")
        self.address = address
        self.state: State = state
        self.is_leader = False
        self._loop = loop
        self._on_leader = on_leader
        self._on_follower = on_follower
        self._on_word = on_word
        self._on_failed = on_failed
        self._assembly = Assembly()
        self._pending: dict[str, _Pending] = {}
        self._pending_bytes = 0
        self._expiry: asyncio.TimerHandle | None = None
        self._id = os.urandom(8)
        self._submitted = 0
        self._term = 0  # of the present leadership
        self._closed = False
        self._folder = HeadFolder(Path(folder), address, others, segment_bytes)
        try:
            if self._folder.snapshot is not None:
                self.on_snapshot(self._folder.snapshot.facts)
            self._thread = RaftThread(
                self._folder,
                password.encode() if isinstance(password, str) else password,
                bind or _loopback(address),
                timing or (TOGETHER if others else ALONE),
                compact_entries,
                self,
                self._post,
            )
        except BaseException:
            self._folder.close()
            raise

    @property
    def leader(self) -> str | None:
        """Address of the head that leads, as far as this one knows; None while nobody does."""
        if self.is_leader:
            return self.address
        known = self._thread.leader
        return known if known != self.address else None

    @property
    def waiting(self) -> str:
        """Why this head may not vote yet, for people; "" for an ordinary head."""
        return self._folder.membership.waiting

    @property
    def read_only(self) -> bool:
        """Whether this head's disk is full, so that it refuses commands."""
        return self._folder.journal.full

    def heads(self) -> list[dict[str, Any]]:
        """One row a head, as this one sees them while it leads: see `MetricsQueries.heads`."""
        return [{**row, "address": grpc_address(row["address"])} for row in self._thread.heads()]

    def submit(self, op: str, payload: Mapping[str, Any], then: Then) -> None:
        """Carry out a command on all heads; `then(result)` is called once, from the loop, never at once.

        Parameters: payload: plain values. Its "operation", a str, makes sending it again harmless; a command
        without one is given one.

        The result is what `state.apply` returned, or {"error": code, "message": text}:
        - not_leader: nothing was done; "leader" tells whom to ask, or is None;
        - read_only, busy, too_large, bad_payload: nothing was done;
        - unknown_outcome: it may be carried out or not. Comes within `COMMIT_TIMEOUT` at the latest.
        """
        refused = self._submit(op, payload, then)
        if refused is not None:
            self._loop.call_soon(then, refused)

    def tell_others(self, word: bytes) -> None:
        """Say something to the other heads, as long as this one leads: it is in no log, and may be lost."""
        self._thread.put(Word(word))

    def compact(self) -> None:
        """Write a snapshot soon, and forget the entries that it covers."""
        self._thread.compact()

    def close(self) -> None:
        """Stop, and answer what is pending. The folder and the port are free when it returns."""
        if not self._closed:
            self._closed = True
            self._thread.close()
            self._folder.close()
            self.is_leader = False
            self._abandon("the head was closed")

    # -- commands on their way

    def _submit(self, op: str, payload: Mapping[str, Any], then: Then) -> dict[str, Any] | None:
        """The refusal, if it is refused."""
        if not self.is_leader:
            return self._refusal("not_leader")
        self._submitted += 1
        operation = payload.get("operation")
        if operation is None:
            operation = f"{self._id.hex()}-{self._submitted}"
            payload = {**payload, "operation": operation}
        if operation in self._pending:
            self._pending[operation].thens.append(then)
            return None
        try:
            entries = pack_command(op, payload, self._id + self._submitted.to_bytes(8, "little"))
        except CommandTooLarge as error:
            return _error("too_large", str(error))
        except ValueError as error:
            return _error("bad_payload", f"{op}: {error}")
        size = _COMMAND_OVERHEAD + sum(map(len, entries))
        if self._pending_bytes + size > PENDING_BYTES:
            return _error(
                "busy", f"{len(self._pending)} commands are on their way; try again when some are done"
            )
        if self.read_only:
            return self._refusal("read_only")
        self._pending[operation] = _Pending(time.monotonic() + COMMIT_TIMEOUT, size, [then])
        self._pending_bytes += size
        if self._expiry is None:
            self._expiry = self._loop.call_later(COMMIT_TIMEOUT / 10, self._expire)
        self._thread.put(Submitted(self._term, operation, entries))
        return None

    def _refusal(self, code: str) -> dict[str, Any]:
        if code == "read_only":
            return _error(code, f"the disk of head {self.address} is full: {self._folder.path} needs room")
        leader = self.leader
        text = f"head {self.address} does not lead; ask {leader or 'again when one has been elected'}"
        return {**_error(code, text), "leader": leader}

    def _answer(self, operation: str, result: dict[str, Any]) -> None:
        pending = self._pending.pop(operation, None)
        if pending is None:  # submitted elsewhere, or given up
            return
        self._pending_bytes -= pending.size
        for then in pending.thens:
            self._loop.call_soon(then, result)

    def _abandon(self, why: str) -> None:
        for operation in list(self._pending):
            self._answer(operation, _error("unknown_outcome", f"{why}: it may be carried out or not"))
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def _expire(self) -> None:
        now = time.monotonic()
        for operation, pending in list(self._pending.items()):
            if pending.deadline < now:
                text = f"not committed after {COMMIT_TIMEOUT:g} s: it may still be carried out or not"
                self._answer(operation, _error("unknown_outcome", text))
        self._expiry = self._loop.call_later(COMMIT_TIMEOUT / 10, self._expire) if self._pending else None

    # -- what the raft thread tells

    def _post(self, events: list[Event]) -> bool:
        """In the raft thread."""
        try:
            self._loop.call_soon_threadsafe(self._on_events, events)
        except RuntimeError:  # the loop is closed
            return False
        return True

    def _on_events(self, events: list[Event]) -> None:
        for hear, arguments in events:
            try:
                hear(*arguments)
            except Exception as error:  # of on_leader and the like; what follows is to be heard all the same
                context = {"message": f"head {self.address}: a callback of raft failed", "exception": error}
                self._loop.call_exception_handler(context)

    def on_entry(self, entry: bytes) -> None:
        command = self._assembly.take(entry)
        if command is None:
            return
        op, payload = command
        try:
            result = self.state.apply(op, payload)
        except Exception as error:  # it must not stop the log, here or on any other head
            _log.exception("applying %s failed", op)
            result = _error("apply_failed", f"{op}: {type(error).__name__}: {error}")
        self._answer(payload["operation"], result)

    def on_snapshot(self, facts: Mapping[str, Any]) -> None:
        self.state = type(self.state).from_dict(facts["state"])
        self._assembly = Assembly(list(facts["pieces"]))

    def on_facts_wanted(self, index: int) -> None:
        if not self._closed:
            self._thread.put(
                Facts(index, {"state": self.state.to_dict(), "pieces": list(self._assembly.pieces)})
            )

    def on_elected(self, term: int) -> None:
        if not self._closed:
            self._term = term
            self.is_leader = True
            self._on_leader()

    def on_deposed(self) -> None:
        if self.is_leader:
            self.is_leader = False
            self._abandon(f"head {self.address} ceased to lead")
            self._on_follower()

    def on_refused(self, operation: str, code: str) -> None:
        self._answer(operation, self._refusal(code))

    def on_word(self, word: bytes) -> None:
        if not self.is_leader:
            self._on_word(word)

    def on_stopped(self, error: BaseException) -> None:
        self.on_deposed()
        if self._on_failed is not None:
            self._on_failed(error)


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error": code, "message": message}


def _loopback(address: str) -> str:
    host, _colon, port = address.rpartition(":")
    return address if host.startswith("127.") else f"127.0.0.1:{port}"
