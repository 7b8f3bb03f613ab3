"""A head alone: fake links take what it says, a fake clock tells the time."""

from __future__ import annotations

from typing import Any

from rustray.head.log import LocalLog, Then
from rustray.head.reactor import Head
from rustray.model import ids

DRIVER, OTHER = ids.node_client(1) + 1, ids.node_client(1) + 2
GIB = float(2**30)


class HeldLog(LocalLog):
    """Commits nothing while it is `held`."""

    def __init__(self) -> None:
        super().__init__()
        self.held = False
        self._kept: list[tuple[str, dict[str, Any], Then]] = []

    def submit(self, op: str, payload: dict[str, Any], then: Then) -> None:
        if self.held:
            self._kept.append((op, payload, then))
        else:
            super().submit(op, payload, then)

    def let_go(self) -> None:
        self.held = False
        kept, self._kept = self._kept, []
        for one in kept:
            self.submit(*one)


class Bench:
    """A head with nodes; `said` has what it told each since last asked."""

    def __init__(self, **nodes: dict[str, float]) -> None:
        self.now = 100.0
        self.log = HeldLog()
        self.head = Head(lambda: self.now, lambda: self.now, self.log)
        self._said: dict[str, list[tuple[Any, ...]]] = {}
        self._next = 0
        for name, resources in (nodes or {"n1": {"CPU": 2.0, "memory": GIB}}).items():
            self._said[name] = []
            self.head.members.on_node_up(name, resources, {}, {}, self._said[name].append)
        for said in self._said.values():
            said.clear()  # they have been told of each other
        self.driver(DRIVER)

    def driver(self, client: int, namespace: str = "ns") -> None:
        self.say("job_start", client, {"namespace": namespace, "env": {}})
        ((op, *_),) = self.said()
        assert op == "job_started"

    def say(self, *message: Any, node: str = "n1") -> None:
        self.head.from_node(node, message)
        self.head.scheduling.scheduler.sanity_check()

    def said(self, node: str = "n1") -> list[tuple[Any, ...]]:
        told, self._said[node][:] = list(self._said[node]), []
        return told

    def ops(self, node: str = "n1") -> list[str]:
        return [message[0] for message in self.said(node)]

    def create(self, client: int = DRIVER, job: int = 1, request: int = 0, **more: Any) -> bytes:
        self._next += 1
        actor = ids.make_object_id(client, self._next, 0)
        spec = {
            "name": "Counter",
            "registered": "",
            "namespace": "ns",
            "detached": False,
            "get_if_exists": False,
            "max_restarts": 0,
            "resources": {},
            "complete": True,
            "handle": {"name": "Counter"},
            **more,
        }
        self.say("create_actor", client, request, actor, job, spec)
        return actor

    def alive(self, worker: int = 2000, **more: Any) -> tuple[bytes, int]:
        """An actor that is up, and its lease."""
        actor = self.create(**more)
        return actor, self.up(actor, worker)

    def up(self, actor: bytes, worker: int) -> int:
        (start,) = [message for message in self.said() if message[0] == "start_actor"]
        assert start[2] == actor
        self.say("actor_ready", actor, worker, start[4]["incarnation"], 77)
        return int(start[1])

    def incarnation(self, actor: bytes) -> int:
        return self.head.state.actors[actor].incarnation

    def exited(self, actor: bytes, lease: int, worker: int = 2000, text: str = "was killed") -> None:
        """The node reports the end of an actor's process, and then of its lease."""
        self.say("actor_exited", actor, worker, "signal", text, self.incarnation(actor))
        self.say("returned", lease)


def dead_causes(messages: list[tuple[Any, ...]]) -> dict[int, Any]:
    return {message[1]: message[-1] for message in messages if message[0] == "actor_dead"}
