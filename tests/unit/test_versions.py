"""Programs, nodes and heads of another Python or RustRay than the cluster's are told so, and do not come in."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from rustray.driver import discovery
from rustray.driver.session import Session
from rustray.errors import ClusterStartError, VersionMismatchError
from rustray.head.links import Links
from rustray.head.raft_membership import MEMBER, HelloRefused, Membership
from rustray.node.agent import NodeAgent
from rustray.node.process import NodeProcess
from rustray.wire import versions
from rustray.wire.versions import HERE, PROTOCOL, PYTHON, mismatch
from tests.unit.head_bench import Bench
from tests.unit.test_agent import agent, head  # noqa: F401  fixtures

OTHER_PYTHON = (PROTOCOL, "3.99")
OTHER_PROTOCOL = (PROTOCOL + 1, PYTHON)
INFO = {"env": {}, "cwd": "/", "sys_path": [], "prestart": False}


def test_both_versions_are_named() -> None:
    assert mismatch(HERE, "program") == ""
    told = mismatch(OTHER_PYTHON, "program")
    assert f"runs Python 3.99, and the cluster Python {PYTHON}" in told
    told = mismatch(OTHER_PROTOCOL, "node")
    assert f"version {PROTOCOL + 1} of" in told and f"version {PROTOCOL}." in told
    assert "version unknown" in mismatch(1, "node") and "version unknown" in mismatch(None, "node")
    assert mismatch(OTHER_PYTHON, "program", pickles=False) == ""
    assert mismatch(OTHER_PROTOCOL, "program", pickles=False)


def knock(agent: NodeAgent, *hello: Any) -> Session:  # noqa: F811
    """A session whose node has heard its hello."""
    ours, theirs = socket.socketpair()
    session = Session(ours, hello, None)
    agent.door.on_knock(theirs)
    loop = agent.door._loop
    for _ in range(3):
        loop.run_until_complete(asyncio.sleep(0))
    return session


@pytest.mark.parametrize(("here", "told"), [(OTHER_PYTHON, "Python 3.99"), (OTHER_PROTOCOL, "protocol")])
def test_a_program_is_refused(
    agent: NodeAgent,  # noqa: F811
    head: list[Any],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    here: tuple[int, str],
    told: str,
) -> None:
    monkeypatch.setattr(versions, "HERE", here)
    session = knock(agent, "driver", INFO)
    with pytest.raises(VersionMismatchError, match=told):
        session.start(20)
    session.close()
    assert head == [] and not agent.clients.connected


def test_who_only_asks_may_have_another_python(
    agent: NodeAgent,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(versions, "HERE", OTHER_PYTHON)
    session = knock(agent, "asker", {})
    session.start(20)
    assert session.client
    session.close()


def test_a_hello_without_versions_is_refused(agent: NodeAgent) -> None:  # noqa: F811
    session = knock(agent, "driver")  # three fields in all, as before there were versions in it
    with pytest.raises(VersionMismatchError, match="version unknown"):
        session.start(20)
    session.close()


class FakeChannel:
    """Keeps what is sent, and whether it was closed."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.closed = False

    def send(self, *messages: Any) -> None:
        self.sent += messages

    def close(self, *_reason: str) -> None:
        self.closed = True


@pytest.mark.parametrize("theirs", [OTHER_PYTHON, OTHER_PROTOCOL, 1])
def test_a_node_is_refused(theirs: object) -> None:
    bench = Bench()
    loop = asyncio.new_event_loop()
    links = Links(loop, bench.head, ["a:1"])
    channel = FakeChannel()
    info = {"name": "n9", "resources": {"CPU": 1.0}, "labels": {}}
    links.on_channel(channel, ("join", theirs, info, {}))  # type: ignore[arg-type]
    assert channel.sent == [("refused", "version", mismatch(theirs, "node"))] and channel.closed
    assert "n9" not in bench.head.state.nodes
    links.on_channel(FakeChannel(), ("join", HERE, info, {}))  # type: ignore[arg-type]
    assert "n9" in bench.head.state.nodes
    links.close()
    loop.close()


@pytest.mark.parametrize(("differs", "kind"), [("version", VersionMismatchError), ("", ClusterStartError)])
def test_the_starter_of_a_refused_node_gets_the_error_of_its_kind(differs: str, kind: type) -> None:
    loop = asyncio.new_event_loop()
    node: Any = SimpleNamespace(_first_join=loop.create_future())
    NodeProcess.on_refused(node, "because", differs)
    assert type(node._first_join.exception()) is kind
    loop.close()


@pytest.mark.parametrize("theirs", [OTHER_PYTHON, OTHER_PROTOCOL, None])
def test_a_head_is_refused(theirs: object) -> None:
    here = Membership("a", ["b"], MEMBER, [])
    hello = Membership("b", ["a"], MEMBER, []).hello("a", 0)
    here.on_hello(dict(hello))
    with pytest.raises(HelloRefused, match="version|Python"):
        here.on_hello({**hello, "versions": theirs})


def test_a_kernel_of_another_python_does_not_come_back_to_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    left = {"role": "embedded", "notebook": "n.ipynb", "alone": True, "pid": 1, "create_time": 1.0, "socket": "s"}
    for python in (PYTHON, "3.99"):
        monkeypatch.setattr(discovery, "clusters", lambda python=python: [{**left, "python": python}])
        assert (discovery.left_behind("n.ipynb") is not None) == (python == PYTHON)
