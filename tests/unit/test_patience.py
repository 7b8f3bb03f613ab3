"""When a `get` that waits for long is told why, and what a timeout names."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from rustray.driver import cells
from rustray.driver.patience import LACKING_S, PATIENCE_S, Patience, warning, why_not_started
from tests.unit.explained_facts import (
    COUNTER,
    JOB,
    LEASE,
    OTHERS,
    QUEUED,
    WAITING_CALL,
)
from tests.unit.head_bench import DRIVER
from tests.unit.lease_bench import Bench


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Somebody waits in `get`, and the class has tasks and no lease."""
    made = Bench()
    monkeypatch.setattr(type(made.session.reactor), "is_waited_for", True)
    made.submit(2)
    made.told.receive()
    yield made
    made.close()


def answer(bench: Bench, **lease: Any) -> None:
    queries = [message for message in bench.told.receive() if message[0] == "query"]
    for _op, number, what, (about,) in queries:
        assert what == "explained"
        bench.session.requests.on_answer(
            number, True, {**about, "lease": {**LEASE, "holders": [COUNTER], **lease}}
        )


def test_it_is_said_once_and_not_too_early(waiting: Bench) -> None:
    lines: list[str] = []
    patience = Patience(waiting.session, lines.append)
    for now in (0.0, PATIENCE_S / 2, PATIENCE_S - 0.1):
        patience.tick(now)
        answer(waiting)
    assert lines == []
    for now in (PATIENCE_S, PATIENCE_S + 1, 5 * PATIENCE_S):
        patience.tick(now)
        answer(waiting)
    (line,) = lines
    assert line.startswith("rustray: get() has waited 10 s: f() waits for 2 CPU, held by 2 actors Counter.")
    assert "rustray.explain(ref)" in line and line.endswith("\n")


def test_what_no_node_has_is_told_soon_and_once(waiting: Bench) -> None:
    lines: list[str] = []
    patience = Patience(waiting.session, lines.append)
    for now in (0.0, LACKING_S - 0.1, LACKING_S, LACKING_S + 1, PATIENCE_S, PATIENCE_S + 1):
        assert bool(lines) is (now > LACKING_S)
        patience.tick(now)
        answer(waiting, state="infeasible", missing={"GPU": 1.0})
    assert lines == [
        "rustray: f() cannot start: no node of the cluster has what it needs (missing: 1 GPU); it waits for one to "
        "join. rustray.explain(ref) tells more.\n"
    ]


def test_a_cell_that_is_run_again_is_told_again(waiting: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    patience = Patience(waiting.session, lines.append)
    for cell in (1, 2):
        monkeypatch.setattr(cells, "running_cell", lambda cell=cell: cell)
        for now in (0.0, LACKING_S, PATIENCE_S):
            patience.tick(100 * cell + now)
            answer(waiting, state="infeasible")
        assert len(lines) == cell


def test_nothing_is_asked_while_no_head_answers(waiting: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(cells, "writer", lambda: lambda _stream, text: lines.append(text))
    waiting.session.head.on_lost(100.0, "it was cut", ["10.0.0.1:6380"])
    start = time.monotonic()
    patience = Patience(waiting.session, lines.append)
    for later in (0.0, 1.0, 5.0, 20.0):
        patience.tick(start + later)
    assert len(lines) == 1 and "no leading head of the cluster has answered" in lines[0]
    assert waiting.told.receive() == []


def test_a_timeout_names_what_hinders(waiting: Bench) -> None:
    session, entries = waiting.session, [ref._entry for ref in waiting.refs]
    assert why_not_started(session, entries, 0.1) == "" and waiting.told.receive() == []
    for lease, said in (
        (
            {"state": "infeasible"},
            "f() cannot start: no node of the cluster has what it needs (missing: 2 CPU)",
        ),
        ({"missing": {}, "reason": "its job has all"}, "f() waits for a slot; its job has all"),
        ({"holders": [OTHERS]}, "f() waits for 2 CPU, held by "),
    ):
        number = session.requests._number + 1
        waiting.told.send([("answer", number, True, {"function": "f", "lease": {**LEASE, **lease}})])
        assert why_not_started(session, entries, 1.0).startswith(said)
    session.head.on_lost(9.0, "it was cut", ["10.0.0.1:6380"])
    assert "f() has no slot yet, and no leading head" in why_not_started(session, entries, 0.1)


def test_a_timeout_of_a_call_names_what_its_actor_waits_for(waiting: Bench) -> None:
    session, entries = waiting.session, [ref._entry for ref in waiting.refs]
    own = {**OTHERS, "job": JOB, "client": DRIVER}
    about = {**WAITING_CALL, "actor_state": "PENDING", "lease": {**LEASE, "holders": [own]}}
    waiting.told.send([("answer", session.requests._number + 1, True, about)])
    said = why_not_started(session, entries, 1.0)
    assert said.startswith("Counter.add() waits for its actor, which waits for 2 CPU, held by ")
    assert f"of job {JOB}" in said


def test_nothing_is_said_while_nobody_waits(waiting: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    patience = Patience(waiting.session, lines.append)
    monkeypatch.setattr(type(waiting.session.reactor), "is_waited_for", False)
    patience.tick(0.0)
    patience.tick(100.0)
    monkeypatch.setattr(type(waiting.session.reactor), "is_waited_for", True)
    patience.tick(101.0)
    answer(waiting)
    assert lines == []


def test_nothing_is_said_of_a_class_that_is_served(waiting: Bench) -> None:
    lines: list[str] = []
    patience = Patience(waiting.session, lines.append)
    patience.tick(0.0)
    waiting.worker()
    patience.tick(PATIENCE_S + 1)
    answer(waiting)
    assert lines == []


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({**QUEUED, "lease": {**LEASE, "holders": [COUNTER]}}, True),
        ({**QUEUED, "lease": {**LEASE, "state": "served"}}, False),
        ({**QUEUED, "lease": {**LEASE, "state": "promised"}}, False),
        (QUEUED, False),
        (
            {
                **QUEUED,
                "lease": {**LEASE, "holders": [COUNTER, {**COUNTER, "pinned": False, "client": DRIVER}]},
            },
            False,
        ),
        (
            {**QUEUED, "lease": {**LEASE, "holders": [OTHERS]}},
            True,
        ),
        ({**QUEUED, "lease": {**LEASE, "holders": [{**OTHERS, "job": JOB}]}}, False),
        (
            {**QUEUED, "lease": {**LEASE, "missing": {"GPU": 1.0}, "holders": [{**OTHERS, "job": JOB}]}},
            True,
        ),
        ({**QUEUED, "lease": {**LEASE, "missing": {}}}, True),
        ({**WAITING_CALL, "actor_state": "PENDING", "lease": {**LEASE, "holders": [COUNTER]}}, True),
    ],
)
def test_own_tasks_end_by_themselves(about: dict[str, Any], said: bool) -> None:
    assert bool(warning(about, JOB)) is said
