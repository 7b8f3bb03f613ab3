"""When a claim will probably be served."""

from __future__ import annotations

from typing import Any

import pytest

from rustray.scheduler.events import Predicted
from rustray.scheduler.levels import SLICES
from rustray.scheduler.preemption import GRACE
from tests.unit.scheduler_env import Env


def told(env: Env, key: str) -> dict[str, Any]:
    found: dict[str, Any] = env.scheduler.status.explain(key.encode(), 1)
    return found


def test_a_slot_comes_when_the_task_in_it_has_had_its_slice_or_ends() -> None:
    env = Env().node(cpu=1).cls("f").cls("g").demand("f", 1).demand("g", 1)
    assert told(env, "g")["level"] == 3
    assert told(env, "g")["predicted_start"] == pytest.approx(SLICES[3])
    env.step(Predicted(b"f", 1.5))
    assert told(env, "g")["predicted_start"] == pytest.approx(1.5)
    served = {"state": "served", "class": "f", "wanted": 1, "held": 1, "promised": 0, "suspended": 0}
    assert told(env, "f") == served


def test_those_ahead_take_theirs_first() -> None:
    env = Env().node(cpu=1).cls("f").cls("g").cls("h").demand("f", 1).demand("g", 1).demand("h", 1)
    assert told(env, "h")["ahead"] == 1
    assert told(env, "h")["predicted_start"] == pytest.approx(SLICES[3] + 60.0)


def test_an_actor_gives_nothing_up() -> None:
    env = Env().node(cpu=1).cls("actor", pinned=True).cls("g").demand("actor", 1).demand("g", 1)
    assert told(env, "g")["predicted_start"] is None and told(env, "g")["missing"] == {"CPU": 1.0}


def test_who_is_more_urgent_hardly_waits() -> None:
    env = Env().node(cpu=1).cls("f").demand("f", 1).cls("quick").step(Predicted(b"quick", 0.001))
    env.scheduler._book.set_level(env.scheduler._book.classes[b"quick"], 0)
    env.demand("quick", 1)
    assert told(env, "quick")["level"] == 0 and told(env, "quick")["predicted_start"] == pytest.approx(GRACE)


def test_what_needs_several_slots_waits_for_several_tasks_to_end() -> None:
    env = Env().node(cpu=2).cls("f").demand("f", 2).cls("wide", cpu=2).step(Predicted(b"f", 12.0))
    env.scheduler._book.set_level(env.scheduler._book.classes[b"wide"], 0)
    env.demand("wide", 1)
    assert told(env, "wide")["predicted_start"] == pytest.approx(12.0) and not told(env, "wide")["unknown"]


def test_of_functions_that_have_never_run_nothing_is_predicted() -> None:
    env = Env().node(cpu=2).cls("f").demand("f", 2).cls("wide", cpu=2).step(Predicted(b"f", None))
    env.scheduler._book.set_level(env.scheduler._book.classes[b"wide"], 0)
    env.demand("wide", 1)
    assert (told(env, "wide")["predicted_start"], told(env, "wide")["unknown"]) == (None, {"f": 2})


def test_for_who_stays_the_last_slot_is_not_freed() -> None:
    env = Env().node(cpu=1).cls("f", predicted=20.0).demand("f", 1).cls("actor", pinned=True, predicted=None)
    env.demand("actor", 1)
    for _ in range(10):  # promised or not
        assert told(env, "actor")["predicted_start"] == pytest.approx(20.0 - (env.now - 100.0))
        env.tick(0.1)
    assert told(env, "actor")["state"] == "promised" and told(env, "actor")["at_end"]
    env = Env().node(cpu=2).cls("f", predicted=20.0).demand("f", 2).cls("actor", pinned=True, predicted=None)
    env.demand("actor", 1).tick(0.1)  # here the suspended one can have the other
    assert told(env, "actor")["predicted_start"] == pytest.approx(GRACE) and not told(env, "actor")["at_end"]


def test_what_runs_longer_than_was_known_does_not_end_at_once() -> None:
    env = Env().node(cpu=1).cls("f", preemptible=False).demand("f", 1).step(Predicted(b"f", 0.05))
    env.cls("g", job=2).demand("g", 1).tick(1.0)
    assert env.said == "revoke 1 from 1"
    env.tick(0.02)
    assert told(env, "g")["predicted_start"] <= 0.05
    env.tick(3.0)
    assert told(env, "g")["predicted_start"] == pytest.approx(3.02)
