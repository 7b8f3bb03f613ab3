"""What drivers and workers have in common: a connection to their node, and the real leases and actor channels.

Objects are left out: a task's result is a payload, published once.
"""

from __future__ import annotations

import contextlib
import marshal
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from rustray.driver import failures
from rustray.driver.actor_channel import ActorChannel
from rustray.driver.actors import Actors
from rustray.driver.entry import ERROR, VALUE, Entry
from rustray.driver.functions import Code
from rustray.driver.submitter import Submitter
from rustray.driver.task import Task
from rustray.errors import RustRayError, SessionError
from rustray.wire.frames import ConnectionClosed, Message
from tests.simulation.clock import VirtualLoop
from tests.simulation.machine import Connection

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

TICK_S = 0.1
Done = Callable[[bool, Any], None]
_FOR_PEOPLE = ("head_lost", "head_found", "actor_log")
"""Messages that change nothing but what the user is shown."""


class _Reactor:
    """As `driver.reactor.Reactor`, for one thread and a virtual loop."""

    def __init__(self, loop: VirtualLoop, on_tick: Callable[[], None]) -> None:
        self._loop = loop
        self._on_tick = on_tick
        self.shield = contextlib.nullcontext()
        self.alarm = float("inf")  # leases are offered by the ticks, a little later
        self.on_alarm: Callable[[float], None] = lambda _now: None
        self.connections: dict[Connection, None] = {}

    def add(self, connection: Any, on_messages: Callable[..., None], on_closed: Callable[[], None]) -> None:
        def on_readable() -> None:
            try:
                messages = connection.receive()
            except ConnectionClosed:
                self.remove(connection)
                on_closed()
                return
            if messages:
                on_messages(messages)

        self.connections[connection] = None
        self._loop.add_reader(connection.fd, on_readable)

    def remove(self, connection: Any) -> None:
        self.connections.pop(connection, None)
        self._loop.remove_reader(connection.fd)
        connection.close()

    def tick_by(self, when: float) -> None:
        self._loop.call_at(when, self._on_tick)


