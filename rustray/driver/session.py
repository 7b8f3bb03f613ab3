"""A client's connection to its node, and everything that hangs on it.

The one global of the package lives here: the session of this process, which `init` opens in a driver and
the worker's main program opens in a worker.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from rustray.driver import failures
from rustray.driver.actors import Actors
from rustray.driver.blocks import Blocks
from rustray.driver.explaining import Explaining
from rustray.driver.futures import Futures
from rustray.driver.head_contact import LOOK_S, HeadContact
from rustray.driver.objects import ObjectTable
from rustray.driver.reactor import Awaited, Reactor
from rustray.driver.reading import Reader
from rustray.driver.submitter import Submitter
from rustray.driver.task import Task
from rustray.driver.tasks import Tasks
from rustray.errors import RustRayError, SessionError, TaskCancelledError
from rustray.wire.frames import Connection, Message

LEND_AFTER_S = 0.002
"""A worker that waits for longer lends its slot."""

QUERIES = {
    "kv_put": ("kv.put()", True),
    "kv_delete": ("kv.delete()", True),
    "kv_get": ("kv.get()", False),
    "kv_exists": ("kv.exists()", False),
    "kv_keys": ("kv.keys()", False),
    "group_create": ("placement_group()", True),
    "group_remove": ("remove_placement_group()", True),
    "group_named": ("get_placement_group()", False),
    "group_table": ("placement_group_table()", False),
    "actor_named": ("get_actor()", False),
    "nodes": ("nodes()", False),
    "resources": ("The question for the cluster's resources", False),
    "explained": ("explain()", False),
    "explain_task": ("explain()", False),
}
"""By query, how users call it, and whether it changes the cluster's facts."""

LogSink = Callable[[str, str, str, int, Task | None], None]
"""Called with stream ("stdout" or "stderr"), text, name of the function, pid, and the task if it is known."""


class Reply:
    """The answer to one request, when it comes."""

    __slots__ = ("_waiters", "fds", "fields", "ready")

    def __init__(self) -> None:
        self.ready = False
        self.fields: tuple[Any, ...] = ()
        self.fds: list[int] = []
        self._waiters: list[Callable[[], object]] = []

    def add_waiter(self, wake: Callable[[], object]) -> None:
        self._waiters.append(wake)

    def remove_waiter(self, wake: Callable[[], object]) -> None:
        if wake in self._waiters:
            self._waiters.remove(wake)

    def settle(self, fields: tuple[Any, ...], fds: list[int]) -> None:
        self.fields, self.fds = fields, fds
        self.ready = True
        for wake in list(self._waiters):
            wake()


