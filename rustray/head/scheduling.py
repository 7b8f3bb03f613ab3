"""The scheduler's place at the head: it is told events one by one, and what it decides is carried out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rustray.head.node_links import NodeLinks
from rustray.scheduler import actions, events
from rustray.scheduler.core import Scheduler


class Scheduling:
    """See the module.

    Parameters
    ----------
    now: monotonic seconds.
    first_lease: leases are numbered from it on.

    Attributes
    ----------
    carry_out: what is done for each kind of decision; who knows how, enters it here.
    wake_at: called with the time at which the head should be ticked, when that is sooner than it would be.
    """

    def __init__(self, now: Callable[[], float], nodes: NodeLinks, first_lease: int) -> None:
        self._now = now
        self._nodes = nodes
        self.scheduler = Scheduler(first_lease=first_lease, recovering=True)
        self.status = self.scheduler.status
        self.wake_at: Callable[[float], None] = lambda _time: None
        self.carry_out: dict[type[Any], Callable[[Any], None]] = {
            actions.Revoke: self._revoke,
            actions.Suspend: lambda action: nodes.to_node(action.node, ("suspend", action.lease)),
            actions.Resume: lambda action: nodes.to_node(action.node, ("resume", action.lease)),
            actions.Requeue: lambda action: nodes.to_node(action.node, ("requeue", action.lease)),
            actions.GroupRescheduling: lambda _action: None,  # the facts know it since the node is gone
        }

    def step(self, event: events.Event) -> None:
        """Tell the scheduler, and carry out what it decides."""
        for action in self.scheduler.step(event, self._now()):
            self.carry_out[type(action)](action)
        wake = self.scheduler.next_wake()
        if wake is not None:
            self.wake_at(wake)

    def _revoke(self, action: actions.Revoke) -> None:
        self._nodes.to_client(action.client, ("revoke", action.lease, action.client))
