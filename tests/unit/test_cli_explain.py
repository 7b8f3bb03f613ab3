"""What `rustray explain NAME` says."""

from __future__ import annotations

from typing import Any

import pytest

from rustray.cli.explain import _none, _sentence
from rustray.cli.status import waiting_lines
from tests.unit.explained_facts import KEY, SPEC
from tests.unit.head_bench import DRIVER, Bench

ROW: dict[str, Any] = {"class": "f", "job": 1, "state": "waiting", "held": 0, "wanted": 2, "promised": 0}


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"missing": {"CPU": 1.0}}, "; the node that comes closest lacks 1 CPU."),
        ({"tasks": 3, "missing": {"CPU": 1.0}}, "slots asked for; the node that comes closest lacks 1 CPU."),
        ({"missing": {}, "reason": "its job has all"}, "slots asked for; its job has all."),
        (
            {"state": "infeasible", "missing": {"GPU": 1.0}, "reason": "on nodes with zone=a"},
            "; no node of the cluster has what it needs (missing on nodes with zone=a: 1 GPU); "
            "it waits for one to join.",
        ),
        (
            {"state": "infeasible", "missing": {}, "reason": "no node has label zone=q"},
            "; no node of the cluster has what it needs (no node has label zone=q); it waits for one to join.",
        ),
    ],
)
def test_it_says_why_they_wait(told: dict[str, Any], said: str) -> None:
    assert _sentence({**ROW, **told}).endswith(said)


def test_a_name_that_never_was_is_told_from_one_that_is_over() -> None:
    bench = Bench()
    bench.alive()
    bench.say("class", KEY, 1, SPEC, DRIVER)
    answers: list[tuple[bool, list[str]]] = []
    bench.head.questions.ask("names", (), lambda *answer: answers.append(answer))
    ((_ok, names),) = answers
    assert names == ["Counter", "f"]
    assert "run, or are over" in _none("f", names)
    assert "no running job has a function or actor of that name" in _none("g", names)
    assert _none("trian", ["train", "test"]).endswith("Did you mean 'train'?")


def test_status_counts_tasks_and_names_slots_so() -> None:
    slots = [{"class": "f", "job": 3, "held": 2, "wanted": 60, "infeasible": False}]
    tasks = [
        {"function": "f", "state": "waiting", "node": "", "count": 58},
        {"function": "f", "state": "running", "node": "n", "count": 2},
        {"function": "g", "state": "waiting", "node": "", "count": 1},
    ]
    assert waiting_lines(slots, tasks) == [
        "waiting: 58 tasks of f; job 3: has 2 of 60 slots asked for",
        "waiting: 1 task of g",
    ]
    assert waiting_lines(slots, tasks[1:2]) == []
    never = {**slots[0], "class": "h", "infeasible": True}
    assert waiting_lines([never], []) == ["waiting: h; job 3: no node can have it"]
