"""A worker process: runs tasks for a while each, or hosts an actor. See `rustray.worker.process`."""

from __future__ import annotations

import marshal
from collections import deque
from typing import TYPE_CHECKING, Any

from rustray.driver.entry import ERROR
from rustray.driver.failures import typed
from rustray.errors import TaskCancelledError
from rustray.wire.frames import Message
from rustray.wire.page import LeasePage
from tests.simulation.clients import Session, value
from tests.simulation.clock import VirtualLoop
from tests.simulation.machine import Connection

if TYPE_CHECKING:
    from tests.simulation.nodes import SimulatedNode


class _Lease:
    """One lease that it serves, or one caller's channel."""

    def __init__(self, number: int, client: int, connection: Connection, page: LeasePage) -> None:
        self.number = number
        self.client = client
        self.connection = connection
        self.page = page


class SimulatedWorker:
    """One process.

    What a task is to do is its argument: (kind, seconds, more), see `_end`.
    """

    def __init__(self, node: SimulatedNode, client: int, place: dict[str, Any], end: Any) -> None:
        cluster = node.cluster
        self.cluster = cluster
        self.node = node
        self.client = client
        self.job = 0
        self.loop = VirtualLoop(cluster.clock, f"{node.name}/w{client & 0xFFFFFFF}")
        self.loop.host = node
        self.loop.on_error = cluster.on_loop_error
        self.pid = cluster.kernel.new_pid(self)
        kernel = cluster.kernel
        self.session = Session(
            cluster, self.loop, Connection(kernel.socket(kernel.open(end)), takes_fds=True)
        )
        self.session.client = client
        self.session.on_end = lambda: self.die(1)
        self.session.handlers.update(
            serve=self._on_serve,
            host=self._on_host,
            part=self._on_part,
            retire=self._on_retire,
            exit_when_idle=self._on_exit_when_idle,
        )
        self.session.on_welcome = self._on_welcome
        self.leases: dict[int, _Lease] = {}
        self.queue: deque[tuple[_Lease, Message]] = deque()
        self.current: tuple[_Lease, Message] | None = None
        self.blocked = False
        self.actor: bytes | None = None
        self.incarnation = 0
        self._constructed = False
        self._leaving = False

    @property
    def dead(self) -> bool:
        return self.loop.dead

    def die(self, code: int) -> None:
        """The process ends, by itself or by a signal."""
        if self.loop.dead:
            return
        self.cluster.trace("worker", self.loop.name, f"ends with {code}")
        self.cluster.kernel.processes.pop(self.pid, None)
        self.loop.kill()
        self.session.close()
        self.node.on_worker_exit(self, code)

    # -- what the node says

    def _on_welcome(self) -> None:
        self.job = self.session.info["job"]

    def _on_serve(self, lease: int, client: int, *_resources: Any) -> None:
        kernel = self.cluster.kernel
        connection = Connection(kernel.socket(self.session.fd()))
        at = _Lease(lease, client, connection, LeasePage.received(self.session.fd(), writable=True))
        self.leases[lease] = at
        self.session.reactor.add(
            connection, lambda messages: self._on_messages(at, messages), lambda: self._on_closed(at)
        )

    def _on_host(self, actor: bytes, spec: dict[str, Any]) -> None:
        assert self.actor is None
        self.actor, self.incarnation = actor, spec["incarnation"]
        self.cluster.checks.on_hosted(self)
        seconds, fails = marshal.loads(spec["args"])
        self.loop.call_later(seconds, self._on_constructed, fails)

    def _on_constructed(self, fails: bool) -> None:
        if fails:
            self.session.tell(("actor_failed", self.actor, typed(TaskCancelledError("its constructor"))))
            return
        self._constructed = True
        self.session.tell(("actor_ready", self.actor, []))
        self._next()

    def _on_part(self) -> None:
        if self.current is None:  # else it does not come to it
            self.session.tell(("parted",))

    def _on_retire(self) -> None:
        if self.leases or self.queue or self.current or self.session.tasks.waiting:
            self.session.tell(("staying",))
        else:
            self.die(0)

    def _on_exit_when_idle(self) -> None:
        self._leaving = True
        self._next()

    # -- what submitters say

    def _on_messages(self, lease: _Lease, messages: list[Message]) -> None:
        for op, *fields in messages:
            if op == "run":
                (tasks,) = fields
                if self.blocked and self.actor is None:
                    lease.connection.send([("blocked",), ("returned", [task[0] for task in tasks])])
                else:
                    self.queue.extend((lease, task) for task in tasks)
            elif op == "giveback":
                self._give_back(lease)
            elif op == "cancel":
                self._cancel(lease, fields[0])
        self._next()

    def _give_back(self, lease: _Lease | None) -> None:
        back: dict[int, list[int]] = {}
        for at, task in self.queue:
            if lease is None or at is lease:
                back.setdefault(at.number, []).append(task[0])
        self.queue = deque(at for at in self.queue if lease is not None and at[0] is not lease)
        for number, tasks in back.items():
            self.leases[number].connection.send([("returned", tasks)])

    def _cancel(self, lease: _Lease, number: int) -> None:
        for at in list(self.queue):
            if at[0] is lease and at[1][0] == number:
                self.queue.remove(at)
                self._answer(at, (number, ERROR, typed(TaskCancelledError("it"))), 0.0)

    def _on_closed(self, lease: _Lease) -> None:
        self.leases.pop(lease.number, None)
        self.queue = deque(at for at in self.queue if at[0] is not lease)

    # -- running

    def _next(self) -> None:
        if self.current is not None or self.dead or self.actor is not None and not self._constructed:
            return
        if not self.queue:
            self.session.leases.unused.offer_now()
            if self._leaving:
                self.die(0)
            return
        lease, task = self.current = self.queue.popleft()
        lease.page.begin(task[0])
        kind, seconds, more = marshal.loads(task[2])
        self.cluster.checks.on_started(self, lease.client, task)
        self.loop.call_later(seconds, self._end, kind, seconds, more)

    def _end(self, kind: str, seconds: float, more: Any) -> None:
        """`run`: it returns; `error`: it raises; `crash`: it kills its process; `nest`: it submits a task and waits;
        `call`: it calls an actor and waits; `exit`: the actor ends itself."""
        assert self.current is not None
        number = self.current[1][0]
        if kind == "crash":
            self.die(1)
        elif kind == "exit":
            self.session.tell(("actor_ended", self.actor, "it called exit_actor()"))
            self._answer(self.current, (number, *value(self._me())), seconds)
            self.die(0)
        elif kind == "error":
            self._finish((number, ERROR, typed(TaskCancelledError("an error of the task"))), seconds)
        elif kind == "nest":
            key, spec, work, retries = more
            self._block()
            self.session.submit(key, spec, work, retries, lambda _ok, _value: self._unblock(seconds))
        elif kind == "call":
            actor, handle, work = more
            entry = self.session.actors.entry_of(actor)
            channel = self.session.actors.channel(entry, handle)
            self._block()
            self.session.call(channel, work, 0, lambda _ok, _value: self._unblock(seconds))
        else:
            self._finish((number, *value(self._me())), seconds)

    def _me(self) -> tuple[int, int]:
        return self.client, self.incarnation

    def _block(self) -> None:
        self.blocked = True
        if self.actor is None:
            self._give_back(None)
            for lease in self.leases.values():
                lease.connection.send([("blocked",)])
        self.session.tell(("blocked",))

    def _unblock(self, seconds: float) -> None:
        # Not inside the handling of the answer: the task goes on in its own time.
        self.loop.call_soon(self._wake, seconds)

    def _wake(self, seconds: float) -> None:
        if self.session.ended:
            return
        self.blocked = False
        self.session.tell(("unblocked",))
        if self.actor is None:
            for lease in self.leases.values():
                lease.connection.send([("unblocked",)])
        assert self.current is not None
        self._finish((self.current[1][0], *value(self._me())), seconds)

    def _finish(self, result: tuple[Any, ...], seconds: float) -> None:
        assert self.current is not None
        at, self.current = self.current, None
        self._answer(at, result, seconds)
        self._next()

    def _answer(self, at: tuple[_Lease, Message], result: tuple[Any, ...], seconds: float) -> None:
        at[0].connection.send([("done", [result], seconds)])
