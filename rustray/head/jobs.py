"""Jobs at the head: they begin and end with their drivers, and nodes learn of them when they need to."""

from __future__ import annotations

import marshal
from collections.abc import Callable
from typing import Any

from rustray.cluster import commands, facts
from rustray.cluster.state import ClusterState
from rustray.head.commits import Commits
from rustray.head.node_links import NodeLink, NodeLinks
from rustray.head.scheduling import Scheduling
from rustray.head.task_classes import TaskClasses
from rustray.scheduler import events

JOB_KEYS = ("env", "cwd", "sys_path", "runtime_env")
"""What workers of a job need to know of its driver: kept in the facts while the job is active."""


class Jobs:
    """Jobs of one cluster.

    Parameters
    ----------
    wall: seconds since the epoch.

    Attributes
    ----------
    on_actor_killed: called with each actor that has died with its job.
    """

    def __init__(
        self,
        state: ClusterState,
        wall: Callable[[], float],
        commits: Commits,
        nodes: NodeLinks,
        scheduling: Scheduling,
        classes: TaskClasses,
    ) -> None:
        self._state = state
        self._wall = wall
        self._commits = commits
        self._nodes = nodes
        self._scheduling = scheduling
        self._classes = classes
        self._ended: set[int] = set()
        """Those that the scheduler still knows, for a detached actor goes on with them."""
        self.on_actor_killed: Callable[[bytes], None] = lambda _actor: None

    def take_over(self) -> None:
        """Tell the scheduler of the jobs that the facts tell of."""
        for job in self._state.jobs.values():
            if job.end is not None:
                self._ended.add(job.id)
            if job.place:
                self._add(job.id, job.options)

    def _add(self, job: int, options: dict[str, Any]) -> None:
        self._scheduling.step(events.JobAdded(job, **options))

    # -- beginning -------------------------------------------------------------------------------------

    def on_job_start(self, node: str, client: int, info: dict[str, Any]) -> None:
        """A driver has come."""
        options = info.get("options") or {}
        place = marshal.dumps({key: info.get(key) for key in JOB_KEYS})
        name, namespace = info.get("name", ""), info.get("namespace") or ""
        command = commands.start_job(client, name, namespace, place, self._wall(), options)
        if not self._commits.of_named_message:
            command = command.once(f"job of client {client}")
        self._nodes[node].clients.add(client)

        def started(result: dict[str, Any]) -> None:
            job = result["job"]
            link = self._nodes.get(node)
            if link is None:
                return  # the node is lost, and its jobs are ended
            self._add(job, options)
            link.jobs.add(job)
            link.send(("job_started", client, job, {"namespace": self._state.jobs[job].namespace}))

        self._commits.submit(command, started)

    def acquaint(self, link: NodeLink, job: int) -> bool:
        """See to it that the node knows the job before it is sent something of it; False if the job is over."""
        fact = self._state.jobs[job]
        if not fact.place:
            return False
        if job not in link.jobs:
            link.jobs.add(job)
            place = {**marshal.loads(fact.place), "session": {"namespace": fact.namespace}}
            link.send(("job", job, fact.client, place, fact.end is not None))
        return True

    # -- ending ----------------------------------------------------------------------------------------

    def on_job_end(self, _node: str, job: int) -> None:
        """Its driver has ended."""
        self.end(job)

    def end(self, job: int, cause: str = "its driver has ended") -> None:
        """End a job, with its actors that are not detached."""

        def ended(result: dict[str, Any]) -> None:
            for actor in result.get("killed", ()):
                self.on_actor_killed(actor)
            self._ended.add(job)
            for link in self._nodes:
                if job in link.jobs:
                    link.jobs.discard(job)
                    link.send(("job_ended", job))
            self.forget(job)

        self._commits.submit(commands.end_job(job, self._wall(), cause), ended)

    def forget(self, job: int) -> None:
        """A detached actor of the job may still submit tasks of the job's classes; else nobody does."""
        if job in self._ended and not self._has_actors(job):
            self._ended.discard(job)
            self._scheduling.step(events.JobEnded(job))
            gone = self._classes.forget_job(job)
            for link in self._nodes:
                link.classes.difference_update(gone)

    def _has_actors(self, job: int) -> bool:
        return any(at.job == job and at.state != facts.DEAD for at in self._state.actors.values())
