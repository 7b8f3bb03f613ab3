"""What `explain` says of the facts, and how it writes quantities."""

from __future__ import annotations

from typing import Any

import pytest

from rustray.explanation import Explanation
from rustray.model import quantities
from tests.unit.explained_facts import (
    CALL,
    COUNTER,
    LEASE,
    ON_WORKER,
    QUEUED,
    TASK,
    WAITING_CALL,
)


@pytest.mark.parametrize(
    ("facts", "state", "words"),
    [
        ({"task": "00", "state": "done", "value": "in the store"}, "done", "its value is in the store"),
        (
            {
                "task": "00",
                "function": "f",
                "state": "failed",
                "error_type": "ValueError",
                "error": "no\nmore",
            },
            "failed",
            "Task f() has failed: ValueError: no",
        ),
        (
            {"task": "00", "state": "failed", "error_type": "rustray.errors.TaskCancelledError", "error": ""},
            "cancelled",
            "was cancelled",
        ),
        ({"task": "00", "state": "ended"}, "ended", "nothing refers to its results any more"),
        ({"task": "00", "state": "unknown"}, "unknown", "not known"),
        (
            {**ON_WORKER, "state": "running", "since_s": 3.21},
            "running",
            "on node n1, in worker process 4242, for 3.21 s so far.",
        ),
        (
            {**ON_WORKER, "state": "running", "since_s": 1.0, "cancelled": True},
            "running",
            "is being cancelled",
        ),
        (
            {**ON_WORKER, "state": "running", "suspended": True},
            "suspended",
            "its slot went to more urgent work",
        ),
        ({**ON_WORKER, "state": "sent", "behind": 3}, "sent", "which runs 3 tasks before it"),
        ({**ON_WORKER, "state": "sent", "pid": 0}, "sent", "worker process yet to start, and starts next"),
        (
            {**TASK, "state": "arguments", "missing": ["ab", "cd"]},
            "waiting for arguments",
            "for 2 objects: ab, cd.",
        ),
        ({**QUEUED, "leases": 2}, "queued", "at place 2 of 5 here, for 2 workers that run others now"),
        (
            {**QUEUED, "lease": {**LEASE, "holders": [COUNTER]}},
            "waiting for a lease",
            "for a slot, of which 2 CPU is missing: held by 2 actors Counter of job 1.",
        ),
        (
            {**QUEUED, "lease": {**LEASE, "state": "promised", "promised": 1}},
            "waiting for a lease",
            "being freed for it",
        ),
        (
            {**QUEUED, "lease": {**LEASE, "state": "promised", "promised": 1, "at_end": True}},
            "waiting for a lease",
            "; it has the next that ends.",
        ),
        (
            {**QUEUED, "lease": {**LEASE, "state": "infeasible"}},
            "infeasible",
            "Task f() cannot start: no node of the cluster has what it needs "
            "(missing: 2 CPU); it waits for one to join.",
        ),
        (
            {
                **QUEUED,
                "lease": {**LEASE, "state": "infeasible", "missing": {}, "reason": "no node has label a=b"},
            },
            "infeasible",
            "no node of the cluster has what it needs (no node has label a=b); it waits for one to join.",
        ),
        (
            {**QUEUED, "lease": {**LEASE, "reason": "its group has no room"}},
            "waiting for a lease",
            "; its group has no room",
        ),
        (
            {**QUEUED, "lease": {"state": "unknown"}},
            "waiting for a lease",
            "waits, at place 2 of 5 here, for a slot.",
        ),
        (
            {**WAITING_CALL, "actor_state": "PENDING", "complete": True, "lease": LEASE},
            "waiting for its actor",
            "Counter.add() is at place 1 of 3 calls here; its actor Counter is not up yet: it waits for a slot",
        ),
        (
            {**WAITING_CALL, "actor_state": "PENDING", "complete": False},
            "waiting for its actor",
            "waits for the arguments of its constructor",
        ),
        (
            {**WAITING_CALL, "actor_state": "RESTARTING", "complete": True, "lease": {"state": "served"}},
            "waiting for its actor",
            "is being restarted: its constructor runs",
        ),
        ({**WAITING_CALL, "connected": True, "actor_state": "ALIVE"}, "queued", "its actor is busy"),
        (
            {**WAITING_CALL, "connected": True, "actor_state": "ALIVE", "blocked_by": ["ab"]},
            "waiting for arguments",
            "as calls run in their order, for an argument of one before it for 1 object: ab",
        ),
        (
            {**CALL, "state": "interrupted", "actor_state": "RESTARTING"},
            "waiting for its actor",
            "ran when its actor died",
        ),
        (
            {
                "task": "",
                "state": "actor",
                "actor_name": "Counter",
                "actor_state": "DEAD",
                "cause": "it was killed",
            },
            "dead",
            "The actor Counter is dead: it was killed.",
        ),
        (
            {"task": "", "state": "actor", "actor_name": "Counter", "actor_state": "ALIVE"},
            "alive",
            "The actor Counter is up.",
        ),
        ({"task": "", "state": "actor", "actor_state": "unknown"}, "unknown", "is not known to the cluster"),
        (
            {
                "task": "",
                "state": "actor",
                "actor": b"a" * 16,
                "actor_name": "Counter",
                "actor_state": "PENDING",
                "lease": {**LEASE, "state": "infeasible"},
            },
            "infeasible",
            "The actor Counter cannot start: no node of the cluster has what it needs (missing: 2 CPU)",
        ),
        (
            {"state": "group", "group": "ab", "group_state": "PENDING", "reason": "no node has 7 CPU"},
            "pending",
            "The placement group ab is waiting for room: no node has 7 CPU.",
        ),
    ],
)
def test_it_says_in_a_sentence_how_a_task_is(facts: dict[str, Any], state: str, words: str) -> None:
    found = Explanation(facts)
    assert found.state == state and words in found.text
    assert found.text in repr(found) and found.state in found._repr_html_()


