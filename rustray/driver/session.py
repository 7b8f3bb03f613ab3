"""A client's connection to its node, and everything that hangs on it."""

from __future__ import annotations

import contextlib
import os
import socket
import time
import traceback
from collections.abc import Callable
from typing import Any

from rustray.driver import failures
from rustray.driver.actors import Actors
from rustray.driver.arguments import Arguments
from rustray.driver.blocks import Blocks
from rustray.driver.explaining import Explaining
from rustray.driver.figures import Telling
from rustray.driver.futures import Futures
from rustray.driver.head_contact import LOOK_S, HeadContact
from rustray.driver.lineage import Lineage
from rustray.driver.objects import ObjectTable
from rustray.driver.on_behalf import OnBehalf
from rustray.driver.output import Output, Sink
from rustray.driver.reactor import Awaited, Reactor
from rustray.driver.reading import Reader
from rustray.driver.requests import Reply, Requests
from rustray.driver.sharing import Sharing
from rustray.driver.submitter import Submitter
from rustray.driver.tasks import Tasks
from rustray.driver.writing import Writer
from rustray.errors import RustRayError, SessionError, TaskCancelledError, VersionMismatchError
from rustray.wire import versions
from rustray.wire.frames import Connection, Message

LEND_AFTER_S = 0.002
"""A worker that waits for longer lends its slot."""

PARTING_S = 0.2
"""Seconds for which a process that parts tries to be rid of what it has to tell."""


def no_fate() -> str:
    """Of a server that this process has not started."""
    return ""


