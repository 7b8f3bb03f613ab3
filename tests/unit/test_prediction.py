"""Estimates of run time and memory, from made-up tasks."""

from __future__ import annotations

import json
import random

import pytest

from rustray.scheduler import prediction
from rustray.scheduler.prediction import Estimate, Predictions

F, G = b"f" * 16, b"g" * 16


def told(predictions: Predictions, *seconds: float, function: bytes = F, now: float = 0.0) -> Estimate:
    """Each task in a report of its own."""
    for one in seconds:
        predictions.observe(function, 1, one, one * one, now)
    found = predictions.estimate(function)
    assert found is not None
    return found


def test_nothing_is_known_of_what_never_ran() -> None:
    assert Predictions().estimate(F) is None


def test_the_mean_and_spread_of_few_tasks_are_theirs() -> None:
    found = told(Predictions(), 1.0, 2.0, 3.0)
    assert found.run_s == pytest.approx(2.0) and found.spread_s == pytest.approx((2 / 3) ** 0.5)
    assert found.tasks == 3


def test_many_in_one_report_count_as_many() -> None:
    one, many = Predictions(), Predictions()
    rng = random.Random(1)
    times = [rng.uniform(0.9, 1.1) for _ in range(100)]
    told(one, *times)
    many.observe(F, 100, sum(times), sum(t * t for t in times), 0.0)
    single, batch = one.estimate(F), many.estimate(F)
    assert single is not None and batch is not None and single.run_s and batch.run_s
    assert batch.run_s == pytest.approx(sum(times) / 100)
    assert single.run_s == pytest.approx(batch.run_s, rel=0.05)
    assert batch.spread_s == pytest.approx(0.2 / 12**0.5, rel=0.2)
    assert single.spread_s == pytest.approx(batch.spread_s, rel=0.5)


def test_one_outlier_moves_little_and_a_change_is_followed() -> None:
    predictions = Predictions()
    steady = told(predictions, *[0.1] * 50)
    after = told(predictions, 100.0)
    assert after.run_s is not None and steady.run_s is not None
    assert after.run_s < 1.2 * steady.run_s
    assert told(predictions, *[0.1] * 30).run_s == pytest.approx(0.1, rel=0.05)
    assert told(predictions, 100.0, 100.0, 100.0).run_s == pytest.approx(100.0)
    assert (told(predictions, *[0.001] * 40).run_s or 9) < 1.0


def test_a_slow_first_task_is_soon_forgotten() -> None:
    predictions = Predictions()
    told(predictions, 2.0)  # it has imported something
    predictions.observe(F, 1000, 0.01, 1e-7, 0.0)
    assert (told(predictions).run_s or 9) < 0.01


def test_a_drift_is_followed() -> None:
    predictions = Predictions()
    for step in range(200):
        told(predictions, 0.1 * 1.05**step)
    found = told(predictions)
    assert found.run_s == pytest.approx(0.1 * 1.05**200, rel=0.6)


def test_of_memory_the_peak_counts() -> None:
    predictions = Predictions()
    for size in (100, 300, 100):
        predictions.note_memory(F, size << 20, 0.0)
    found = predictions.estimate(F)
    assert found is not None and found.run_s is None and found.tasks == 0
    assert 250 << 20 < found.memory < 300 << 20
    for _ in range(60):
        predictions.note_memory(F, 100 << 20, 0.0)
    assert predictions.estimate(F).memory == pytest.approx(100 << 20, rel=0.05)  # type: ignore[union-attr]


def test_what_one_function_takes_says_nothing_of_another() -> None:
    predictions = Predictions()
    told(predictions, *[3.0] * 20)
    predictions.note_memory(F, 1 << 30, 0.0)
    assert predictions.estimate(G) is None
    assert told(predictions, 0.001, function=G) == Estimate(0.001, 0.0, 1, 0)
    assert told(predictions).run_s == pytest.approx(3.0)


