from __future__ import annotations

import pytest

from rustray.metrics.histogram import BYTES, SECONDS, Histogram


def test_bounds_go_up_four_a_decade() -> None:
    assert SECONDS[0] == 1e-5 and SECONDS[-1] == 1000.0 and SECONDS[20] == 1.0
    assert all(1.7 < high / low < 1.82 for low, high in zip(SECONDS, SECONDS[1:], strict=False))
    assert BYTES[0] == 2**20 and BYTES[-1] == 2**41


def test_values_below_and_above_all_bounds_count() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.0, 1.0, 1.5, 9.0):
        histogram.add(value)
    assert histogram.counts == [2, 1, 1]
    assert histogram.count == 4 and histogram.sum == 11.5


def test_what_is_taken_and_merged_elsewhere_is_the_same() -> None:
    one, both = Histogram(), Histogram()
    one.add(0.002, 3)
    both.add(5.0)
    counts, total = one.take()
    assert one.count == 0 and one.take() == ([], 0.0)
    both.merge(counts, total)
    assert both.count == 4 and both.sum == pytest.approx(5.006)
    assert both.mean == pytest.approx(5.006 / 4)


@pytest.mark.parametrize(("fraction", "expected"), [(0.5, 0.01), (0.95, 0.1), (0.999, 1.0)])
def test_quantiles_are_right_to_a_bucket(fraction: float, expected: float) -> None:
    histogram = Histogram()
    for value, times in ((0.009, 600), (0.09, 380), (0.9, 20)):
        histogram.add(value, times)
    found = histogram.quantile(fraction)
    assert found is not None and expected / 1.8 <= found <= expected


def test_nothing_has_no_quantile_and_what_is_above_all_bounds_has_the_last() -> None:
    histogram = Histogram((1.0, 2.0))
    assert histogram.quantile(0.5) is None and histogram.mean is None
    histogram.add(100.0)
    assert histogram.quantile(0.5) == 2.0
