"""`rustray.explain(ref)`: where a task is, what it waits for, who is ahead of it, and when it will probably start."""

from __future__ import annotations

import time
from collections.abc import Mapping
from html import escape
from typing import Any

from rustray.driver.actor_handle import ActorHandle
from rustray.driver.current import current
from rustray.driver.entry import PENDING
from rustray.driver.generator import ObjectRefGenerator
from rustray.driver.refs import ObjectRef
from rustray.driver.session import Session
from rustray.errors import OptionError, SessionError
from rustray.model.ids import node_of
from rustray.model.lacking import lacking_text
from rustray.model.option_checks import kind_of
from rustray.model.quantities import amounts, byte_size, counted, deviation, duration
from rustray.util.placement_group import PlacementGroup

SHOWN = 5


class Explanation:
    """What is known of one task, call or actor at one moment. Its text and its table in a notebook say it in words.

    Attributes
    ----------
    state: "done", "failed", "cancelled", "ended" (its results are referred to no more), "running", "suspended"
        (stopped for a while, to let more urgent work pass), "sent" (to a worker that runs others first), "waiting for
        arguments", "waiting for a lease", "queued" (it has leases, all busy), "infeasible", "waiting for its actor",
        "pending" (an actor that is not up yet), "alive" or "dead" (an actor), "unknown"; of a placement group
        "pending", "created", "rescheduling" or "removed".
    text: the same in a sentence.
    task: its id, as `ref.task_id()` gives it; "" of an actor.
    function: its name.
    node, pid: where it runs or was sent; "" and 0 if nowhere.
    since_s: seconds for which it has been seen running, at least.
    behind: how many tasks its worker or actor runs before it.
    position, queued: its place in the queue of this process, from 1, and the length of that.
    waits_for: the ids of the objects that it waits for, as `ref.hex()` gives them.
    missing: what the node that comes closest lacks: {resource: amount}.
    holders: who has that: {"class", "job", "pinned" (an actor), "leases"} each, those with most first.
    level: how urgent its class is at present, 0 most; None where that is not known.
    ahead: how many others are served before it.
    predicted_start_s: seconds until it will probably start, None where that is not known.
    predicted_run_s: seconds that it will probably take, None where that is not known.
    facts: all that was told, as plain values.
    """

    def __init__(self, facts: Mapping[str, Any]) -> None:
        """`facts` are what `head.explaining` tells."""
        lease: Mapping[str, Any] = facts.get("lease", {})
        self.facts = dict(facts)
        self.state = _state(facts, lease)
        self.text = _text(self.state, facts, lease)
        if facts.get("without_head"):
            self.text += f" What only a head knows is left out: {facts['without_head']}."
        self.task: str = facts.get("task", "")
        self.function: str = facts.get("function", "") or facts.get("actor_name", "")
        self.node: str = facts.get("node", "")
        self.pid: int = facts.get("pid", 0)
        self.since_s: float = facts.get("since_s", 0.0)
        self.behind: int = facts.get("behind", 0)
        self.position: int = facts.get("position", 0)
        self.queued: int = facts.get("queued", 0)
        self.waits_for: tuple[str, ...] = tuple(facts.get("missing", ()) or facts.get("blocked_by", ()))
        self.missing: dict[str, float] = dict(lease.get("missing", {}))
        self.holders: tuple[Mapping[str, Any], ...] = tuple(lease.get("holders", ()))
        self.level: int | None = lease.get("level")
        self.ahead: int = lease.get("ahead", 0)
        self.predicted_start_s: float | None = facts.get("predicted_start", lease.get("predicted_start"))
        self.predicted_run_s: float | None = facts.get("estimate", {}).get("run_s")

    def details(self) -> list[tuple[str, str]]:
        """What the sentence leaves out: (name, value) for reading."""
        lease: Mapping[str, Any] = self.facts.get("lease", {})
        told = [("task", self.task), ("node", self.node), ("process", str(self.pid or ""))]
        if self.facts.get("resources"):
            told.append(("needs", amounts(self.facts["resources"])))
        if self.level is not None:
            told.append(("level", str(self.level)))
        if self.missing:
            told.append(("missing", amounts(self.missing)))
        if self.holders:
            told.append(("held by", ", ".join(map(_holder, self.holders))))
        if self.ahead:
            first = dict.fromkeys(str(other["class"]) for other in lease.get("first_ahead", ()))
            told.append(("ahead", f"{self.ahead}: {', '.join(first)}"))
        if self.predicted_start_s is not None:
            told.append(("starts in", f"about {duration(self.predicted_start_s)}"))
        elif why := self.facts.get("unknown_start", ""):
            told.append(("starts in", why))
        estimate = self.facts.get("estimate")
        if estimate and estimate["run_s"] is not None:
            spread = f", ± {deviation(estimate['spread_s'])}" if estimate["tasks"] > 1 else ""
            told.append(("takes", f"about {duration(estimate['run_s'])}{spread}"))
        if estimate and estimate["memory"]:
            told.append(("memory", f"about {byte_size(estimate['memory'])}"))
        return [(name, value) for name, value in told if value]

    def plain(self) -> dict[str, Any]:
        """What JSON can have of it, by the names of its attributes."""
        told = {name: value for name, value in vars(self).items() if name != "facts"}
        return told | {"details": dict(self.details())}

    def __repr__(self) -> str:
        return "\n".join([self.text, *(f"  {name:<10}{value}" for name, value in self.details())])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in self.details()
        )
        table = f"<table>{rows}</table>" if rows else ""
        return f"<div><b>{escape(self.state)}</b> · {escape(self.text)}</div>{table}"