def test_the_file_of_an_earlier_version_is_read_but_for_its_names() -> None:
    predictions, row = Predictions(), [9.0, 0.5, 5, 1 << 20, 1.0]
    predictions.merge({"format": 1, "functions": {F.hex(): row}, "names": {"f": row, "cell_5": row}})
    assert predictions.estimate(F) == Estimate(9.0, 0.5, 5, 1 << 20)
    assert predictions.to_dict() == {"format": 1, "functions": {F.hex(): row}}


def test_the_memory_of_a_worker_is_no_run_of_its_function() -> None:
    predictions = Predictions()
    predictions.note_memory(G, 1 << 20, 0.0)  # while the first of its tasks runs
    assert predictions.estimate(G) == Estimate(None, 0.0, 0, 1 << 20)
    assert told(predictions, 1.0, function=G) == Estimate(1.0, 0.0, 1, 1 << 20)


def test_reports_that_make_no_sense_are_passed_over() -> None:
    predictions = Predictions()
    for count, seconds, squares in ((0, 1.0, 1.0), (-1, 1.0, 1.0), (1, -1.0, 1.0), (1, float("nan"), 1.0)):
        predictions.observe(F, count, seconds, squares, 0.0)
    predictions.observe(F, 1, 1.0, float("inf"), 0.0)
    predictions.note_memory(F, -1, 0.0)
    assert predictions.estimate(F) is None and predictions.take_changed() is None


def test_it_is_bounded_and_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "KEPT", 3)
    predictions = Predictions()
    keys = [bytes([n]) * 16 for n in range(4)]
    for at, key in enumerate(keys[:3]):
        told(predictions, 1.0, function=key, now=at)
    told(predictions, 1.0, function=keys[0], now=3.0)
    told(predictions, 1.0, function=keys[3], now=4.0)
    assert [predictions.estimate(key) is not None for key in keys] == [
        True,
        False,
        True,
        True,
    ]
    assert len(predictions) == 3
    changed = predictions.take_changed()
    assert changed is not None and len(changed["functions"]) == 3


def test_it_survives_json() -> None:
    predictions = Predictions()
    told(predictions, 1.0, 2.0, 4.0, now=5.0)
    predictions.note_memory(F, 123456, 6.0)
    again = Predictions()
    again.merge(json.loads(json.dumps(predictions.to_dict())))
    assert again.to_dict() == predictions.to_dict() and again.take_changed() is None
    assert again.estimate(F) == predictions.estimate(F)


def test_what_was_seen_last_wins_a_merge() -> None:
    mine, others = Predictions(), Predictions()
    told(mine, 1.0, now=10.0)
    told(others, 2.0, now=5.0)
    told(others, 3.0, function=G, now=5.0)
    mine.merge(others.to_dict())
    assert mine.estimate(F).run_s == 1.0 and mine.estimate(G).run_s == 3.0  # type: ignore[union-attr]
    told(others, 2.0, now=11.0)
    mine.merge(others.to_dict())
    assert mine.estimate(F).run_s == 2.0  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "kept",
    [
        None,
        [],
        {},
        {"format": 2, "functions": {"aa": [1, 1, 1, 1, 1]}},
        {"format": 1},
        {"format": 1, "functions": [], "names": 3},
        {"format": 1, "functions": {"aa": [1, 1, 1], "bb": "text", "cc": [1, 1, 1, 1, None]}},
        {
            "format": 1,
            "functions": {"aa": [-1, 1, 1, 1, 1], "bb": [float("nan"), 1, 1, 1, 1], "cc": [1e99, 0, 1, 1, 1]},
        },
    ],
)
def test_a_damaged_file_is_no_worse_than_none(kept: object) -> None:
    predictions = Predictions()
    predictions.merge(kept)  # type: ignore[arg-type]
    assert len(predictions) == 0 and predictions.to_dict() == {"format": 1, "functions": {}}


def test_only_what_changed_is_told() -> None:
    predictions = Predictions()
    told(predictions, 1.0)
    told(predictions, 1.0, function=G)
    assert set((predictions.take_changed() or {})["functions"]) == {F.hex(), G.hex()}
    assert predictions.take_changed() is None
    told(predictions, 1.0, function=G)
    assert set((predictions.take_changed() or {})["functions"]) == {G.hex()}
