"""Gateways, nodes of programs that only ask or submit, are no nodes of the cluster to who looks at it."""

from __future__ import annotations

from typing import Any

import pytest

from rustray.head.log import LocalLog
from rustray.head.reactor import Head


@pytest.fixture
def head() -> Head:
    head = Head(lambda: 100.0, lambda: 100.0, LocalLog())
    head.members.on_node_up("n1", {"CPU": 2.0}, {}, {"gateway": False}, lambda _message: None)
    head.members.on_node_up("asks", {}, {}, {"gateway": True}, lambda _message: None)
    return head


def answer(head: Head, what: str, *args: Any) -> list[dict[str, Any]]:
    answers: list[tuple[bool, Any]] = []
    head.questions.ask(what, args, lambda ok, value: answers.append((ok, value)))
    ((ok, rows),) = answers
    assert ok
    return rows  # type: ignore[no-any-return]


def test_nodes_are_those_that_offer_something(head: Head) -> None:
    assert [row["name"] for row in answer(head, "nodes")] == ["n1"]
    assert [row["name"] for row in answer(head, "nodes", True)] == ["n1", "asks"]


def test_the_network_is_that_of_the_nodes(head: Head) -> None:
    head.measured.head_rtt.update({"n1": 0.001, "asks": 0.002})
    numbers = {row["name"]: row["number"] for row in answer(head, "nodes", True)}
    head.measured.network["n1"] = [(numbers["asks"], 0.003, 10.0)]
    head.measured.network["asks"] = [(numbers["n1"], 0.003, 10.0)]
    assert [row["to"] for row in answer(head, "network")] == ["n1"]
