"""The head: applies what nodes report to the cluster's facts and to the scheduler, and passes on the answers.

`on_<event>` handlers submit commands to the log and tell the scheduler; what those decide goes to the nodes as plain
messages on their links. No I/O and no clock here: `now`, `wall` and the log are given. This file puts the parts
together: each knows those that its constructor is given.
"""

from __future__ import annotations

from collections.abc import Callable

from rustray.head.actor_callers import ActorCallers
from rustray.head.actor_recovery import ActorRecovery
from rustray.head.actor_starts import ActorStarts
from rustray.head.actors import Actors
from rustray.head.commits import Commits
from rustray.head.explaining import Explaining
from rustray.head.forecasts import Forecasts
from rustray.head.gathering import Gathering
from rustray.head.history import History
from rustray.head.infeasible import Refusals
from rustray.head.jobs import Jobs
from rustray.head.keyvalue import KeyValue
from rustray.head.leases import Leases
from rustray.head.log import Log
from rustray.head.measurements import Measurements
from rustray.head.membership import Membership
from rustray.head.metrics_queries import MetricsQueries
from rustray.head.node_links import Done, NodeLinks
from rustray.head.placement_groups import PlacementGroups
from rustray.head.queries import Queries
from rustray.head.questions import Questions
from rustray.head.scheduling import Scheduling
from rustray.head.task_classes import TaskClasses
from rustray.scheduler import events
from rustray.wire.frames import Message


class Head:
    """The control plane of one cluster, at the head that leads it.

    Parameters
    ----------
    now: monotonic seconds. wall: seconds since the epoch.
    log: takes commands; its `state` has the facts.
    epoch: the number of this leader; leases are numbered by it.
    may_grow: whether nodes may join, so that what no node can run now waits.
    history: what was measured before, where another head led then.
    """

    def __init__(
        self,
        now: Callable[[], float],
        wall: Callable[[], float],
        log: Log,
        epoch: int = 1,
        may_grow: bool = False,
        history: History | None = None,
    ) -> None:
        self._now = now
        self.epoch = epoch
        state = self.state = log.state
        nodes = self.nodes = NodeLinks()
        commits = self.commits = Commits(log, nodes, f"epoch{epoch}" if may_grow else "", self._handle)
        scheduling = self.scheduling = Scheduling(now, nodes, first_lease=epoch << 32)
        status = self.status = scheduling.status
        classes = TaskClasses()
        past = history or History()
        past.lead(epoch)
        measured = self.measured = Measurements(nodes, scheduling, wall, past)
        forecasts = self.forecasts = Forecasts(wall, nodes, scheduling, classes)
        groups = PlacementGroups(state, wall, commits, scheduling)
        jobs = Jobs(state, wall, commits, nodes, scheduling, classes)
        starts = self._starts = ActorStarts(state, now, commits, nodes, scheduling, jobs)
        callers = self.callers = ActorCallers(state, now, nodes)
        actors = self.actors = Actors(state, now, wall, commits, nodes, jobs, starts, callers)
        recovery = ActorRecovery(state, actors, starts, callers)
        leases = Leases(nodes, scheduling, classes, forecasts, jobs, starts)
        refusals = Refusals(nodes, scheduling, classes, actors, starts, may_grow)
        self.members = Membership(
            state,
            now,
            wall,
            commits,
            nodes,
            scheduling,
            measured,
            jobs,
            leases,
            actors,
            starts,
            recovery,
            refusals,
        )
        explaining = self._explaining = Explaining(state, now, status, nodes, classes, actors, forecasts)
        gathering = self._gathering = Gathering(now, nodes)
        queries = Queries(state, status, nodes, classes, actors, forecasts)
        about = MetricsQueries(state, log, status, nodes, measured)
        self.questions = Questions(nodes, (queries, about), (KeyValue(commits), groups, explaining, gathering))
        self._handlers: dict[str, Callable[..., None]] = {
            "job_start": jobs.on_job_start,
            "job_end": jobs.on_job_end,
            "class": leases.on_class,
            "unused": leases.on_unused,
            "demand": leases.on_demand,
            "returned": leases.on_returned,
            "worker_blocked": leases.on_worker_blocked,
            "worker_unblocked": leases.on_worker_unblocked,
            "suspended": leases.on_suspended,
            "resumed": leases.on_resumed,
            "create_actor": actors.on_create_actor,
            "actor_arguments": actors.on_actor_arguments,
            "actor_ready": actors.on_actor_ready,
            "actor_failed": actors.on_actor_failed,
            "actor_ended": actors.on_actor_ended,
            "actor_exited": actors.on_actor_exited,
            "kill_actor": actors.on_kill_actor,
            "actor_unreferenced": actors.on_actor_unreferenced,
            "connect_actor": callers.on_connect_actor,
            "client_gone": self.members.on_client_gone,
            "draining": self.members.on_draining,
            "sample": measured.on_sample,
            "figures": measured.on_figures,
            "gathered": gathering.on_gathered,
            "unreachable": self.members.on_unreachable,
            "predicted": forecasts.on_predicted,
            "worker_memory": forecasts.on_worker_memory,
            "explained": explaining.on_explained,
            "query": self.questions.on_query,
        }
        jobs.take_over()
        groups.take_over()
        recovery.take_over()
        self.members.take_over()

    def from_node(self, node: str, message: Message, operation: str = "", done: Done | None = None) -> None:
        """A message of a node's agent: see `node.agent`, and `Commits.take` for `operation` and `done`."""
        self.commits.take(self.nodes[node], message, operation, done)

    def _handle(self, node: str, message: Message) -> None:
        op, *fields = message
        self._handlers[op](node, *fields)

    def tick(self) -> None:
        """Time has passed."""
        now = self._now()
        self.commits.retry()
        self.members.tick(now)
        self.actors.tick(now)
        self.callers.tick(now)
        self._starts.tick(now)
        self._explaining.tick(now)
        self._gathering.tick(now)
        self.scheduling.step(events.Tick())
