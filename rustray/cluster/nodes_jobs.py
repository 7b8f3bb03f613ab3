"""Operations on who takes part: the heads that lead, the nodes, and the jobs with their drivers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rustray.cluster import actors, groups
from rustray.cluster.facts import ALIVE, DEAD, RESTARTING, Job, Node
from rustray.cluster.membership import member_node, own_namespace, retire
from rustray.cluster.operation import Operation, Payload, Refused, Result, forget_oldest

if TYPE_CHECKING:
    from rustray.cluster.state import ClusterState

REMOVED_NODES_KEPT = 1_000


def _take_office(state: ClusterState, p: Payload) -> Result:
    state.epoch += 1
    state.leader, state.leads_since = p["head"], p["time"]
    return {"epoch": state.epoch}


def _add_node(state: ClusterState, p: Payload) -> Result:
    name, number = p["node"], p["number"]
    known = state.nodes.get(name)
    if number:
        if known is None or known.number != number or known.removed is not None:
            raise Refused(
                "node_removed", f"node {name!r}, number {number}, does not belong to the cluster (any more)"
            )
        known.address, known.total, known.labels = p["address"], dict(p["total"]), dict(p["labels"])
        return {"number": number}
    if known is not None and known.removed is None:
        raise Refused("node_exists", f"node {name!r} is in the cluster already")
    state.removed_nodes.pop(name, None)
    state.last_node += 1
    state.nodes[name] = Node(
        name, state.last_node, p["address"], dict(p["total"]), dict(p["labels"]), p["time"]
    )
    return {"number": state.last_node}


def _remove_node(state: ClusterState, p: Payload) -> Result:
    node = member_node(state, p["node"])
    node.removed, node.cause = p["time"], p["cause"]
    cause = f"its node {node.name} is gone: {p['cause']}"
    result: Result = {"restarting": [], "dead": []}
    for actor in [a for a in state.actors.values() if a.state == ALIVE and a.node == node.name]:
        actors.lose(state, actor, cause, p["time"], restart=True)
        result["restarting" if actor.state == RESTARTING else "dead"].append(actor.id)
    result["rescheduling"] = groups.lose_node(state, node.name, cause)
    state.removed_nodes[node.name] = None
    for old in forget_oldest(state.removed_nodes, REMOVED_NODES_KEPT):
        del state.nodes[old]
    return result


def _start_job(state: ClusterState, p: Payload) -> Result:
    state.last_job += 1
    number = state.last_job
    namespace = p["namespace"] or own_namespace(number)
    state.jobs[number] = Job(
        number, p["client"], p["name"], namespace, dict(p["options"]), p["place"], p["time"]
    )
    return {"job": number, "namespace": namespace}


def _end_job(state: ClusterState, p: Payload) -> Result:
    job = state.jobs.get(p["job"])
    if job is None:
        raise Refused("unknown_job", f"there is no job {p['job']}")
    if job.end is not None:
        raise Refused("job_ended", f"job {job.id} has ended already")
    job.end, job.cause = p["time"], p["cause"]
    cause = f"its job {job.id} has ended"
    killed = [a for a in state.actors.values() if a.job == job.id and not a.detached and a.state != DEAD]
    for actor in killed:
        actors.die(state, actor, cause, p["time"])
    groups.remove_of(state, job.id, b"", cause, p["time"])
    if not job.detached:
        retire(state, job)
    return {"killed": [actor.id for actor in killed]}


OPERATIONS: dict[str, Operation] = {
    "take_office": (_take_office, ("head", "time")),
    "add_node": (_add_node, ("node", "address", "total", "labels", "time", "number")),
    "remove_node": (_remove_node, ("node", "time", "cause")),
    "start_job": (_start_job, ("client", "name", "namespace", "place", "options", "time")),
    "end_job": (_end_job, ("job", "time", "cause")),
}
