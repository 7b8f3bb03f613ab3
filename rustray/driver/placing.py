"""Where a session's tasks and actors are to run: their options, and the placement group around the caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rustray.model.options import ActorOptions, TaskOptions
from rustray.model.strategies import PlacementGroupSchedulingStrategy, constraint_of

if TYPE_CHECKING:
    from rustray.driver.session import Session


def placing(session: Session, options: TaskOptions | ActorOptions) -> dict[str, Any]:
    """The entries of a class's or actor's spec that say where it runs and how urgent it is; the usual is left out.

    "constraint": see `scheduler.constraints`. "group": the placement group that it will have around it. "priority",
    "preemptible", "retriable": see `scheduler.events.ClassAdded`.
    """
    strategy = options.scheduling_strategy
    spec: dict[str, Any] = {}
    constraint = constraint_of(strategy, options.label_selector)
    if isinstance(strategy, PlacementGroupSchedulingStrategy):
        if strategy.placement_group is not None:
            spec["group"] = strategy.placement_group.id, strategy.placement_group_capture_child_tasks
    elif strategy is None and not options.label_selector:
        if session.around is not None and session.around[1]:
            constraint = {"group": session.around[0]}
            spec["group"] = session.around
    if constraint:
        spec["constraint"] = constraint
    if options.priority:
        spec["priority"] = options.priority
    if isinstance(options, TaskOptions):
        if not options.preemptible:
            spec["preemptible"] = False
        if options.max_retries:
            spec["retriable"] = True
    return spec