def explain(task: ObjectRef | ObjectRefGenerator | ActorHandle | PlacementGroup | str) -> Explanation:
    """Why a task has not ended: where it is, what it waits for, and when it will probably start.

    Parameters
    ----------
    task: a ref (or the generator of a stream) that the task makes, an actor's handle, a placement group, or an id
        in hexadecimal, as `ref.hex()` or `ref.task_id()` gives it, also of a task that another process has submitted.

    Raises
    ------
    SessionError: the process that submitted it has ended, or does not answer within 2 s.
    """
    session = current()
    session.check_open()
    if isinstance(task, str):
        return Explanation(session.requests.query("explain_task", task))
    if isinstance(task, ActorHandle):
        about: dict[str, Any] = {"state": "actor", "actor": task._channel.id}
    elif isinstance(task, PlacementGroup):
        return Explanation(_of_group(session, task))
    elif isinstance(task, ObjectRefGenerator):
        with session.objects.lock:
            about = session.explaining.of_task(task.task)
    elif isinstance(task, ObjectRef):
        if task._table.session is not session:
            raise SessionError.shut_down("explain()")
        entry = task._entry
        if entry.state == PENDING and not entry.owned:
            return Explanation(session.requests.query("explain_task", task.hex()))
        about = session.explaining.of_entry(entry)
    else:
        raise OptionError(
            f"explain() takes an ObjectRef, a task's id, an actor or a placement group, not {kind_of(task)}."
        )
    if session.head.is_lost and "task" in about:
        return Explanation(about | _without_head(session, about))
    return Explanation(session.requests.query("explained", about))


