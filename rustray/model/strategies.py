"""Where tasks and actors are to run, as users say it: the values of ``scheduling_strategy=`` and ``label_selector=``.

Names and meaning are Ray Core's. `constraint_of` makes of them what the scheduler goes by, as plain values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from rustray.model import labels

DEFAULT, SPREAD = "DEFAULT", "SPREAD"


class Group(Protocol):
    """What is needed of a placement group here."""

    id: bytes

    @property
    def bundle_count(self) -> int: ...


class PlacementGroupSchedulingStrategy:
    """Run in the bundles of a placement group.

    Parameters
    ----------
    placement_group: what `rustray.util.placement_group` gave; None for no group, not even that of the caller.
    placement_group_bundle_index: the bundle, -1 for any.
    placement_group_capture_child_tasks: whether what runs there submits its own tasks and actors to the group too,
        unless they say otherwise.
    """

    def __init__(
        self,
        placement_group: Group | None,
        placement_group_bundle_index: int = -1,
        placement_group_capture_child_tasks: bool | None = None,
    ) -> None:
        index = placement_group_bundle_index
        if placement_group is None:
            if index != -1:
                raise ValueError(
                    f"placement_group_bundle_index={index}: without a placement group it must be -1."
                )
        elif not isinstance(getattr(placement_group, "id", None), bytes):
            raise ValueError(f"placement_group={placement_group!r} is not a placement group, or None.")
        elif not isinstance(index, int) or not -1 <= index < placement_group.bundle_count:
            last = placement_group.bundle_count - 1
            raise ValueError(
                f"placement_group_bundle_index={index!r}: it must be from 0 to {last}, or -1 for any."
            )
        self.placement_group = placement_group
        self.placement_group_bundle_index = index
        self.placement_group_capture_child_tasks = bool(placement_group_capture_child_tasks)

    def __repr__(self) -> str:
        group = self.placement_group.id.hex() if self.placement_group is not None else None
        return f"PlacementGroupSchedulingStrategy({group}, {self.placement_group_bundle_index})"


class NodeAffinitySchedulingStrategy:
    """Run on one node.

    Parameters
    ----------
    node_id: as `rustray.nodes()` and `get_runtime_context().get_node_id()` tell it.
    soft: whether another will do if that node is not there or could never run it. A node that is only busy is
        waited for.
    """

    def __init__(self, node_id: str, soft: bool = False) -> None:
        if not isinstance(node_id, str) or not node_id:
            raise ValueError(
                f"node_id={node_id!r}: it must be the id of a node, as rustray.nodes() tells it."
            )
        self.node_id = node_id
        self.soft = bool(soft)

    def __repr__(self) -> str:
        return f"NodeAffinitySchedulingStrategy({self.node_id!r}, soft={self.soft})"


class _Values:
    def __init__(self, *values: str) -> None:
        if not values or not all(isinstance(value, str) for value in values):
            name = type(self).__name__
            raise ValueError(f"{name}{values!r}: give one or more strings, as {name}('a', 'b').")
        self.values = list(values)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.values))})"


class In(_Values):
    """The label has one of the values."""


class NotIn(_Values):
    """The label is not there, or has none of the values."""


class Exists:
    """The label is there, whatever its value."""

    def __repr__(self) -> str:
        return "Exists()"


class DoesNotExist:
    """The label is not there."""

    def __repr__(self) -> str:
        return "DoesNotExist()"


Expressions = Mapping[str, In | NotIn | Exists | DoesNotExist]

_OPERATORS = {In: labels.IN, NotIn: labels.NOT_IN, Exists: labels.EXISTS, DoesNotExist: labels.ABSENT}


class NodeLabelSchedulingStrategy:
    """Run on nodes with certain labels, as ``NodeLabelSchedulingStrategy({"zone": In("a", "b")})``.

    Parameters
    ----------
    hard: what the labels must meet. soft: what they should meet: nodes that do are taken first.
    """

    def __init__(self, hard: Expressions | None = None, *, soft: Expressions | None = None) -> None:
        if not hard and not soft:
            raise ValueError(
                "NodeLabelSchedulingStrategy: give hard= or soft= expressions, {'zone': In('a')}."
            )
        self.hard = dict(hard or {})
        self.soft = dict(soft or {})
        for key, expression in (*self.hard.items(), *self.soft.items()):
            labels.check_key(key)
            if type(expression) not in _OPERATORS:
                raise ValueError(
                    f"{key!r}: {expression!r} must be In(...), NotIn(...), Exists() or DoesNotExist()."
                )

    def __repr__(self) -> str:
        return f"NodeLabelSchedulingStrategy({self.hard!r}, soft={self.soft!r})"


Strategy = (
    str
    | PlacementGroupSchedulingStrategy
    | NodeAffinitySchedulingStrategy
    | NodeLabelSchedulingStrategy
    | None
)
STRATEGIES = (PlacementGroupSchedulingStrategy, NodeAffinitySchedulingStrategy, NodeLabelSchedulingStrategy)


def constraint_of(strategy: Strategy, selector: Mapping[str, str]) -> dict[str, Any]:
    """The plain values of `scheduler.constraints.Constraint` that differ from their defaults."""
    constraint: dict[str, Any] = {}
    hard = labels.parse_selector(selector)
    if strategy == SPREAD:
        constraint["spread"] = True
    elif isinstance(strategy, NodeAffinitySchedulingStrategy):
        constraint.update({"node": strategy.node_id, **({"soft": True} if strategy.soft else {})})
    elif isinstance(strategy, NodeLabelSchedulingStrategy):
        hard += _matches(strategy.hard)
        if strategy.soft:
            constraint["preferred"] = _matches(strategy.soft)
    elif isinstance(strategy, PlacementGroupSchedulingStrategy) and strategy.placement_group is not None:
        constraint["group"] = strategy.placement_group.id
        constraint["bundle"] = strategy.placement_group_bundle_index
    if hard:
        constraint["hard"] = hard
    return constraint


def _matches(expressions: Expressions) -> list[labels.Match]:
    return [(key, _OPERATORS[type(e)], tuple(getattr(e, "values", ()))) for key, e in expressions.items()]
