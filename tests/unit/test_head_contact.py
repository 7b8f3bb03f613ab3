"""What those are told who wait for a head that does not answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from rustray.driver import cells, head_contact
from rustray.driver.head_contact import GIVE_UP_AFTER_S, TOLD_AFTER_S, HeadContact
from rustray.errors import NotCommittedError, SessionError
from rustray.node.agent import NodeAgent
from tests.unit.test_agent import Sent, driver
from tests.unit.test_agent import agent as agent  # the fixture
from tests.unit.test_agent import head as head  # and what it needs
from tests.unit.test_submitter import Bench
from tests.unit.test_submitter import bench as bench  # the fixture

HEADS = ["10.0.0.1:6380", "10.0.0.2:6380"]


class Contact:
    """A contact whose waits take no time: each lets the clock go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.cell: Any = None
        self.lines: list[str] = []
        self.contact = HeadContact(self.wait)
        self.ready_at = 1e9
        monkeypatch.setattr(head_contact.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(cells, "running_cell", lambda: self.cell)
        monkeypatch.setattr(cells, "writer", lambda: lambda _stream, text: self.lines.append(text))

    def wait(self, _awaited: Any, timeout: float | None) -> bool:
        self.now += timeout or 0.0
        return self.now >= self.ready_at

    def ask(self, changes: bool = False) -> None:
        self.contact.wait_for_answer(None, "kv.put()", changes)  # type: ignore[arg-type]


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Contact]:
    yield Contact(monkeypatch)


def test_a_short_loss_is_not_worth_a_word(at: Contact) -> None:
    at.contact.on_lost(0.0, "it was cut", HEADS)
    at.ready_at = at.now + TOLD_AFTER_S - 0.5
    at.ask()
    assert at.lines == []


def test_one_line_says_which_heads_were_tried_and_why(at: Contact) -> None:
    at.contact.on_lost(0.0, "it was cut", HEADS)
    at.contact.on_lost(1.0, "cannot connect to 10.0.0.2:6380.", HEADS)
    at.ready_at = at.now + 20
    at.ask()
    (line,) = at.lines
    assert (
        "no leading head of the cluster has answered for 3 s (tried: 10.0.0.1:6380, 10.0.0.2:6380; the last"
        in line
    )
    assert "reason: cannot connect to 10.0.0.2:6380)" in line and "what needs a head waits" in line
    at.ready_at = at.now + 20
    at.ask()
    assert len(at.lines) == 1
    at.cell, at.ready_at = "another", at.now + 20
    at.ask()
    assert len(at.lines) == 2


def test_the_next_loss_is_told_too(at: Contact) -> None:
    for _loss in range(2):
        at.contact.on_lost(0.0, "it was cut", HEADS)
        at.ready_at = at.now + 10
        at.ask()
        at.contact.on_found()
        assert not at.contact.is_lost and at.contact.text(at.now) == ""
    assert len(at.lines) == 2


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        (True, NotCommittedError, "may still be carried out when a head is back"),
        (False, SessionError, "The node is well"),
    ],
)
def test_a_request_is_given_up_after_a_minute(
    at: Contact, changes: bool, error: type[Exception], said: str
) -> None:
    at.contact.on_lost(500.0, "it was cut", HEADS)
    asked = at.now
    with pytest.raises(error, match=said):
        at.ask(changes)
    assert asked + GIVE_UP_AFTER_S <= at.now <= asked + GIVE_UP_AFTER_S + 1


def test_a_head_may_take_its_time(at: Contact) -> None:
    at.ready_at = at.now + 10 * GIVE_UP_AFTER_S
    at.ask()
    assert at.lines == []


def test_init_says_that_the_node_is_well(bench: Bench) -> None:
    bench.told.send([("head_lost", 70.0, "nobody listens there", HEADS)])
    with pytest.raises(
        SessionError, match=r"node here is well, but no leading head .* for 7\d s .*nobody listens"
    ):
        bench.session.start(0.2)


def test_a_node_tells_its_clients_also_those_that_come(agent: NodeAgent) -> None:
    first = driver(agent, 1)
    first.peer = told = Sent()  # type: ignore[assignment]
    agent.outage.on_lost("it was cut", HEADS)
    agent.outage.on_lost("it was cut", HEADS)
    agent.outage.on_lost("nobody listens", HEADS)
    assert [message[2] for message in told.messages] == ["it was cut", "nobody listens"]
    late = Sent()
    time.sleep(0.01)  # so that it was lost a while ago
    agent.door.on_hello(late, "driver", {"prestart": False})  # type: ignore[arg-type]
    ((op, for_s, reason, heads),) = late.messages
    assert (op, reason, heads) == ("head_lost", "nobody listens", HEADS) and for_s > 0
    told.ops()
    agent.outage.on_found()
    agent.outage.on_found()
    assert told.ops() == ["head_found"] and late.ops() == ["head_lost", "head_found"]