class Session:
    """What a driver or worker has of the cluster.

    Parameters
    ----------
    sock: connected to the node.
    hello: ("driver", {...}) for a driver; None for a worker, which the node knows already.
    print_log: takes what tasks print, None to drop it.
    """

    def __init__(
        self, sock: socket.socket, hello: tuple[str, dict[str, Any]] | None, print_log: LogSink | None
    ) -> None:
        self.client = 0
        self.id_prefix = b""
        self.info: dict[str, Any] = {}
        self.ended: RustRayError | None = None
        self.print_log = print_log
        self.log_sinks: dict[Any, LogSink] = {}
        """What takes the output of tasks of one function, by the function's key, in place of `print_log`."""
        self.pid = os.getpid()
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
        self.on_tick: list[Callable[[], None]] = []
        self._requests: dict[int, Reply] = {}
        self._request_number = 0
        self._request_lock = threading.Lock()
        self._welcome = Reply()
        self.reactor = Reactor(self._tick)
        self.reactor.on_defect = self._on_defect
        self.head = HeadContact(self.reactor.wait)
        self._node = Connection(sock, takes_fds=True)
        self.tell = self._tell
        self.objects = ObjectTable(self)
        self.reader = Reader(self)
        self.futures = Futures(self)
        self.tasks = Tasks(self)
        self.blocks = Blocks(self)
        self.leases = Submitter(self)
        self.actors = Actors(self)
        self.explaining = Explaining(self)
        self.on_end: list[Callable[[], None]] = []
        self.handlers: dict[str, Callable[..., None]] = {
            "welcome": self._on_welcome,
            "answer": self._on_answer,
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
            "block": self._on_answer,
            "full": self._on_answer,
            "segment": self._on_segment,
            "unmap": self.blocks.on_unmap,
            "object": self.objects.on_object,
            "no_room": self.objects.on_no_room,
            "freed": self.objects.on_freed,
            "recover": self.objects.on_recover,
            "actor_channel": self._on_actor_channel,
            "actor_restarting": self.actors.on_restarting,
            "actor_dead": self.actors.on_dead,
            "actor_log": self._on_actor_log,
        }
        self.reactor.add(self._node, self._on_messages, self._on_closed)
        if hello is not None:
            self._node.send([("hello", *hello)])

    def start(self, timeout: float) -> None:
        """Wait for the node's welcome and start the background thread; SessionError after `timeout` seconds."""
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

    # -- to the node -----------------------------------------------------------------------------------

    def _tell(self, *messages: Message) -> None:
        self._node.send(messages)

    def request(self, op: str, *fields: Any) -> Reply:
        """Send ``(op, number, *fields)`` to the node and wait for the answer that carries the number."""
        return self._request(op, fields, lambda reply: self.reactor.wait(reply))

    def ask_head(self, what: str, op: str, *fields: Any, changes: bool) -> Reply:
        """As `request`, when the head has to answer: see `HeadContact.wait_for_answer`."""
        return self._request(op, fields, lambda reply: self.head.wait_for_answer(reply, what, changes))

    def _request(self, op: str, fields: tuple[Any, ...], wait: Callable[[Reply], object]) -> Reply:
        self.check_open()
        number, reply = self.new_request()
        self._node.send([(op, number, *fields)])
        try:
            wait(reply)
        finally:
            self._requests.pop(number, None)
        if not reply.fields:
            self.check_open()
        return reply

    def new_request(self) -> tuple[int, Reply]:
        """A number to ask under, and where its answer will be."""
        reply = Reply()
        with self._request_lock:
            self._request_number += 1
            number = self._request_number
        self._requests[number] = reply
        return number, reply

    def query(self, what: str, *args: Any) -> Any:
        """Ask the node or its head for a plain value; raises what they answered in place of one.

        NotCommittedError or SessionError when no head answers for long: see `HeadContact.wait_for_answer`.
        """
        call, changes = QUERIES.get(what, (f"The question {what!r}", False))
        ok, value = self.ask_head(call, "query", what, args, changes=changes).fields
        if not ok:
            raise failures.unpack(value)
        return value

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

    def _on_answer(self, number: int, *fields: Any) -> None:
        reply = self._requests.pop(number, None)
        if reply is not None:
            reply.settle(fields or (None,), [])

    def _on_segment(self, number: int, size: int) -> None:
        fd = self.take_fd()
        reply = self._requests.pop(number, None)
        if reply is None:
            os.close(fd)
        else:
            reply.settle((size,), [fd])

    def _on_lease(self, key: bytes, lease: int, worker: int) -> None:
        self.leases.on_lease(key, lease, worker, self.take_fd(), self.take_fd())

    def _on_actor_channel(self, actor: bytes, worker: int) -> None:
        self.actors.on_channel(actor, worker, self.take_fd(), self.take_fd())

    def _on_actor_log(self, stream: str, text: str, pid: int, name: str) -> None:
        self.on_log(None, stream, text, 0, pid, name)

    def on_log(
        self, task: Task | None, stream: str, text: str, _number: int, pid: int, name: str | None = None
    ) -> None:
        """A task has printed."""
        sink = self.log_sinks.get(task.function, self.print_log) if task is not None else self.print_log
        if sink is None:
            return
        try:
            sink(stream, text, name or (task.target.name if task is not None else "worker"), pid, task)
        except Exception as error:
            # A closed terminal or pipe, or a stream of the user's that fails: output ends, the session must not.
            self._drop_sink(sink, error)

    def _drop_sink(self, sink: LogSink, error: Exception) -> None:
        if self.print_log is sink:
            self.print_log = None
        self.log_sinks = {key: other for key, other in self.log_sinks.items() if other is not sink}
        with contextlib.suppress(Exception):  # standard error may be closed as well; there is no other place
            print(
                f"rustray: what tasks print is shown no more, for it cannot be written: {error!r}",
                file=sys.stderr,
            )

    def _on_closed(self) -> None:
        if self.ended is None:
            self._end(
                SessionError(
                    "The connection to the cluster was lost: its server process has ended. "
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
        for call in self.on_tick:
            call()

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
        for reply in list(self._requests.values()):
            reply.settle((), [])
        self._requests.clear()
        self._welcome.settle((), [])
        for call in self.on_end:
            call()

    def abandon(self) -> None:
        """In a forked child: let go of the parent's sockets without a word to the node."""
        self.ended = SessionError.forked("rustray", self.pid)
        self._node.abandon()

    def close(self) -> None:
        """Leave the cluster; what is pending fails with SessionError."""
        if self.ended is None:
            self.leases.tell_measured()
            self._end(
                SessionError(
                    "rustray.shutdown() was called: this reference belongs to a session that has ended."
                )
            )
        self.reactor.close()
        self._node.close()
        self.blocks.close()


_current: Session | None = None


def current() -> Session:
    """The session of this process; SessionError when there is none."""
    session = _current
    if session is None:
        if _forked:
            raise SessionError.forked("rustray", os.getppid())
        raise SessionError.not_initialised("rustray")
    return session


def current_or_none() -> Session | None:
    """The session of this process, if it has one."""
    return _current


def set_current(session: Session | None) -> None:
    """Make `session` the one of this process."""
    global _current, _forked, _no_auto_init
    _current = session
    _forked = False
    if session is not None:
        _no_auto_init = ""


_no_auto_init = ""
_auto_init: Callable[[], Session] | None = None


def auto_init() -> Session:
    """The session of this process, opened with defaults when there is none (as Ray does)."""
    session = _current
    if session is None:
        if _auto_init is None or _forked:
            return current()
        if _no_auto_init:
            raise SessionError(_no_auto_init)
        return _auto_init()
    return session


def forbid_auto_init(reason: str) -> None:
    """The user has named a cluster that could not be had: none of its own is to take its place unasked.

    Parameters
    ----------
    reason: what `auto_init` raises until there is a session.
    """
    global _no_auto_init
    _no_auto_init = reason


def set_auto_init(open_session: Callable[[], Session]) -> None:
    """What `auto_init` calls; set by the public API, which knows how a session is opened."""
    global _auto_init
    _auto_init = open_session


_forked = False


def _after_fork_in_child() -> None:
    # The child shares the parent's sockets: what it wrote there would be taken for the parent's.
    global _current, _forked
    if _current is not None:
        _current.abandon()
        _current = None
        _forked = True


os.register_at_fork(after_in_child=_after_fork_in_child)
