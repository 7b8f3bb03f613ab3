from __future__ import annotations

from rustray.metrics.series import Series


def sample(time: float) -> dict[str, float]:
    return {"time": time, "cpu": 10 * time, "more": 0.0}


def test_the_newest_are_kept_in_their_order() -> None:
    series = Series(("time", "cpu"), keep=3)
    assert series.since(0.0) == []
    for time in range(1, 6):
        series.add(sample(time))
        assert len(series) == min(time, 3)
    assert series.since(0.0) == [{"time": t, "cpu": 10 * t} for t in (3.0, 4.0, 5.0)]
    assert [row["time"] for row in series.since(4.0)] == [5.0]
    assert series.since(5.0) == []


def test_before_it_is_full_the_oldest_is_the_first() -> None:
    series = Series(("time", "cpu"), keep=10)
    series.add(sample(1.0))
    series.add(sample(2.0))
    assert [row["time"] for row in series.since(0.5)] == [1.0, 2.0]
