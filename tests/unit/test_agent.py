"""The node's agent alone: its clients have no sockets, its head is a list."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
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
