"""Operations on placement groups: they are made, placed, lose nodes, and are removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rustray.cluster.facts import (
    CREATED,
    GROUP_ID_BYTES,
    REMOVED,
    RESCHEDULING,
    STRATEGIES,
    PlacementGroup,
)
from rustray.cluster.membership import active_job, member_node
from rustray.cluster.operation import Operation, Payload, Refused, Result, forget_oldest

if TYPE_CHECKING:
    from rustray.cluster.state import ClusterState

REMOVED_GROUPS_KEPT = 1_000


def _create(state: ClusterState, p: Payload) -> Result:
    identity, namespace, name = p["group"], p["namespace"], p["name"]
    bundles, selectors = p["bundles"], p["selectors"] or [{} for _ in p["bundles"]]
    if len(identity) != GROUP_ID_BYTES:
        raise Refused(
            "bad_payload", f"a placement group's id has {GROUP_ID_BYTES} bytes, not {len(identity)}"
        )
    if not bundles or len(selectors) != len(bundles):
        raise Refused("bad_payload", f"{len(bundles)} bundles and {len(selectors)} label selectors of theirs")
    if not all(isinstance(one, dict) for one in (*bundles, *selectors)):
        raise Refused("bad_payload", "bundles and label selectors are dicts")
    if p["strategy"] not in STRATEGIES:
        raise Refused("bad_payload", f"strategy {p['strategy']!r}: one of {', '.join(STRATEGIES)}")
    if identity in state.groups:
        raise Refused("group_exists", f"placement group {identity.hex()} has been made already")
    job = active_job(state, p["job"])
    if name and (namespace, name) in state.group_names:
        text = f"there is a placement group named {name!r} in namespace {namespace!r} already"
        raise Refused("name_taken", text, group=state.group_names[namespace, name])
    state.groups[identity] = PlacementGroup(
        id=identity,
        job=job.id,
        actor=p["actor"],
        name=name,
        namespace=namespace,
        strategy=p["strategy"],
        bundles=[dict(bundle) for bundle in bundles],
        selectors=[dict(selector) for selector in selectors],
        detached=p["detached"],
        created=p["time"],
        nodes=[""] * len(bundles),
    )
    if name:
        state.group_names[namespace, name] = identity
    return {}


def _placed(state: ClusterState, p: Payload) -> Result:
    group = _find(state, p["group"])
    if len(p["nodes"]) != len(group.bundles) or not all(isinstance(node, str) for node in p["nodes"]):
        raise Refused("bad_payload", f"{p['nodes']} are no nodes for {len(group.bundles)} bundles")
    if group.state == REMOVED:
        raise Refused(
            "illegal_transition", f"placement group {group.id.hex()} is {group.state}: {group.cause}"
        )
    for node in p["nodes"]:
        member_node(state, node)
    group.state, group.cause, group.nodes = CREATED, "", list(p["nodes"])
    return {}


def _remove(state: ClusterState, p: Payload) -> Result:
    group = _find(state, p["group"])
    if group.state == REMOVED:
        return {"removed": False}
    _end(state, group, p["cause"], p["time"])
    return {"removed": True}


def _find(state: ClusterState, identity: bytes) -> PlacementGroup:
    group = state.groups.get(identity)
    if group is None:
        raise Refused("unknown_group", f"there is no placement group {identity.hex()}")
    return group


def _end(state: ClusterState, group: PlacementGroup, cause: str, time: float) -> None:
    group.state, group.cause, group.removed = REMOVED, cause, time
    group.nodes = [""] * len(group.bundles)
    if group.name:
        del state.group_names[group.namespace, group.name]
    state.removed_groups[group.id] = None
    for old in forget_oldest(state.removed_groups, REMOVED_GROUPS_KEPT):
        del state.groups[old]


def remove_of(state: ClusterState, job: int, actor: bytes, cause: str, time: float) -> None:
    """Remove what is not detached of the groups that the actor made, or with b"" the job outside its actors."""
    for group in list(state.groups.values()):
        if group.job == job and group.actor == actor and not group.detached and group.state != REMOVED:
            _end(state, group, cause, time)
            state.swept.append(group.id)


def lose_node(state: ClusterState, node: str, cause: str) -> list[bytes]:
    """A node is gone: the groups with bundles on it, which are to be placed anew."""
    lost = [group for group in state.groups.values() if node in group.nodes]
    for group in lost:
        group.state, group.cause = RESCHEDULING, cause
        group.nodes = ["" if at == node else at for at in group.nodes]
    return [group.id for group in lost]


OPERATIONS: dict[str, Operation] = {
    "create_group": (
        _create,
        (
            "group",
            "job",
            "actor",
            "bundles",
            "selectors",
            "strategy",
            "name",
            "namespace",
            "detached",
            "time",
        ),
    ),
    "group_placed": (_placed, ("group", "nodes")),
    "remove_group": (_remove, ("group", "cause", "time")),
}
