"""One head's `Replica` in a process of its own, for tests: frames of marshal on standard input and output.

The state is a tape: "append" writes an item at the end, once per operation, and tells its position. So whatever raft
loses, repeats or reorders shows in it.
"""

from __future__ import annotations

import asyncio
import json
import marshal
import os
import resource
import struct
import sys
from collections.abc import Callable, Mapping
from typing import Any

from rustray.cluster.state import ClusterState
from rustray.head import journal, raft_snapshot
from rustray.head.raft import Replica
from rustray.head.raft_thread import Timing

LENGTH = struct.Struct("<I")
FAST = Timing(heartbeat=0.03, election=(0.2, 0.45), fallback=0.8, turn=0.01)


class Tape:
    def __init__(self) -> None:
        self.items: list[Any] = []
        self.positions: dict[str, int] = {}

    def apply(self, op: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        if op == "poison":
            raise RuntimeError("this command cannot be applied")
        operation = payload["operation"]
        if operation not in self.positions:
            self.positions[operation] = len(self.items)
            self.items.append(payload["item"])
        return {"position": self.positions[operation]}

    def to_dict(self) -> dict[str, Any]:
        return {"items": list(self.items), "positions": dict(self.positions)}

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Tape:
        tape = cls()
        tape.items, tape.positions = list(facts["items"]), dict(facts["positions"])
        return tape


def send(fd: int, message: Any) -> None:
    data = marshal.dumps(message)
    data = LENGTH.pack(len(data)) + data
    while data:
        data = data[os.write(fd, data) :]


def receive(fd: int) -> Any:
    """The next message; None at the end."""
    head = read_exactly(fd, LENGTH.size)
    return head and marshal.loads(read_exactly(fd, LENGTH.unpack(head)[0]) or b"N")


def read_exactly(fd: int, count: int) -> bytes | None:
    data = bytearray()
    while len(data) < count:
        more = os.read(fd, count - len(data))
        if not more:
            return None
        data += more
    return bytes(data)


def die() -> None:
    os._exit(9)


def crash_at(point: str, after: int) -> None:
    """Let the process die at the named point, when it comes there for the `after`-th time from now on."""
    counter = iter(range(after, 0, -1))

    def dies_now() -> bool:
        return next(counter, 1) == 1

    if point == "half an append":
        write = os.pwrite

        def pwrite(fd: int, data: Any, offset: int) -> int:
            if dies_now():
                write(fd, bytes(data)[: len(data) // 2], offset)
                die()
            return write(fd, data, offset)

        journal.os = Patched(os, pwrite=pwrite)  # type: ignore[attr-defined]
    elif point == "half a snapshot":

        def write_half(path: Any, data: bytes) -> None:
            path.write_bytes(data[: len(data) // 2])
            die()

        raft_snapshot.write_durably = write_half
    elif point == "snapshot not renamed":
        raft_snapshot.os = Patched(os, rename=lambda *paths: die())  # type: ignore[attr-defined]
    elif point == "log not shortened":
        journal.Journal.deleteEntriesTo = lambda *arguments: die()  # type: ignore[method-assign]
    elif point == "one segment removed":
        unlink, begun = journal.Path.unlink, []

        def unlink_one(path: Any, missing_ok: bool = False) -> None:
            if begun:
                die()
            begun.append(path)
            unlink(path, missing_ok)

        journal.Path.unlink = unlink_one  # type: ignore[method-assign]
    else:
        raise ValueError(point)


class Patched:
    """A module with some functions replaced."""

    def __init__(self, module: Any, **replaced: Callable[..., Any]) -> None:
        self.__dict__.update(vars(module), **replaced)


async def serve(settings: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def tell(*message: Any) -> None:
        send(1, message)

    def on_failed(error: BaseException) -> None:
        tell("failed", repr(error))
        ended.set()

    make = {"Tape": Tape, "ClusterState": ClusterState}[settings.pop("state")]
    if "crash_at" in settings:
        crash_at(settings.pop("crash_at"), 1)
    timing = Timing(*settings.pop("timing")) if "timing" in settings else None
    try:
        replica = Replica(
            state=make(),
            loop=loop,
            on_leader=lambda: tell("leader"),
            on_follower=lambda: tell("follower"),
            on_failed=on_failed,
            timing=timing,
            **settings,
        )
    except Exception as error:
        tell("refused", type(error).__name__, str(error))
        return
    tell("started")

    def on_input() -> None:
        message = receive(0)
        if message is None:
            ended.set()
            return
        kind, *fields = message
        if kind == "submit":
            number, op, payload = fields
            replica.submit(op, payload, lambda result: tell("result", number, result))
        elif kind == "status":
            tell(
                "status",
                {
                    "leads": replica.is_leader,
                    "leader": replica.leader,
                    "waiting": replica.waiting,
                    "read_only": replica.read_only,
                    "state": replica.state.to_dict(),
                    "cpu": sum(os.times()[:2]),
                },
            )
        elif kind == "compact":
            replica.compact()
        elif kind == "crash_at":
            crash_at(*fields)
            tell("armed")
        elif kind == "largest_file":
            resource.setrlimit(resource.RLIMIT_FSIZE, (fields[0], resource.RLIM_INFINITY))
            tell("limited")

    loop.add_reader(0, on_input)
    await ended.wait()
    replica.close()
    tell("closed")


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
