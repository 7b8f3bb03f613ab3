"""Operations on actors: they are registered, live, are lost, restart and die."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rustray.cluster import groups
from rustray.cluster.facts import ACTOR_ID_BYTES, ALIVE, DEAD, RESTARTING, TRANSITIONS, Actor
from rustray.cluster.membership import active_job, member_node, retire
from rustray.cluster.operation import Operation, Payload, Refused, Result, forget_oldest

if TYPE_CHECKING:
    from rustray.cluster.state import ClusterState

DEAD_ACTORS_KEPT = 10_000


def _register(state: ClusterState, p: Payload) -> Result:
    identity, namespace, name = p["actor"], p["namespace"], p["name"]
    if len(identity) != ACTOR_ID_BYTES:
        raise Refused("bad_payload", f"an actor's id has {ACTOR_ID_BYTES} bytes, not {len(identity)}")
    if p["max_restarts"] < -1:
        raise Refused("bad_payload", f"max_restarts={p['max_restarts']}: -1 or more")
    if identity in state.actors:
        raise Refused("actor_exists", f"actor {identity.hex()} has been registered already")
    job = active_job(state, p["job"])
    if name and (namespace, name) in state.names:
        text = f"an actor named {name!r} lives in namespace {namespace!r} already"
        raise Refused("name_taken", text, actor=state.names[namespace, name])
    state.actors[identity] = Actor(
        id=identity,
        job=job.id,
        name=name,
        namespace=namespace,
        class_name=p["class_name"],
        detached=p["detached"],
        max_restarts=p["max_restarts"],
        spec=p["spec"],
        complete=p["complete"],
        created=p["time"],
    )
    job.detached += p["detached"]
    if name:
        state.names[namespace, name] = identity
    return {"incarnation": 0}


def _arguments(state: ClusterState, p: Payload) -> Result:
    actor = state.actors.get(p["actor"])
    if actor is None:
        raise Refused("unknown_actor", f"there is no actor {p['actor'].hex()}")
    if actor.state == DEAD:
        raise Refused("illegal_transition", f"actor {actor.id.hex()} is dead: {actor.cause}")
    if not actor.complete:
        actor.complete, actor.arguments = True, p["arguments"]
    return {}


def _alive(state: ClusterState, p: Payload) -> Result:
    actor = _find(state, p["actor"], ALIVE, p["incarnation"])
    member_node(state, p["node"])
    actor.state = ALIVE
    actor.node, actor.worker, actor.pid = p["node"], p["worker"], p["pid"]
    return {}


def _failed(state: ClusterState, p: Payload) -> Result:
    actor = _find(state, p["actor"], DEAD, p["incarnation"])
    lose(state, actor, p["cause"], p["time"], p["restart"])
    return {"state": actor.state, "incarnation": actor.incarnation}


def _kill(state: ClusterState, p: Payload) -> Result:
    actor = _find(state, p["actor"], DEAD, None)
    lose(state, actor, p["cause"], p["time"], not p["no_restart"])
    return {"state": actor.state, "incarnation": actor.incarnation}


def _find(state: ClusterState, identity: bytes, becomes: str, incarnation: int | None) -> Actor:
    """The actor, if it may become that, and if the word is of its present incarnation."""
    actor = state.actors.get(identity)
    if actor is None:
        raise Refused("unknown_actor", f"there is no actor {identity.hex()}")
    if incarnation is not None and incarnation != actor.incarnation:
        text = f"incarnation {incarnation} of actor {identity.hex()} is not its present {actor.incarnation}"
        raise Refused("stale_incarnation", text)
    if becomes not in TRANSITIONS[actor.state]:
        text = f"actor {identity.hex()} is {actor.state} and cannot become {becomes}: {actor.cause}"
        raise Refused("illegal_transition", text)
    return actor


def lose(state: ClusterState, actor: Actor, cause: str, time: float, restart: bool) -> None:
    """The actor's incarnation is gone."""
    if not (restart and actor.may_restart):
        die(state, actor, cause, time)
        return
    actor.state, actor.cause = RESTARTING, cause
    actor.restarts += 1
    actor.incarnation += 1
    actor.node, actor.worker, actor.pid = "", 0, 0


def die(state: ClusterState, actor: Actor, cause: str, time: float) -> None:
    """The actor will not come back; the placement groups that it made go with it."""
    actor.state, actor.cause, actor.died = DEAD, cause, time
    actor.node, actor.worker, actor.pid = "", 0, 0
    actor.spec = actor.arguments = b""
    if actor.name:
        del state.names[actor.namespace, actor.name]
    groups.remove_of(state, actor.job, actor.id, f"the actor that made it is dead: {cause}", time)
    state.dead_actors[actor.id] = None
    for old in forget_oldest(state.dead_actors, DEAD_ACTORS_KEPT):
        del state.actors[old]
    if actor.detached:
        job = state.jobs[actor.job]
        job.detached -= 1
        if job.end is not None and not job.detached:
            groups.remove_of(state, job.id, b"", f"its job {job.id} has ended", time)
            retire(state, job)


OPERATIONS: dict[str, Operation] = {
    "register_actor": (
        _register,
        (
            "actor",
            "job",
            "class_name",
            "spec",
            "time",
            "name",
            "namespace",
            "detached",
            "max_restarts",
            "complete",
        ),
    ),
    "actor_arguments": (_arguments, ("actor", "arguments")),
    "actor_alive": (_alive, ("actor", "incarnation", "node", "worker", "pid")),
    "actor_failed": (_failed, ("actor", "incarnation", "cause", "time", "restart")),
    "kill_actor": (_kill, ("actor", "cause", "time", "no_restart")),
}
