"""Strategies as users write them, and what the scheduler is told."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from rustray.errors import OptionError
from rustray.model.options import ActorOptions, TaskOptions
from rustray.model.strategies import (
    DoesNotExist,
    Exists,
    In,
    NodeAffinitySchedulingStrategy,
    NodeLabelSchedulingStrategy,
    NotIn,
    PlacementGroupSchedulingStrategy,
    constraint_of,
)
from rustray.scheduler.constraints import Constraint


class Group(NamedTuple):
    id: bytes = b"g" * 16
    bundle_count: int = 2


def constraint(strategy: Any = None, **selector: str) -> Constraint:
    return Constraint.of(constraint_of(strategy, selector))


def test_strategies_become_constraints() -> None:
    assert constraint() == constraint("DEFAULT") == Constraint()
    assert constraint("SPREAD") == Constraint(spread=True)
    assert constraint(NodeAffinitySchedulingStrategy("n1", soft=False)) == Constraint(node="n1")
    assert constraint(NodeAffinitySchedulingStrategy("n1", soft=True)) == Constraint(node="n1", soft=True)
    assert constraint(PlacementGroupSchedulingStrategy(Group(), 1)) == Constraint(group=b"g" * 16, bundle=1)
    assert constraint(PlacementGroupSchedulingStrategy(None)) == Constraint()


def test_labels_of_strategy_and_selector_are_both_to_be_met() -> None:
    labels = NodeLabelSchedulingStrategy(
        {"zone": In("a", "b"), "old": DoesNotExist()}, soft={"ssd": Exists()}
    )
    assert constraint(labels, gpu="!H100") == Constraint(
        hard=(("gpu", "not in", ("H100",)), ("zone", "in", ("a", "b")), ("old", "absent", ())),
        preferred=(("ssd", "exists", ()),),
    )
    assert constraint(NodeLabelSchedulingStrategy(soft={"zone": NotIn("a")})) == Constraint(
        preferred=(("zone", "not in", ("a",)),)
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: PlacementGroupSchedulingStrategy(Group(), 2),
        lambda: PlacementGroupSchedulingStrategy(Group(), -2),
        lambda: PlacementGroupSchedulingStrategy(None, 0),
        lambda: PlacementGroupSchedulingStrategy("g"),  # type: ignore[arg-type]
        lambda: NodeAffinitySchedulingStrategy("", soft=False),
        lambda: NodeLabelSchedulingStrategy({}),
        lambda: NodeLabelSchedulingStrategy({"zone": "a"}),  # type: ignore[dict-item]
        lambda: NodeLabelSchedulingStrategy({"-zone": In("a")}),
        lambda: In(),
        lambda: NotIn(1),  # type: ignore[arg-type]
    ],
)
def test_strategies_that_make_no_sense(make: Any) -> None:
    with pytest.raises(ValueError):
        make()


def test_a_selector_does_not_go_with_a_placement_group() -> None:
    strategy = PlacementGroupSchedulingStrategy(Group())
    for options in (TaskOptions, ActorOptions):
        with pytest.raises(OptionError, match="bundle_label_selector"):
            options.build({"scheduling_strategy": strategy, "label_selector": {"zone": "a"}})  # type: ignore[attr-defined]
