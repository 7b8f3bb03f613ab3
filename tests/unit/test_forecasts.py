"""Measured run times on their way: from the tasks of a class to the head, its scheduler, and the next client."""

from __future__ import annotations

from typing import Any

import pytest

from rustray.driver.measured import NOTABLE, TELL_EVERY_S, Measured
from rustray.model import ids
from rustray.scheduler import events
from tests.unit.head_bench import DRIVER, Bench

KEY, OTHER_KEY, F = b"class", b"other class", b"f" * 16
SPEC = {"name": "f", "function": F, "resources": {"CPU": 1.0}, "runtime_env": None, "env_key": b""}


def measured(*seconds: float, into: Measured | None = None) -> Measured:
    found = into or Measured()
    for one in seconds:
        found.count += 1
        found.seconds += one
        found.squares += one * one
    return found


class TestMeasured:
    def test_the_first_tasks_are_news(self) -> None:
        assert Measured().take(0.0) is None and Measured().take_all() is None
        assert measured(1.0, 2.0).take(0.0) == (2, 3.0, 5.0)

    def test_news_come_at_most_twice_a_second(self) -> None:
        times = measured(1.0)
        assert times.take(10.0) is not None
        measured(5.0, into=times)
        assert times.take(10.0 + TELL_EVERY_S / 2) is None
        assert times.take(10.0 + TELL_EVERY_S) == (1, 5.0, 25.0)
        assert times.take(20.0) is None

    def test_more_of_the_same_is_news_when_it_is_as_much_again(self) -> None:
        times = measured(*[1.0] * 10)
        times.take(0.0)
        measured(*[1.0 + NOTABLE / 2] * 9, into=times)
        assert times.take(1.0) is None
        measured(1.0, into=times)
        assert times.take(1.0) is not None
        measured(*[1.0] * 19, into=times)
        assert times.take(2.0) is None and times.take_all() == (19, 19.0, 19.0)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def stepped(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the scheduler is told of classes and their tasks."""
    seen: list[Any] = []
    step = bench.head.scheduling.scheduler.step

    def note(event: Any, now: float) -> Any:
        if isinstance(event, events.ClassAdded | events.Predicted):
            seen.append(event)
        return step(event, now)

    monkeypatch.setattr(bench.head.scheduling.scheduler, "step", note)
    return seen


def test_what_a_class_takes_is_told_to_the_scheduler(bench: Bench, stepped: list[Any]) -> None:
    bench.say("class", KEY, 1, SPEC, DRIVER)
    assert stepped[0].predicted is None and bench.said() == []
    bench.say("predicted", [(KEY, 2, 6.0, 18.0)])
    bench.say("worker_memory", [(KEY, 1 << 20), (b"unknown", 5)])
    assert stepped[1:] == [events.Predicted(KEY, 3.0, 0), events.Predicted(KEY, 3.0, 1 << 20)]


def test_a_new_class_of_a_known_function_starts_with_what_is_known(bench: Bench, stepped: list[Any]) -> None:
    bench.say("class", KEY, 1, SPEC, DRIVER)
    bench.say("predicted", [(KEY, 2, 6.0, 18.0)])
    bench.say("worker_memory", [(KEY, 1 << 20)])
    bench.say("class", OTHER_KEY, 1, SPEC, DRIVER)
    assert bench.said() == [("estimate", DRIVER, OTHER_KEY, 3.0, 0.0)]
    assert (stepped[-1].predicted, stepped[-1].predicted_memory) == (3.0, 1 << 20)
    # Another client of the same class asks too.
    bench.say("class", OTHER_KEY, 1, SPEC, DRIVER + 1)
    assert bench.said() == [("estimate", DRIVER + 1, OTHER_KEY, 3.0, 0.0)]


def test_another_function_of_the_same_name_begins_as_one_that_nobody_knows(
    bench: Bench, stepped: list[Any]
) -> None:
    bench.say("class", KEY, 1, SPEC, DRIVER)
    bench.say("predicted", [(KEY, 2, 6.0, 18.0)])
    bench.say("worker_memory", [(KEY, 1 << 20)])
    bench.say("class", OTHER_KEY, 1, {**SPEC, "function": b"g" * 16}, DRIVER)
    assert bench.said() == [] and (stepped[-1].predicted, stepped[-1].predicted_memory) == (None, 0)
    bench.say("predicted", [(OTHER_KEY, 1, 0.001, 1e-6)])
    assert stepped[-1] == events.Predicted(OTHER_KEY, 0.001, 0)
    rows = bench.head.forecasts.functions()
    assert [row["name"] for row in rows] == ["f", "f"], "they are shown by name all the same"
    assert {row["run_s"] for row in rows} == {3.0, 0.001}


def test_what_earlier_runs_knew_reaches_classes_that_came_first(bench: Bench, stepped: list[Any]) -> None:
    earlier = Bench()
    earlier.say("class", KEY, 1, SPEC, DRIVER)
    earlier.say("predicted", [(KEY, 2, 6.0, 18.0)])
    bench.say("class", KEY, 1, SPEC, DRIVER)
    bench.head.forecasts.learn(earlier.head.forecasts.predictions.to_dict())
    assert stepped[-1] == events.Predicted(KEY, 3.0, 0)


def test_a_report_of_another_node_counts_alike(bench: Bench) -> None:
    there: list[tuple[Any, ...]] = []
    bench.head.members.on_node_up("n2", {"CPU": 1.0}, {}, {}, there.append)
    bench.said()
    client = ids.node_client(2) + 1
    bench.say("class", KEY, 1, SPEC, client, node="n2")
    bench.say("predicted", [(KEY, 1, 3.0, 9.0)], node="n2")
    bench.say("class", OTHER_KEY, 1, SPEC, client, node="n2")
    assert there[-1] == ("estimate", client, OTHER_KEY, 3.0, 0.0) and bench.said() == []


def test_what_is_expected_of_classes_is_told_of_those_whose_code_has_run(bench: Bench) -> None:
    bench.say("class", KEY, 1, SPEC, DRIVER)
    bench.say("class", OTHER_KEY, 1, {**SPEC, "function": b"g" * 16}, DRIVER)
    assert bench.head.forecasts.expected([KEY]) == {}
    bench.say("predicted", [(KEY, 2, 6.0, 18.0)])
    assert bench.head.forecasts.expected([KEY, OTHER_KEY, b"unknown"]) == {KEY: (3.0, 0.0)}