class _Objects:
    """As much of `driver.objects.ObjectTable` and `driver.sharing.Sharing` as actors need."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._entries: dict[bytes, Entry] = {}

    def entry_of(self, oid: bytes) -> Entry:
        return self._entries.setdefault(oid, Entry(oid, owned=False))

    def publish_new(self, entry: Entry, _contains: Any) -> None:
        self._entries[entry.id] = entry

    def unpin(self, entries: Any) -> None:
        for entry in entries:
            entry.count -= 1

    def let_contents_go(self, _oid: bytes) -> None:
        pass


class _Tasks:
    """As `driver.tasks.Tasks`: takes results, each once."""

    def __init__(self, cluster: Cluster, session: Session) -> None:
        self._cluster = cluster
        self._session = session
        self.waiting: dict[int, tuple[Task, Done]] = {}

    def next_number(self) -> int:
        return self._session.next_number()

    def take_value(self, task: Task, payload: Any) -> None:
        self._publish(task, True, payload)

    def take_result(self, task: Task, result: Any, *_worker: int) -> None:
        self._publish(task, result[1] != ERROR, result[2])

    def fail(self, task: Task, error: bytes) -> None:
        self._publish(task, False, error)

    def retract(self, _tasks: Iterable[Task]) -> None:
        pass  # there are no blocks here

    retract_soon = retract

    def _publish(self, task: Task, ok: bool, payload: Any) -> None:
        _task, done = self.waiting.pop(task.number, (None, None))
        client = self._session.client
        self._cluster.checks.on_published(client, task.number, ok, payload)
        assert done is not None, f"task {task.number} of client {client:x} is published twice"
        done(ok, payload)


class Session:
    """A client of a node: see `rustray.driver.session`."""

    def __init__(self, cluster: Cluster, loop: VirtualLoop, connection: Connection) -> None:
        self.cluster = cluster
        self.loop = loop
        self.client = 0
        self.info: dict[str, Any] = {}
        self.hosted_actor = None
        self.node = connection
        self.ended: RustRayError | None = None
        self.objects = self.sharing = _Objects()
        self.tasks = _Tasks(cluster, self)
        self.reactor = _Reactor(loop, self._on_tick)
        self.tell = self._tell
        self.leases = Submitter(self)  # type: ignore[arg-type]
        self.actors = Actors(self)  # type: ignore[arg-type]
        self._number = 0
        self._requests: dict[int, Done] = {}
        self.handlers: dict[str, Callable[..., None]] = {
            "welcome": self._on_welcome,
            "answer": self._on_answer,
            "ended": self._on_ended,
            "lease": lambda key, lease, worker: self.leases.on_lease(
                key, lease, worker, self.fd(), self.fd()
            ),
            "revoke": self.leases.on_revoke,
            "infeasible": self.leases.on_infeasible,
            "lease_lost": self.leases.on_lease_lost,
            "suspended": self.leases.on_suspended,
            "actor_channel": lambda actor, worker: self.actors.on_channel(
                actor, worker, self.fd(), self.fd()
            ),
            "actor_restarting": self.actors.on_restarting,
            "actor_dead": self.actors.on_dead,
        }
        self.on_welcome: Callable[[], None] = lambda: None
        self.on_end: Callable[[], None] = lambda: None
        self.reactor.add(connection, self._on_messages, self._on_closed)
        self._tick()

    def fd(self) -> int:
        return self.node.fds.popleft()

    def _tell(self, *messages: Message) -> None:
        self.node.send(messages)

    def _tick(self) -> None:
        self._on_tick()
        self.loop.call_later(TICK_S, self._tick)

    def _on_tick(self) -> None:
        if not self.ended:
            self.leases.tick(self.loop.time())

    # -- from the node

    def _on_messages(self, messages: list[Message]) -> None:
        for message in messages:
            if self.ended:
                return
            self.cluster.trace("client", self.loop.name, message)
            if message[0] not in _FOR_PEOPLE:
                self.handlers[message[0]](*message[1:])

    def _on_welcome(self, client: int, info: dict[str, Any]) -> None:
        self.client, self.info = client, info
        self.on_welcome()

    def _on_answer(self, request: int, ok: bool, value: Any) -> None:
        done = self._requests.pop(request, None)
        if done is not None:
            done(ok, value)

    def _on_ended(self, text: str) -> None:
        self.cluster.fail(f"the node could not handle a message of {self.loop.name}: {text}")

    def _on_closed(self) -> None:
        self.on_end()

    # -- what a user does

    def request(self, op: str, *fields: Any, done: Done) -> None:
        """Ask the node: done(ok, value)."""
        self._number += 1
        self._requests[self._number] = done
        self._tell((op, self._number, *fields))

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def submit(self, key: bytes, spec: dict[str, Any], work: Any, retries: int, done: Done) -> Task:
        """Submit a task: done(ok, payload) when its result is known."""
        target = self.leases.scheduling_class(key, Code(b"f", b"", spec["name"]), spec)
        task = self._task(target, b"f", work, retries, done)
        target.enqueue(task)
        return task

    def call(self, channel: ActorChannel, work: Any, retries: int, done: Done) -> Task:
        """Call an actor."""
        task = self._task(channel, "method", work, retries, done)
        channel.enqueue(task)
        return task

    def _task(self, target: Any, function: Any, work: Any, retries: int, done: Done) -> Task:
        task = Task(self.next_number(), target, function, marshal.dumps(work), 1, retries, None)
        self.tasks.waiting[task.number] = task, done
        self.cluster.checks.on_submitted(self, task)
        return task

    def close(self) -> None:
        """The process ends: its descriptors are closed, nothing is said."""
        self.ended = SessionError("the process ends")
        for connection in [*self.reactor.connections, self.node]:
            while connection.fds:
                self.cluster.kernel.close(connection.fds.popleft())
            connection.close()


def value(payload: Any) -> tuple[int, bytes]:
    """Kind and payload of a result."""
    return VALUE, marshal.dumps(payload)


def error_text(packed: bytes) -> str:
    """What a packed error says."""
    try:
        return failures.text(packed)
    except (RustRayError, ValueError, TypeError):
        return repr(packed)[:80]
