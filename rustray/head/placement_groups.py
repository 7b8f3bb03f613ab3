"""The head's part in placement groups: facts on one side, room that the scheduler finds on the other.

A group is a fact from its creation to its removal; the scheduler is told of each, and what it finds becomes a fact
again. Groups end with the job or actor that made them: the facts say so ("groups_removed" in a result), and the
scheduler follows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rustray.cluster import commands, facts
from rustray.cluster.state import ClusterState
from rustray.driver import failures
from rustray.errors import OptionError, PlacementGroupNotFoundError, RustRayError, SessionError
from rustray.head.commits import Commits
from rustray.head.scheduling import Scheduling
from rustray.model.labels import parse_selector
from rustray.model.resources import UNIT, Resources
from rustray.scheduler import actions, events

Answered = Callable[[bool, Any], None]


class PlacementGroups:
    """Questions named ``group_...`` of clients, and what the scheduler says of groups.

    Parameters
    ----------
    wall: seconds since the epoch.
    """

    def __init__(
        self, state: ClusterState, wall: Callable[[], float], commits: Commits, scheduling: Scheduling
    ) -> None:
        self._state = state
        self._wall = wall
        self._commits = commits
        self._scheduling = scheduling
        commits.before = self._sweep
        scheduling.carry_out[actions.GroupPlaced] = self._placed

    def take_over(self) -> None:
        """Tell the scheduler of the groups that the facts tell of, before it is told of nodes."""
        for group in list(self._state.groups.values()):
            if group.state == facts.REMOVED:
                self._scheduling.step(events.PlacementGroupRemoved(group.id))
            else:
                self._add(group)

    def _sweep(self, result: dict[str, Any]) -> None:
        """A command has been committed: the groups that went with what it ended are given up."""
        for group in result.get("groups_removed", ()):
            self._scheduling.step(events.PlacementGroupRemoved(group))

    # -- questions of clients

    def ask_group_create(self, answered: Answered, group: bytes, job: int, spec: dict[str, Any]) -> None:
        """Make a group; its room is found afterwards.

        Parameters
        ----------
        spec: "bundles" in ones, "selectors", "strategy", "name", "namespace", "detached", and "actor" that makes it.
        """
        command = commands.create_group(
            group,
            job,
            [_units(bundle) for bundle in spec["bundles"]],
            spec["strategy"],
            self._wall(),
            selectors=spec["selectors"],
            actor=spec["actor"],
            name=spec["name"],
            namespace=spec["namespace"],
            detached=spec["detached"],
        )

        def created(result: dict[str, Any]) -> None:
            if result.get("error") not in (None, "group_exists"):
                answered(False, failures.typed(_refusal(spec, result)))
                return
            self._add(self._state.groups[group])
            answered(True, None)

        self._commits.submit(command, created, waits=False)

    def ask_group_remove(self, answered: Answered, group: bytes) -> None:
        """Remove a group, and kill what runs in it; harmless when it is removed already."""

        def removed(result: dict[str, Any]) -> None:
            self._scheduling.step(events.PlacementGroupRemoved(group))
            answered(True, None)

        self._commits.submit(commands.remove_group(group, "it was removed", self._wall()), removed)

    def ask_group_named(self, answered: Answered, name: str, namespace: str) -> None:
        """(id, bundles) of a group that is not removed; PlacementGroupNotFoundError."""
        group = self._state.group_named(namespace, name)
        if group is not None:
            answered(True, (group.id, [_ones(bundle) for bundle in group.bundles]))
            return
        text = f"No placement group named {name!r} is in namespace {namespace!r}."
        answered(False, failures.typed(PlacementGroupNotFoundError(text)))

    def ask_group_table(self, answered: Answered, group: bytes | None) -> None:
        """Rows of all groups, or of one; the removed of late included."""
        groups = self._state.groups
        found = list(groups.values()) if group is None else [groups[group]] if group in groups else []
        answered(True, [self._row(fact) for fact in found])

    def _row(self, group: facts.PlacementGroup) -> dict[str, Any]:
        waits = group.state in (facts.PENDING, facts.RESCHEDULING)
        return {
            "id": group.id,
            "name": group.name,
            "namespace": group.namespace,
            "job": group.job,
            "strategy": group.strategy,
            "state": group.state,
            "bundles": [_ones(bundle) for bundle in group.bundles],
            "selectors": group.selectors,
            "nodes": group.nodes,
            "detached": group.detached,
            "reason": self._scheduling.status.group_waits_for(group.id) if waits else group.cause,
        }

    # -- the scheduler

    def _add(self, group: facts.PlacementGroup) -> None:
        self._scheduling.step(
            events.PlacementGroupAdded(
                group.id,
                0 if group.detached else group.job,
                tuple(Resources(bundle) for bundle in group.bundles),
                group.strategy,
                tuple(tuple(parse_selector(selector)) for selector in group.selectors),
                tuple(group.nodes) if any(group.nodes) else (),
            )
        )

    def _placed(self, action: actions.GroupPlaced) -> None:
        """There is room for all of its bundles."""
        self._commits.submit(commands.group_placed(action.group, action.nodes))


def _refusal(spec: dict[str, Any], result: dict[str, Any]) -> RustRayError:
    if result["error"] == "name_taken":
        return OptionError(
            f"The name {spec['name']!r} is taken by another placement group in namespace {spec['namespace']!r}. Choose "
            "another, or get that one with get_placement_group()."
        )
    return SessionError(f"The placement group cannot be made: {result['message']}.")


def _units(bundle: dict[str, float]) -> dict[str, int]:
    return {name: round(amount * UNIT) for name, amount in bundle.items()}


def _ones(bundle: dict[str, int]) -> dict[str, float]:
    return {name: units / UNIT for name, units in bundle.items()}