def _without_head(session: Session, about: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in for the words of a head while none answers; nothing of what has ended."""
    if about["state"] in ("done", "failed", "ended"):
        return {}
    told: dict[str, Any] = {"without_head": session.head.text(time.monotonic())}
    if "worker" in about:
        told["node"] = f"number {node_of(about['worker'])}"
    if "actor" in about:
        told |= {"actor_state": "", "actor_name": about["function"].partition(".")[0]}
    return told


def _of_group(session: Session, group: PlacementGroup) -> dict[str, Any]:
    rows = session.requests.query("group_table", group.id)
    told = {"state": "group", "group": group.id.hex(), "group_state": "unknown", "reason": ""}
    return told | ({"group_state": rows[0]["state"], "reason": rows[0]["reason"]} if rows else {})


# -- in words

_GROUP_IS = {
    "pending": "waiting for room",
    "created": "ready",
    "rescheduling": "waiting for room once more, as a node of it is lost",
    "removed": "removed",
}


def _state(facts: Mapping[str, Any], lease: Mapping[str, Any]) -> str:
    state = str(facts["state"])
    if state == "group":
        return str(facts["group_state"]).lower()
    if state == "failed" and facts["error_type"].rpartition(".")[2] == "TaskCancelledError":
        return "cancelled"
    if facts.get("suspended"):
        return "suspended"
    if state == "arguments" or facts.get("blocked_by"):
        return "waiting for arguments"
    if lease.get("state") == "infeasible":
        return "infeasible"
    if state == "queued":
        return "queued" if facts["leases"] else "waiting for a lease"
    if state == "interrupted":
        return "waiting for its actor"
    if state == "actor":
        if facts.get("task"):
            return "queued" if facts.get("connected") else "waiting for its actor"
        return {"ALIVE": "alive", "DEAD": "dead", "unknown": "unknown"}.get(facts["actor_state"], "pending")
    return state


def _text(state: str, facts: Mapping[str, Any], lease: Mapping[str, Any]) -> str:
    what = _what(facts)
    if "group" in facts:
        reason = f": {facts['reason'].rstrip('.')}" if facts["reason"] else ""
        return f"The placement group {facts['group']} is {_GROUP_IS.get(state, 'not known here')}{reason}."
    where = (
        f"on node {facts['node']}, in worker process {facts['pid'] or 'yet to start'}"
        if "worker" in facts
        else ""
    )
    if state in ("done", "ended"):
        value = (
            "its value is " + facts["value"] if state == "done" else "nothing refers to its results any more"
        )
        return f"{what} is done: {value}."
    if state in ("failed", "cancelled"):
        first = str(facts["error"]).partition("\n")[0]
        return (
            f"{what} has failed: {facts['error_type']}: {first}"
            if state == "failed"
            else f"{what} was cancelled."
        )
    if state == "running":
        since = f", for {duration(facts['since_s'])} so far" if facts.get("since_s") else ""
        ending = "; it is being cancelled" if facts.get("cancelled") else ""
        return f"{what} is running {where}{since}{ending}."
    if state == "suspended":
        what_is = "is suspended" if facts["state"] == "running" else "waits behind a suspended task"
        return f"{what} {what_is} {where}: its slot went to more urgent work for a while."
    if state == "sent":
        if not facts["behind"]:
            return f"{what} was sent to a worker {where}, and starts next."
        return f"{what} was sent {where}, which runs {counted(facts['behind'], 'task')} before it."
    if state == "waiting for arguments":
        waits = tuple(facts.get("missing", ())) or tuple(facts.get("blocked_by", ()))
        named = ", ".join(waits[:SHOWN]) + (", …" if len(waits) > SHOWN else "")
        of = "" if facts.get("missing") else ", as calls run in their order, for an argument of one before it"
        return f"{what} waits{of} for {counted(len(waits), 'object')}: {named}."
    if state == "queued":
        if "leases" not in facts:
            return (
                f"{what} is at place {facts['position']} of {facts['queued']} calls here; its actor is busy."
            )
        workers = counted(facts["leases"], "worker")
        return f"{what} is at place {facts['position']} of {facts['queued']} here, for {workers} that run others now."
    if state == "infeasible":
        return f"{what} cannot start: {lacking_text(lease.get('missing', {}), lease.get('reason', ''))}."
    if state == "waiting for a lease":
        place = f"at place {facts['position']} of {facts['queued']} here, "
        return f"{what} waits, {place}for a slot{_slot(lease)}."
    if "actor_state" in facts:
        return _of_actor(what, state, facts, lease)
    return f"{what} is {state}: it is not known, or not yet, to the process that its id names."


def _of_actor(what: str, state: str, facts: Mapping[str, Any], lease: Mapping[str, Any]) -> str:
    actor = _actor(facts)
    is_now = {"ALIVE": "is up", "DEAD": f"is dead: {facts.get('cause', '').rstrip('.')}"}.get(
        facts["actor_state"], ""
    )
    if facts.get("without_head"):
        is_now = "cannot be reached now"
    if not is_now:
        started = "is being restarted" if facts["actor_state"] == "RESTARTING" else "is not up yet"
        if facts.get("complete") is False:
            is_now = f"{started}: it waits for the arguments of its constructor"
        elif lease.get("state") in ("waiting", "promised"):
            is_now = f"{started}: it waits for a slot{_slot(lease)}"
        elif facts["actor_state"] == "unknown":
            is_now = "is not known to the cluster (yet)"
        else:
            is_now = f"{started}: its constructor runs"
    if not facts.get("task"):
        return f"The {actor} {is_now}."
    if facts["state"] == "interrupted":
        return f"{what} ran when its actor died, and it is not known yet whether that restarts."
    return f"{what} is at place {facts['position']} of {facts['queued']} calls here; its {actor} {is_now}."


def _slot(lease: Mapping[str, Any]) -> str:
    told = ""
    if lease.get("missing"):
        told += f", of which {amounts(lease['missing'])} is missing"
    if lease.get("holders"):
        told += f": held by {', '.join(map(_holder, lease['holders']))}"
    if lease.get("reason"):
        told += f"; {lease['reason']}"
    if lease.get("promised"):
        told += "; it has the next that ends" if lease.get("at_end") else "; one is being freed for it"
    return told


def _actor(facts: Mapping[str, Any]) -> str:
    return f"actor {facts.get('actor_name', '')}".rstrip()


def _what(facts: Mapping[str, Any]) -> str:
    if "actor" in facts and not facts.get("task"):
        return f"The {_actor(facts)}"
    name = f"{facts['function']}()" if facts.get("function") else "The object"
    return f"Task {name}" if facts.get("function") and "actor" not in facts else name


def _holder(row: Mapping[str, Any]) -> str:
    kind = "actor" if row["pinned"] else "task"
    return f"{counted(row['leases'], kind)} {row['class']} of job {row['job']}"
