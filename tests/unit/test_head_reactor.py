"""The head with a log that takes nothing, after a change of leaders, and asked what nobody answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rustray.driver import failures
from rustray.head.log import LocalLog
from rustray.head.membership import NODE_TIMEOUT_S, SETTLE_S
from rustray.head.reactor import Head
from tests.unit.head_bench import DRIVER, OTHER, Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()


def of_the_other_node(then: Callable[[Head], None]) -> list[tuple[Any, ...]]:
    """What a client is told that needs a node which had not reported when a new leader took office, nor `then`."""
    now, told, report = [0.0], [], {}
    log = LocalLog()
    for epoch in (1, 2):
        head = Head(lambda: now[0], lambda: now[0], log, epoch, may_grow=True)
        info = {"number": 1} if epoch == 2 else {}
        head.members.on_node_up("n1", {"CPU": 1.0}, {}, info, told.append, report=report)
        if epoch == 1:
            head.members.on_node_up("n2", {"CPU": 1.0}, {}, {}, lambda _message: None)
            head.from_node("n1", ("job_start", DRIVER, {"namespace": "ns", "env": {}}))
            spec = {"name": "f", "resources": {"CPU": 1.0}, "constraint": {"node": "n2"}}
            report.update(
                jobs=[1],
                clients=[(DRIVER, 1)],
                classes=[(b"key", 1, spec, True)],
                demands=[(b"key", DRIVER, 1)],
            )
    now[0] = SETTLE_S + 0.1
    head.tick()
    then(head)
    now[0] = NODE_TIMEOUT_S + 0.1
    head.tick()
    return [message for message in told if message[0] == "infeasible"]


def test_a_new_leader_gives_up_only_what_needs_a_node_that_does_not_come_back() -> None:
    assert len(of_the_other_node(lambda _head: None)) == 1
    back = {"number": 2}
    assert not of_the_other_node(
        lambda head: head.members.on_node_up("n2", {"CPU": 1.0}, {}, back, lambda _message: None, report={})
    )


def test_a_question_that_nobody_answers_is_an_error(bench: Bench) -> None:
    bench.say("query", DRIVER, 3, "weather", ())
    (answer,) = bench.said()
    assert answer[:4] == ("answer", DRIVER, 3, False) and "weather" in str(failures.unpack(answer[4]))


class Moody(LocalLog):
    """A log that takes nothing while it has a `trouble`."""

    trouble = ""

    def submit(self, op: str, payload: dict[str, Any], then: Callable[[dict[str, Any]], None]) -> None:
        if self.trouble:
            then({"error": self.trouble, "message": "not now"})
        else:
            super().submit(op, payload, then)


@pytest.mark.parametrize("trouble", ["read_only", "busy", "unknown_outcome"])
def test_what_the_log_cannot_take_is_submitted_again_in_its_order(trouble: str) -> None:
    log, said, acknowledged = Moody(), list[tuple[Any, ...]](), list[int]()
    head = Head(lambda: 1.0, lambda: 1.0, log, may_grow=True)
    head.members.on_node_up("n1", {"CPU": 2.0}, {}, {"number": 0}, said.append)
    log.trouble = trouble
    head.from_node("n1", ("job_start", DRIVER, {}), "node1.1", lambda: acknowledged.append(1))
    head.from_node("n1", ("job_start", OTHER, {}), "node1.2", lambda: acknowledged.append(2))
    head.from_node("n1", ("job_end", 1), "node1.3", lambda: acknowledged.append(3))
    head.tick()
    assert not acknowledged and not said
    log.trouble = ""
    head.tick()
    assert acknowledged == [1, 2, 3]
    assert [message[:3] for message in said] == [
        ("job_started", DRIVER, 1),
        ("job_started", OTHER, 2),
        ("job_ended", 1),
    ]


def test_a_node_is_removed_when_the_log_takes_it() -> None:
    log, dead = Moody(), list[str]()
    head = Head(lambda: 1.0, lambda: 1.0, log, may_grow=True)
    head.members.on_node_up("n1", {"CPU": 2.0}, {}, {}, lambda _message: None)
    log.trouble = "read_only"
    head.members.on_node_lost("n1", "it was silent")
    head.members.on_node_up(
        "n1", {"CPU": 2.0}, {}, {}, lambda _m: None, refused=lambda r: dead.append(r["error"])
    )
    assert dead == ["read_only"] and head.state.nodes["n1"].removed is None
    log.trouble = ""
    head.tick()
    assert head.state.nodes["n1"].removed is not None
    head.scheduling.scheduler.sanity_check()


def test_who_writes_is_told_that_the_log_takes_nothing() -> None:
    log, answers = Moody(), list[bool]()
    head = Head(lambda: 1.0, lambda: 1.0, log, may_grow=True)
    log.trouble = "read_only"
    head.questions.ask("kv_put", ("ns", b"key", b"value", True), lambda ok, _value: answers.append(ok))
    assert answers == [False]
