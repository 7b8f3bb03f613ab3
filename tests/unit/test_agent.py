"""The node's agent alone: its clients have no sockets, its head is a list."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rustray.model.ids import node_client
from rustray.node.agent import Client, NodeAgent
from rustray.node.neighbours import Neighbours

INFO = {"env": {}, "cwd": "/", "sys_path": [], "prestart": False}
SPEC = {"name": "f", "resources": {"CPU": 1.0}, "env_key": b"", "runtime_env": None}


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[NodeAgent]:
    loop = asyncio.new_event_loop()
    neighbours = Neighbours(loop, 1, None)
    made = NodeAgent(loop, "n1", 1, {"CPU": 1.0}, str(tmp_path), lambda *_fork: None, 64 << 20, neighbours)
    yield made
    made.close()
    loop.close()


def driver(agent: NodeAgent, job: int) -> Client:
    number = node_client(1) + 2000 + job
    client = agent.clients[number] = Client(number, None, 0, None)
    client.info = dict(INFO)
    agent.store.connect(client.client)
    agent.from_head(("job_started", client.client, job, {"namespace": ""}))
    return client


def say(agent: NodeAgent, client: Client, op: str, *fields: Any) -> None:
    agent._from_client[op](client.client, *fields)


class Sent:
    """A peer, or the way to other nodes, that keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def send(self, *messages: Any, fds: Sequence[int] = ()) -> None:
        self.messages += [message for message in messages if type(message) is tuple]

    def ops(self) -> list[str]:
        told, self.messages = self.messages, []
        return [message[0] for message in told]

    def close(self) -> None:
        pass


def test_classes_go_with_their_job(agent: NodeAgent) -> None:
    one, two = driver(agent, 1), driver(agent, 2)
    say(agent, one, "class", b"one", SPEC)
    say(agent, two, "class", b"two", SPEC)
    agent._on_client_closed(one)
    assert set(agent.classes) == {b"two"}
    agent._on_client_closed(two)
    assert not agent.classes and not agent.jobs and not agent._job_of


def test_those_of_a_detached_actor_go_with_it(agent: NodeAgent) -> None:
    one = driver(agent, 1)
    say(agent, one, "class", b"own", SPEC)
    say(agent, one, "create_actor", 0, b"actor", {"detached": True})
    agent._on_client_closed(one)
    assert agent.classes
    agent.from_head(("actor_over", b"actor"))
    assert not agent.classes and not agent.jobs


def test_a_lease_of_another_node_is_asked_back_though_the_head_was_quicker(agent: NodeAgent) -> None:
    one = driver(agent, 1)
    one.peer = told = Sent()  # type: ignore[assignment]
    agent.from_head(("revoke", 70, one.client))
    told.ops()
    agent._tell_relayed(2, one.client, ("lease", b"key", 70, 9), ())
    assert told.ops() == ["lease", "revoke"]
    agent._tell_relayed(2, one.client, ("lease", b"key", 71, 9), ())
    assert told.ops() == ["lease"]


def test_a_lease_for_a_client_that_is_gone_goes_back(
    agent: NodeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Any] = []
    monkeypatch.setattr(
        agent.neighbours, "send", lambda node, *messages: said.extend((node, m) for m in messages)
    )
    one = driver(agent, 1)
    agent._tell_relayed(2, one.client, ("lease", b"key", 70, 9), ())
    agent._on_client_closed(one)
    assert said == [(2, ("guest_gone", one.client))]
    assert not agent._leased_from
    said.clear()
    assert not agent._tell_relayed(3, one.client, ("lease", b"key", 71, 9), ())
    assert said == [(3, ("guest_gone", one.client))]


def test_who_loses_a_lease_with_its_node_is_told_alone(agent: NodeAgent) -> None:
    one, two = driver(agent, 1), driver(agent, 2)
    one.peer, two.peer = first, second = Sent(), Sent()  # type: ignore[assignment]
    agent._tell_relayed(2, one.client, ("lease", b"key", 70, 9), ())
    agent._tell_relayed(2, two.client, ("lease", b"key", 71, 9), ())
    agent._on_return(two.client, 71)
    first.ops(), second.ops()
    agent.from_head(("node_up", 2, "node-ab12", "10.0.0.2:1"))
    agent.from_head(("node_down", 2, "it was silent"))
    assert first.messages == [("lease_lost", 70, "node", "was lost with its node node-ab12")]
    assert second.ops() == []
