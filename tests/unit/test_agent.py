"""The node's agent alone: its clients have no sockets, its head is a list."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rustray.model.ids import make_object_id, node_client
from rustray.node.agent import NodeAgent
from rustray.node.clients import Client
from rustray.node.neighbours import Neighbours
from rustray.node.pool import WorkerProcess

INFO = {"env": {}, "cwd": "/", "sys_path": [], "prestart": False}
SPEC = {"name": "f", "resources": {"CPU": 1.0}, "env_key": b"", "runtime_env": None}


@pytest.fixture
def head() -> list[Any]:
    """What the head is told."""
    return []


@pytest.fixture
def agent(tmp_path: Path, head: list[Any]) -> Iterator[NodeAgent]:
    loop = asyncio.new_event_loop()
    neighbours = Neighbours(loop, 1, None)
    made = NodeAgent(
        loop, "n1", 1, {"CPU": 1.0}, str(tmp_path), lambda *_fork: None, 64 << 20, neighbours, head.append
    )
    yield made
    made.close()
    loop.close()


def driver(agent: NodeAgent, job: int) -> Client:
    number = node_client(1) + 2000 + job
    client = agent.clients.connected[number] = Client(number, None, 0, None)
    client.info = dict(INFO)
    agent.store.connect(client.client)
    agent.from_head(("job_started", client.client, job, {"namespace": ""}))
    return client


def say(agent: NodeAgent, client: Client, op: str, *fields: Any) -> None:
    agent.messages.handle(client.client, (op, *fields))


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
    agent.departures.on_closed(one)
    assert set(agent.classes.known) == {b"two"}
    agent.departures.on_closed(two)
    assert not agent.classes.known and not agent.jobs.known


def test_those_of_a_detached_actor_go_with_it(agent: NodeAgent) -> None:
    one = driver(agent, 1)
    say(agent, one, "class", b"own", SPEC)
    say(agent, one, "create_actor", 0, b"actor", {"detached": True})
    agent.departures.on_closed(one)
    assert agent.classes.known
    agent.from_head(("actor_over", b"actor"))
    assert not agent.classes.known and not agent.jobs.known


def test_a_lease_of_another_node_is_asked_back_though_the_head_was_quicker(agent: NodeAgent) -> None:
    one = driver(agent, 1)
    one.peer = told = Sent()  # type: ignore[assignment]
    agent.from_head(("revoke", 70, one.client))
    told.ops()
    agent.elsewhere.tell(2, one.client, ("lease", b"key", 70, 9), ())
    assert told.ops() == ["lease", "revoke"]
    agent.elsewhere.tell(2, one.client, ("lease", b"key", 71, 9), ())
    assert told.ops() == ["lease"]


def test_a_lease_for_a_client_that_is_gone_goes_back(
    agent: NodeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Any] = []
    monkeypatch.setattr(
        agent.neighbours, "send", lambda node, *messages: said.extend((node, m) for m in messages)
    )
    one = driver(agent, 1)
    agent.elsewhere.tell(2, one.client, ("lease", b"key", 70, 9), ())
    agent.departures.on_closed(one)
    assert said == [(2, ("guest_gone", one.client))]
    assert not agent.elsewhere.leases
    said.clear()
    assert not agent.elsewhere.tell(3, one.client, ("lease", b"key", 71, 9), ())
    assert said == [(3, ("guest_gone", one.client))]


def test_who_loses_a_lease_with_its_node_is_told_alone(agent: NodeAgent) -> None:
    one, two = driver(agent, 1), driver(agent, 2)
    one.peer, two.peer = first, second = Sent(), Sent()  # type: ignore[assignment]
    agent.elsewhere.tell(2, one.client, ("lease", b"key", 70, 9), ())
    agent.elsewhere.tell(2, two.client, ("lease", b"key", 71, 9), ())
    say(agent, two, "return", 71)
    first.ops(), second.ops()
    agent.from_head(("node_up", 2, "node-ab12", "10.0.0.2:1"))
    agent.from_head(("node_down", 2, "it was silent"))
    assert first.messages == [("lease_lost", 70, "node", "was lost with its node node-ab12")]
    assert second.ops() == []


def lend(agent: NodeAgent, client: int, lease: int) -> WorkerProcess:
    """The head grants the client a lease of a worker here."""
    agent.from_head(("class", b"key", 1, SPEC))
    agent.from_head(("grant", lease, b"key", client))
    return agent.leases.here[lease].worker


def test_a_lease_is_returned_by_whose_it_is(
    agent: NodeAgent, head: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    one, two = driver(agent, 1), driver(agent, 2)
    lend(agent, one.client, 70)
    say(agent, two, "return", 70)
    assert 70 in agent.leases.here and ("returned", 70) not in head
    assert f"client {two.client:x} returns the lease 46, which is that of {one.client:x}" in caplog.text
    say(agent, one, "return", 70)
    assert not agent.leases.here and ("returned", 70) in head
    caplog.clear()
    say(agent, one, "return", 70)  # the worker's end and the return have crossed
    assert not caplog.records


def test_a_lease_elsewhere_is_returned_by_whose_it_is(
    agent: NodeAgent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[Any] = []
    monkeypatch.setattr(agent.neighbours, "send", lambda node, *messages: said.extend(messages))
    one, two = driver(agent, 1), driver(agent, 2)
    agent.elsewhere.tell(2, one.client, ("lease", b"key", 70, 9), ())
    say(agent, two, "return", 70)
    assert not said and "which is that of" in caplog.text
    say(agent, one, "return", 70)
    assert said == [("return_lease", one.client, 70)]


def test_a_node_speaks_for_its_own_clients_only(agent: NodeAgent, caplog: pytest.LogCaptureFixture) -> None:
    one = driver(agent, 1)
    guest = node_client(2) + 5
    agent.neighbours.add(2, "10.0.0.2:1")
    worker, theirs = lend(agent, one.client, 70), lend(agent, guest, 71)
    told = agent.neighbours.handlers
    for client, lease in ((one.client, 70), (guest, 71)):
        told["return_lease"](3, client, lease)
        told["guest_gone"](3, client)
    told["kill_worker"](3, one.client, worker.client, "why not")
    told["kill_worker"](2, guest, worker.client, "it is not its own")
    told["return_lease"](2, guest, 70)
    assert set(agent.leases.here) == {70, 71} and worker.doom is None and theirs.doom is None
    assert "node 3 speaks for client" in caplog.text
    told["kill_worker"](2, guest, theirs.client, "its own")
    assert theirs.doom == ("cancelled", "its own")
    told["return_lease"](2, guest, 71)
    assert set(agent.leases.here) == {70}


def test_a_worker_speaks_for_the_actor_that_it_hosts(agent: NodeAgent, head: list[Any]) -> None:
    creator = driver(agent, 1)
    hosted, another = (make_object_id(creator.client, number, 0) for number in (1, 2))
    spec = SPEC | {"detached": False, "incarnation": 0}
    agent.from_head(("start_actor", 70, hosted, 1, spec))
    worker = agent.clients.connected[agent.actors.hosted[hosted].client]
    head.clear()
    for op, said in (("actor_ready", []), ("actor_failed", b"error"), ("actor_ended", "it wanted to")):
        say(agent, worker, op, another, said)
    assert head == []
    say(agent, worker, "actor_ready", hosted, [])
    say(agent, creator, "actor_failed", another, b"its arguments failed")
    pid = agent.actors.hosted[hosted].pid
    assert head == [
        ("actor_ready", hosted, worker.client, 0, pid),
        ("actor_failed", another, b"its arguments failed"),
    ]


def test_who_asks_what_cannot_be_done_is_told(agent: NodeAgent, head: list[Any]) -> None:
    one = driver(agent, 1)
    one.peer = told = Sent()  # type: ignore[assignment]

    def answers(op: str, *fields: Any) -> list[Any]:
        told.messages.clear()
        say(agent, one, op, *fields)
        return told.messages

    head.clear()
    (answer,) = answers("query", 7, "lose", ())
    assert answer[:3] == ("answer", 7, False)
    (answer,) = answers("create_actor", 8, b"actor", {})
    assert answer[:3] == ("answer", 8, False)
    (answer,) = answers("create_actor", 0, b"actor", {})
    assert answer[:3] == ("actor_dead", b"actor", "text") and "KeyError: 'detached'" in answer[3]
    assert head == []
    with pytest.raises(TypeError):
        say(agent, one, "demand")


def test_demand_for_a_class_that_was_refused_is_infeasible(
    agent: NodeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = driver(agent, 1)
    one.peer = told = Sent()  # type: ignore[assignment]
    monkeypatch.setattr(agent.classes, "on_told", lambda *_fields: 1 / 0)
    say(agent, one, "class", b"key", SPEC)
    say(agent, one, "demand", b"key", 0)
    say(agent, one, "demand", b"key", 1)
    assert told.messages == [("infeasible", b"key", "ZeroDivisionError: division by zero")]
    monkeypatch.undo()
    say(agent, one, "class", b"key", SPEC)
    say(agent, one, "demand", b"key", 1)
    assert len(told.messages) == 1 and one.demands == {b"key": 1}


def test_a_client_whose_message_makes_no_sense_is_disconnected_and_forgotten(
    agent: NodeAgent, head: list[Any]
) -> None:
    one = driver(agent, 1)
    one.peer = peer = Sent()  # type: ignore[assignment]
    agent.messages.serve(one, peer)  # type: ignore[arg-type]
    peer.on_messages([("blocked",), ("nonsense",), ("counts", 1, 0)])  # type: ignore[attr-defined]
    assert peer.messages[-1][0] == "ended" and "nonsense" in peer.messages[-1][1]
    assert one.client not in agent.clients.connected and agent.finished == 0
    assert head[-2:] == [("client_gone", one.client), ("job_end", 1)]


def unused(head: list[Any]) -> list[Any]:
    return [message[1] for message in head if message[0] == "unused"]


def test_a_class_that_no_client_here_uses_is_told_to_the_head_and_kept_until_it_says_so(
    agent: NodeAgent, head: list[Any]
) -> None:
    one, two = driver(agent, 1), driver(agent, 2)
    for client in (two, one):
        say(agent, client, "class", b"key", SPEC)
    say(agent, one, "unused", [b"key", b"never told"])
    assert not unused(head)
    agent.departures.on_closed(two)
    assert unused(head) == [[b"key"]] and set(agent.classes.known) == {b"key"}


def test_a_class_that_is_used_again_meanwhile_is_kept(agent: NodeAgent, head: list[Any]) -> None:
    one = driver(agent, 1)
    say(agent, one, "class", b"key", SPEC)
    say(agent, one, "unused", [b"key"])
    say(agent, one, "class", b"key", SPEC)
    agent.from_head(("unused", [b"key"]))
    assert set(agent.classes.known) == {b"key"}
    say(agent, one, "unused", [b"key"])
    agent.from_head(("unused", [b"key"]))
    assert not agent.classes.known and unused(head) == [[b"key"]] * 2


def test_a_report_tells_who_uses_what_and_forgets_the_rest(agent: NodeAgent) -> None:
    one = driver(agent, 1)
    say(agent, one, "class", b"used", SPEC)
    agent.from_head(("class", b"of others", 1, SPEC))
    assert agent.report()["classes"] == [(b"used", 1, SPEC, True)]
    assert set(agent.classes.known) == {b"used"}
