from __future__ import annotations

import pickle

import pytest

from rustray.model.resources import UNIT, Resources


def test_amounts_are_exact_units() -> None:
    r = Resources.of(cpu=1, gpu=0.5, memory=100, custom={"disk": 0.1})
    assert dict(r) == {"CPU": UNIT, "GPU": UNIT // 2, "memory": 100 * UNIT, "disk": 1000}
    assert repr(r) == "Resources(CPU=1, GPU=0.5, memory=100, disk=0.1)"


def test_a_tenth_ten_times_is_one() -> None:
    total = Resources()
    for _ in range(10):
        total += Resources.of(gpu=0.1)
    assert total == Resources.of(gpu=1)


def test_zero_is_left_out_so_equal_means_equal() -> None:
    assert Resources.of(cpu=0) == Resources() == Resources.of(cpu=1) - Resources.of(cpu=1)
    assert hash(Resources.of(cpu=1, gpu=1)) == hash(Resources.of(gpu=1, cpu=1))


def test_subtracting_may_go_negative() -> None:
    assert Resources.of(cpu=1) - Resources.of(cpu=3) == Resources({"CPU": -2 * UNIT})


def test_fits_and_missing() -> None:
    want = Resources.of(cpu=2, gpu=1)
    assert want.fits(Resources.of(cpu=2, gpu=1, memory=5))
    assert not want.fits(Resources.of(cpu=4))
    assert want.missing(Resources.of(cpu=0.5)) == Resources.of(cpu=1.5, gpu=1)
    assert want.missing({"CPU": -UNIT, "GPU": UNIT}) == Resources.of(cpu=3)
    assert not want.missing(want)
    assert Resources().fits({})


@pytest.mark.parametrize(
    ("kwargs", "named"),
    [
        ({"cpu": -1}, "CPU"),
        ({"gpu": float("nan")}, "GPU"),
        ({"memory": float("inf")}, "memory"),
        ({"gpu": 1.5}, "GPU"),
        ({"cpu": 0.00001}, "CPU"),
        ({"custom": {"disk": -2}}, "disk"),
        ({"custom": {"CPU": 1}}, "CPU"),
        ({"custom": {"GPU": 1}}, "GPU"),
        ({"custom": {"memory": 1}}, "memory"),
        ({"custom": {"": 1}}, "''"),
    ],
)
def test_a_bad_entry_is_named(kwargs: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Resources.of(**kwargs)  # type: ignore[arg-type]


def test_whole_gpus_over_one_are_fine() -> None:
    assert Resources.of(gpu=2)["GPU"] == 2 * UNIT


def test_it_is_a_value() -> None:
    r = Resources.of(cpu=1)
    with pytest.raises(TypeError):
        r["CPU"] = 2
    with pytest.raises(TypeError):
        r.update(CPU=2)
    assert pickle.loads(pickle.dumps(r)) == r
    assert repr(r) == "Resources(CPU=1)"
