"""Who belongs to the cluster: what operations ask before they change anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rustray.cluster.facts import Job, Node
from rustray.cluster.operation import Refused, forget_oldest

if TYPE_CHECKING:
    from rustray.cluster.state import ClusterState

ENDED_JOBS_KEPT = 1_000


def member_node(state: ClusterState, name: str) -> Node:
    """The node, if it belongs to the cluster."""
    node = state.nodes.get(name)
    if node is None:
        raise Refused("unknown_node", f"there is no node {name!r}")
    if node.removed is not None:
        raise Refused("node_removed", f"node {name!r} has left the cluster: {node.cause}")
    return node


def active_job(state: ClusterState, number: int) -> Job:
    """The job, if its driver runs or a detached actor goes on with it."""
    job = state.jobs.get(number)
    if job is None:
        raise Refused("unknown_job", f"there is no job {number}")
    if job.end is not None and not job.detached:
        raise Refused("job_ended", f"job {number} has ended")
    return job


def own_namespace(job: int) -> str:
    """The namespace of a job that was given none."""
    return f"job-{job}"


def retire(state: ClusterState, job: Job) -> None:
    """The job is over: forget what only an active one needs, and the oldest of those that are over."""
    job.place = b""
    state.kv.pop(own_namespace(job.id), None)  # nobody else knows that name
    state.ended_jobs[job.id] = None
    for old in forget_oldest(state.ended_jobs, ENDED_JOBS_KEPT):
        del state.jobs[old]
