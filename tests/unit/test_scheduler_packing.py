"""Bundles onto nodes, all or none."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from typing import Any

import pytest

from rustray.model.resources import Resources
from rustray.scheduler.packing import PACK, SPREAD, STRICT_PACK, STRICT_SPREAD, Bundles, plan


def place(
    strategy: str, cpus: list[int], nodes: dict[str, int], taken: dict[str, int] | None = None, **allowed: Any
) -> dict[int, str] | None:
    """`cpus` of each bundle and node; `allowed`: {"b1": nodes} narrows the choice of bundle 1."""
    requests = {index: Resources({"CPU": amount}) for index, amount in enumerate(cpus)}
    bundles = Bundles(requests, lambda index, node: node in allowed.get(f"b{index}", nodes), taken or {})
    plans = plan(strategy, bundles, {name: {"CPU": amount} for name, amount in nodes.items()})
    if plans is not None:
        assert set(plans) == set(requests)
        used: Counter[str] = Counter()
        for index, node in plans.items():
            used[node] += cpus[index]
            assert node in allowed.get(f"b{index}", nodes)
        assert all(amount <= nodes[node] for node, amount in used.items())
    return plans


def test_packing_takes_few_nodes() -> None:
    assert set((place(PACK, [1, 1, 1], {"n1": 2, "n2": 3, "n3": 4}) or {}).values()) <= {"n2", "n3"}
    assert Counter((place(PACK, [1] * 6, {"n1": 2, "n2": 3, "n3": 4}) or {}).values()) == {"n3": 4, "n2": 2}


def test_packing_goes_on_where_the_group_is() -> None:
    assert place(PACK, [1], {"n1": 9, "n2": 2}, taken={"n2": 3}) == {0: "n2"}


def test_all_or_none() -> None:
    for strategy in (PACK, SPREAD, STRICT_PACK, STRICT_SPREAD):
        assert place(strategy, [2, 2, 2], {"n1": 2, "n2": 3}) is None


def test_where_room_is_scarce_it_is_filled_to_the_brim() -> None:
    for strategy in (PACK, SPREAD):
        assert place(strategy, [4, 3, 3], {"n1": 6, "n2": 4}) == {0: "n2", 1: "n1", 2: "n1"}


def test_spreading_is_even() -> None:
    plans = place(SPREAD, [1] * 7, {"n1": 9, "n2": 9, "n3": 2})
    assert sorted(Counter((plans or {}).values()).values()) == [2, 2, 3]
    assert Counter((place(SPREAD, [1] * 4, {"n1": 1, "n2": 9}) or {}).values()) == {"n1": 1, "n2": 3}


def test_spreading_minds_what_the_group_has_already() -> None:
    assert place(SPREAD, [1], {"n1": 9, "n2": 9}, taken={"n1": 1}) == {0: "n2"}


def test_strictly_together() -> None:
    assert place(STRICT_PACK, [1, 2], {"n1": 2, "n2": 3, "n3": 9}) == {0: "n2", 1: "n2"}
    assert place(STRICT_PACK, [1, 2], {"n1": 2, "n2": 2}) is None
    assert place(STRICT_PACK, [1, 1], {"n1": 2, "n2": 2}, b1=["n2"]) == {0: "n2", 1: "n2"}
    assert place(STRICT_PACK, [1, 1], {"n1": 2, "n2": 2}, b0=["n1"], b1=["n2"]) is None


def test_strictly_apart() -> None:
    assert len(set((place(STRICT_SPREAD, [1, 1], {"n1": 9, "n2": 9}) or {}).values())) == 2
    assert place(STRICT_SPREAD, [1, 1], {"n1": 9}) is None
    assert place(STRICT_SPREAD, [1], {"n1": 9, "n2": 9}, taken={"n1": 1}) == {0: "n2"}
    assert place(STRICT_SPREAD, [1], {"n1": 9}, taken={"n1": 1}) is None


def test_strictly_apart_moves_bundles_that_could_be_elsewhere() -> None:
    only = {"b0": ["n1", "n2"], "b1": ["n1", "n3"], "b2": ["n1"]}
    assert place(STRICT_SPREAD, [1, 1, 1], {"n1": 1, "n2": 1, "n3": 1}, **only) == {0: "n2", 1: "n3", 2: "n1"}


@pytest.mark.parametrize("seed", range(60))
def test_strict_strategies_find_a_place_exactly_when_there_is_one(seed: int) -> None:
    chance = random.Random(seed)
    nodes = {f"n{n}": chance.randint(1, 5) for n in range(chance.randint(1, 5))}
    cpus = [chance.randint(1, 4) for _ in range(chance.randint(1, 4))]
    allowed = {
        f"b{index}": chance.sample(sorted(nodes), chance.randint(1, len(nodes))) for index in range(len(cpus))
    }
    apart = any(
        all(cpus[i] <= nodes[node] and node in allowed[f"b{i}"] for i, node in enumerate(choice))
        for choice in itertools.permutations(nodes, len(cpus))
    )
    together = any(
        sum(cpus) <= amount and all(node in names for names in allowed.values())
        for node, amount in nodes.items()
    )
    assert (place(STRICT_SPREAD, cpus, nodes, **allowed) is not None) == apart
    assert (place(STRICT_PACK, cpus, nodes, **allowed) is not None) == together