class Session:
    """What a driver or worker has of the cluster.

    Parameters
    ----------
    sock: connected to the node.
    hello: ("driver", {...}) for a driver; None for a worker, which the node knows already.
    sink: takes what tasks print, None to drop it.
    """

    def __init__(
        self, sock: socket.socket, hello: tuple[str, dict[str, Any]] | None, sink: Sink | None
    ) -> None:
        self.client = 0
        self.id_prefix = b""
        self.info: dict[str, Any] = {}
        self.ended: RustRayError | None = None
        self.output = Output(sink, keeps=hello is not None)
        self.pid = os.getpid()
        self.fate: Callable[[], str] = no_fate
        """Says how the server has ended that this process started, "" where that is not known."""
        self.was_left = False
        """Whether it was this process that has ended it, by `close`."""
        self.running: Callable[[], Any] = lambda: None
        """In a worker: the task that the calling thread runs (`worker.context.Running`)."""
        self.hosted_actor: tuple[bytes, dict[str, Any]] | None = None
        self.around: tuple[bytes, bool] | None = None
        """In a worker: the placement group that its task or actor runs in, and whether that captures what it
        submits."""
        self.cancelled_calls: set[tuple[int, int]] = set()
        """Calls of the hosted actor, by client and number, that were cancelled while they ran."""
        self.lend: Callable[[], contextlib.AbstractContextManager[Any]] | None = None
        """In a worker: entered while it waits for others, so that its slot may be used meanwhile."""
        self.publish: Callable[[str, dict[str, Any]], None] | None = None
        """In a worker: shows the content of a Jupyter message of this type in the cell of the task that runs."""
        self.on_behalf: list[OnBehalf] = []
        """Processes that submit tasks for this one."""
        self.on_tick: list[Callable[[], None]] = [self.output.tick]
        self._welcome = Reply()
        self.reactor = Reactor(self._tick)
        self.reactor.on_defect = self._on_defect
        self.head = HeadContact(self.reactor.wait)
        self._node = Connection(sock, takes_fds=True)
        self.tell = self._tell
        self.requests = Requests(self)
        self.lineage = Lineage(self)
        self.objects = ObjectTable(self)
        self.sharing = Sharing(self)
        self.writer = Writer(self)
        self.reader = Reader(self)
        self.futures = Futures(self)
        self.arguments = Arguments(self)
        self.tasks = Tasks(self)
        self.blocks = Blocks(self)
        self.leases = Submitter(self)
        self.actors = Actors(self)
        self.explaining = Explaining(self)
        self.figures = Telling(self)
        self.on_end: list[Callable[[], None]] = []
        self.on_leave: list[Callable[[], None]] = []
        """Called when this process leaves a cluster that goes on, before it does."""
        self.handlers: dict[str, Callable[..., object]] = {
            "welcome": self._on_welcome,
            "refused": lambda text: self._end(VersionMismatchError(text)),
            "answer": self.requests.on_answer,
            "ended": self._on_ended,
            "head_lost": self.head.on_lost,
            "head_found": self.head.on_found,
            "lease": self._on_lease,
            "revoke": self.leases.on_revoke,
            "infeasible": self.leases.on_infeasible,
            "lease_lost": self.leases.on_lease_lost,
            "estimate": self.leases.on_estimate,
            "explain": self.explaining.on_explain,
            "suspended": self.leases.on_suspended,
            "block": self._on_block,
            "full": self.requests.on_answer,
            "segment": self.requests.on_segment,
            "unmap": self.blocks.on_unmap,
            "object": self.objects.on_object,
            "no_room": self.objects.on_no_room,
            "short": self.objects.on_short,
            "freed": self.lineage.on_freed,
            "recover": self.lineage.on_recover,
            "actor_channel": self._on_actor_channel,
            "actor_restarting": self.actors.on_restarting,
            "actor_dead": self.actors.on_dead,
            "actor_log": self._on_actor_log,
        }
        self.reactor.add(self._node, self._on_messages, self._on_closed)
        if hello is not None:
            self._node.send([("hello", versions.HERE, *hello)])

    def start(self, timeout: float) -> None:
        """Wait for the node's welcome and start the background thread.

        Raises SessionError after `timeout` seconds, VersionMismatchError if the node does not take this program.
        """
        asked = time.monotonic()
        while not self.reactor.wait(self._welcome, min(LOOK_S, asked + timeout - time.monotonic())):
            now = time.monotonic()
            self.head.tell(now, asked)
            if now - asked < timeout:
                continue
            self.close()
            if without := self.head.text(now):
                raise SessionError(
                    f"This process cannot join its cluster: the node here is well, but {without}. Start the heads "
                    "again, or look whether they can be reached, then try again."
                )
            raise SessionError(
                f"The node did not answer within {timeout:g} s. It may be overloaded or may have just ended; see its "
                "log under the session directory, or start a new cluster with init()."
            )
        if not self.client:
            self.check_open()
        self.reactor.start()

    def new_object_id(self) -> bytes:
        """The id of an object that no task makes."""
        return self.id_prefix + (self.tasks.next_number() << 16).to_bytes(10, "big")

    @property
    def is_worker(self) -> bool:
        """Whether it is that of a process which runs tasks or an actor for others."""
        return self.lend is not None

    # -- to the node -----------------------------------------------------------------------------------

    def _tell(self, *messages: Message) -> None:
        self._node.send(messages)

    def flush(self) -> bool:
        """Send what the node's socket had no room for; True when nothing is left."""
        return self._node.flush()

    def check_not_cancelled(self, client: int, number: int, name: str) -> None:
        """TaskCancelledError when the call of the hosted actor that has returned just now was cancelled."""
        if self.cancelled_calls and (client, number) in self.cancelled_calls:
            self.cancelled_calls.discard((client, number))
            error = TaskCancelledError.of(name)
            error.of_task = number  # type: ignore[attr-defined]
            raise error

    def wait(self, awaited: Awaited, timeout: float | None = None) -> bool:
        """`reactor.wait`, lending the slot of this worker if it takes longer than a moment."""
        if self.lend is None or awaited.ready:
            return self.reactor.wait(awaited, timeout)
        if self.reactor.wait(awaited, LEND_AFTER_S if timeout is None else min(timeout, LEND_AFTER_S)):
            return True
        if timeout is not None and timeout <= LEND_AFTER_S:
            return False
        with self.lend():
            return self.reactor.wait(awaited, None if timeout is None else timeout - LEND_AFTER_S)

    # -- from the node ---------------------------------------------------------------------------------

    def _on_messages(self, messages: list[Message]) -> None:
        handlers = self.handlers
        for message in messages:
            handlers[message[0]](*message[1:])

    def take_fd(self) -> int:
        """The next descriptor that came with the messages being handled."""
        return self._node.fds.popleft()

    def _on_welcome(self, client: int, info: dict[str, Any]) -> None:
        if "error" in info:
            self.ended = SessionError(info["error"])
        self.client = client
        self.id_prefix = client.to_bytes(6, "big")
        self.info = info
        self._welcome.settle((client,), [])

    def _on_block(self, number: int, segment: int, offset: int, size: int) -> None:
        if not self.requests.on_answer(number, segment, offset, size):
            self.tell(("abandon", segment, offset))  # who asked was interrupted

    def _on_lease(self, key: bytes, lease: int, worker: int) -> None:
        self.leases.on_lease(key, lease, worker, self.take_fd(), self.take_fd())

    def _on_actor_channel(self, actor: bytes, worker: int) -> None:
        self.actors.on_channel(actor, worker, self.take_fd(), self.take_fd())

    def _on_actor_log(self, stream: str, text: str, pid: int, name: str) -> None:
        self.output.take(None, stream, text, 0, pid, name)

    def _on_closed(self) -> None:
        if self.ended is None:
            how = self.fate()
            self._end(
                SessionError(
                    f"The connection to the cluster was lost: its server process has ended{how and f' ({how})'}. "
                    "Call rustray.shutdown() and rustray.init() to go on with a new one."
                )
            )

    def _on_ended(self, text: str) -> None:
        self._end(
            SessionError(
                f"The node has ended this session, for it could not handle a message of it: {text}. Its log under "
                "the session directory has more. Call rustray.shutdown() and rustray.init() to go on."
            )
        )

    def _on_defect(self, error: Exception) -> None:
        traceback.print_exception(error)
        self._end(
            SessionError(
                f"The session has ended because of a defect in RustRay: {type(error).__name__}: {error}. The "
                "traceback is on standard error: please report it. Call rustray.shutdown() and rustray.init() "
                "to go on."
            )
        )

    def _tick(self) -> None:
        objects = self.objects
        objects.end_readings()
        self.blocks.tick()
        objects.settle_drops()
        now = time.monotonic()
        self.leases.tick(now)
        self.tasks.count(now)
        self.tasks.tick()
        self.figures.tick(now)
        self._call_all(self.on_tick)

    def _call_all(self, calls: list[Callable[[], None]]) -> None:
        for call in tuple(calls):
            try:
                call()
            except Exception as error:
                # Much of it shows something to people, on streams of the user's that may fail: only that ends then.
                if call in calls:
                    calls.remove(call)
                # Standard error may be closed too; there is no other place to say it.
                with contextlib.suppress(Exception):
                    traceback.print_exception(error)

    # -- the end ---------------------------------------------------------------------------------------

    def check_open(self) -> None:
        """SessionError when the session has ended or belongs to the parent of this process."""
        if self.ended is not None:
            # A new one each time: a traceback keeps all that its frames know alive.
            raise type(self.ended)(*self.ended.args)
        if self.pid != os.getpid():
            raise SessionError.forked("rustray", self.pid)

    def _end(self, error: RustRayError) -> None:
        self.ended = error
        packed = failures.typed(error)
        self.leases.fail_all(packed)
        self.actors.fail_all(packed)
        self.objects.fail_all(packed)
        self.futures.close()
        self.requests.end()
        self._welcome.settle((), [])
        self._call_all(self.on_end)
        self.reactor.end_waits()

    def abandon(self) -> None:
        """In a forked child: let go of the parent's sockets without a word to the node."""
        self.ended = SessionError.forked("rustray", self.pid)
        self._node.abandon()

    def hand_over(self) -> None:
        """Tell the node all that was counted and not told yet: this process is about to part."""
        self.leases.tell_measured()
        self.tasks.count(time.monotonic(), at_once=True)
        self.figures.tell()
        deadline = time.monotonic() + PARTING_S
        while not self.flush() and time.monotonic() < deadline:
            time.sleep(0.001)

    def close(self) -> None:
        """Leave the cluster; what is pending fails with SessionError."""
        if self.ended is None:
            self._call_all(self.on_leave)
            self.was_left = True
            self.hand_over()
            self._end(
                SessionError(
                    "rustray.shutdown() was called: this reference belongs to a session that has ended."
                )
            )
        self.reactor.close()
        self._node.close()
        self.blocks.close()
