"""Leases from their client's side: the worker is a socket that a test reads and writes, the node a list."""

from __future__ import annotations

import socket
from typing import Any

from rustray.driver import failures
from rustray.driver.entry import ERROR, VALUE
from rustray.driver.functions import Code
from rustray.driver.reactor import NEVER
from rustray.driver.session import Session
from rustray.wire.frames import Connection
from rustray.wire.page import LeasePage, new_page

KEY, CODE = b"class", b"code"


def nothing() -> None:
    """The function whose signature names parameters."""


class Worker:
    """The other end of a lease."""

    def __init__(self, bench: Bench, lease: int) -> None:
        ours, theirs = socket.socketpair()
        fd = new_page()
        self.page = LeasePage(fd, writable=True)
        self.lease = lease
        self.worker = 1000 + lease
        self.bench = bench
        self.connection = Connection(theirs)
        bench.session.leases.on_lease(KEY, lease, self.worker, ours.detach(), fd)

    def received(self) -> list[int]:
        """The numbers of the tasks that have come since the last call."""
        found = []
        for op, *fields in self.connection.receive():
            if op == "run":
                found += [task[0] for task in fields[0]]
        return found

    def start(self, number: int) -> None:
        self.page.begin(number)

    def say(self, *messages: tuple[Any, ...]) -> None:
        self.connection.send(messages)
        self.bench.turn()

    def answer(self, *numbers: int, seconds: float = 0.0) -> None:
        self.say(("done", [(number, VALUE, b"result") for number in numbers], seconds))

    def die(self, kind: str = "signal") -> None:
        self.connection.close()
        self.bench.turn()
        self.bench.session.leases.on_lease_lost(self.lease, kind, "ended")


class Bench:
    """A session whose node is a list of what it was told."""

    def __init__(self) -> None:
        ours, self.node = socket.socketpair()
        self.session = Session(ours, None, None)
        self.session.reactor._next_tick = NEVER  # a test says itself when the clock ticks
        self.told = Connection(self.node)
        spec = {"name": "f", "resources": {"CPU": 1.0}, "runtime_env": None, "env_key": b""}
        self.target = self.session.leases.scheduling_class(KEY, Code(CODE, b"", "f"), spec)
        self.workers: list[Worker] = []
        self.refs: list[Any] = []

    def worker(self) -> Worker:
        made = Worker(self, len(self.workers) + 1)
        self.workers.append(made)
        return made

    def submit(self, count: int = 1, retries: int = 0) -> list[Any]:
        submit = self.session.tasks.submit
        refs = [submit(self.target, CODE, (), {}, 1, retries, None, nothing) for _ in range(count)]
        self.refs += refs
        return [ref._entry for ref in refs]

    def turn(self) -> None:
        """Let the session handle what has arrived."""
        self.session.reactor.poll_now()

    def demands(self) -> list[int]:
        return [message[2] for message in self.told.receive() if message[0] == "demand"]

    def close(self) -> None:
        self.session.close()
        self.node.close()
        for worker in self.workers:
            worker.connection.close()


def numbers(entries: list[Any]) -> list[int]:
    return [entry.task.number for entry in entries]


def error_of(entry: Any) -> BaseException:
    assert entry.state == ERROR
    return failures.unpack(entry.payload)


def prefetched(bench: Bench, worker: Worker, count: int = 10) -> list[Any]:
    """Tasks that a worker has been sent at once, because the ones before were quick."""
    first = bench.submit()
    worker.received()
    worker.answer(*numbers(first), seconds=0.0004)
    entries = bench.submit(count, retries=1)
    bench.target.pump()
    assert worker.received() == numbers(entries)
    return entries