def test_what_else_is_known_is_in_fields_and_in_a_table() -> None:
    lease = {
        **LEASE,
        "level": 2,
        "ahead": 3,
        "predicted_start": 4.0,
        "first_ahead": [{"class": "<g>"}],
        "holders": [COUNTER],
    }
    estimate = {"run_s": 0.25, "spread_s": 0.01, "tasks": 7, "memory": 3 << 20}
    found = Explanation(
        {**QUEUED, "lease": lease, "estimate": estimate, "resources": {"CPU": 2.0, "memory": 2.0**31}}
    )
    assert (found.position, found.queued, found.level, found.ahead) == (2, 5, 2, 3)
    assert (found.missing, found.predicted_start_s, found.predicted_run_s) == ({"CPU": 2.0}, 4.0, 0.25)
    assert dict(found.details()) == {
        "task": "00" * 14,
        "needs": "2 CPU, 2 GiB memory",
        "level": "2",
        "missing": "2 CPU",
        "held by": "2 actors Counter of job 1",
        "ahead": "3: <g>",
        "starts in": "about 4 s",
        "takes": "about 250 ms, ± 10 ms",
        "memory": "about 3 MiB",
    }
    assert "&lt;g&gt;" in found._repr_html_() and found.plain()["level"] == 2


def test_quantities() -> None:
    assert [quantities.duration(s) for s in (0.0, 1.5e-5, 0.0012, 0.25, 3, 500)] == [
        "0 µs", "15 µs", "1.2 ms", "250 ms", "3 s", "8.33 min",
    ]  # fmt: skip
    assert [quantities.lapse(s) for s in (0.03, 0.34, 9.96, 59.7, 185, 7380)] == [
        *("30 ms", "0.3 s", "10 s", "1 min", "3 min 5 s", "2 h 3 min")
    ]
    assert [quantities.byte_size(n) for n in (5, 3 << 10, 14 << 20, 3 << 29)] == [
        "5 B",
        "3 KiB",
        "14 MiB",
        "1.5 GiB",
    ]
