"""Classes that no node of the cluster could ever run: who waits for them is told, once that is certain."""

from __future__ import annotations

from rustray.head.actor_starts import NO_CLIENT, ActorStarts
from rustray.head.actors import Actors
from rustray.head.node_links import NodeLinks
from rustray.head.scheduling import Scheduling
from rustray.head.task_classes import TaskClasses
from rustray.model.quantities import amounts
from rustray.scheduler.actions import Infeasible
from rustray.scheduler.constraints import Constraint


class Refusals:
    """Words of the scheduler that a class can never be placed, passed on or kept back.

    Parameters
    ----------
    may_grow: whether nodes may join, so that what no node can run now waits.

    Attributes
    ----------
    complete: whether all nodes of the cluster are here: the one that is missing may be what a class needs.
    """

    def __init__(
        self,
        nodes: NodeLinks,
        scheduling: Scheduling,
        classes: TaskClasses,
        actors: Actors,
        starts: ActorStarts,
        may_grow: bool,
    ) -> None:
        self._nodes = nodes
        self._status = scheduling.status
        self._classes = classes
        self._actors = actors
        self._starts = starts
        self._may_grow = may_grow
        self.complete = False
        self._too_early: dict[tuple[bytes, int], Infeasible] = {}
        """By class and client: said once, and to be judged again when all nodes are here, or when it is known what the
        end of an actor's process meant."""
        scheduling.carry_out[Infeasible] = self._refuse
        starts.on_without_lease = lambda actor: self._judge_again(actor, NO_CLIENT)

    def all_are_here(self) -> None:
        """All nodes have reported: what is infeasible still is so for good."""
        self.complete = True
        for key, client in list(self._too_early):
            self._judge_again(key, client)

    def _judge_again(self, key: bytes, client: int) -> None:
        action = self._too_early.pop((key, client), None)
        if action is not None and self._status.explain(key, client)["state"] == "infeasible":
            self._refuse(action)

    def _refuse(self, action: Infeasible) -> None:
        if self._may_grow and not self._is_bound(action.key):
            return  # a node that has it may join; whoever waits for long is told what for
        is_actor = action.key in self._actors.specs
        if not self.complete or is_actor and self._starts.may_live(action.key):
            self._too_early[action.key, action.client] = action
            return
        text = infeasible_text(action)
        if not self._actors.infeasible(action.key, text):
            self._nodes.to_client(action.client, ("infeasible", action.key, action.client, text))

    def _is_bound(self, key: bytes) -> bool:
        """Whether the class may run on a node or in a group only that will never be there again."""
        spec = self._actors.specs.get(key) or self._classes[key][1]
        constraint = Constraint.of(spec.get("constraint"))
        return bool(constraint.node and not constraint.soft) or bool(constraint.group)


def infeasible_text(action: Infeasible) -> str:
    """Why, and what to do; to follow "... can never be scheduled: "."""
    if not action.missing:
        return f"{action.reason}. Ask for another place, or none in particular."
    where = f" {action.reason}" if action.reason else ""
    return (
        f"no node can ever have what it asks for. Missing{where}: {amounts(action.missing)}; the closest "
        f"{'bundle' if 'placement group' in where else 'node'} has {amounts(action.have) or 'nothing'}. Ask for "
        "less, or add a node that has it."
    )
