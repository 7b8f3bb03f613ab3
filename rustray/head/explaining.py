"""Why a task waits: its owner says where it is (`driver.explaining`), the head adds what it knows of class or actor.

Who has a task's id only is helped by the head, which asks the owner.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from rustray.cluster import facts
from rustray.cluster.state import ClusterState
from rustray.driver import failures
from rustray.errors import OptionError, SessionError
from rustray.head.actor_starts import NO_CLIENT
from rustray.head.actors import Actors
from rustray.head.forecasts import Forecasts
from rustray.head.node_links import NodeLinks
from rustray.head.task_classes import TaskClasses
from rustray.model import ids
from rustray.model.quantities import counted
from rustray.scheduler.status import Status

Answered = Callable[[bool, Any], None]

OWNER_ANSWERS_S = 2.0
HOLDERS_SHOWN = 5
NAMED = 3
"""Functions named of which it is not known how long they take."""


class Explaining:
    """Explanations of one head.

    Parameters
    ----------
    now: monotonic seconds.
    """

    def __init__(
        self,
        state: ClusterState,
        now: Callable[[], float],
        status: Status,
        nodes: NodeLinks,
        classes: TaskClasses,
        actors: Actors,
        forecasts: Forecasts,
    ) -> None:
        self._state = state
        self._now = now
        self._status = status
        self._nodes = nodes
        self._classes = classes
        self._actors = actors
        self._forecasts = forecasts
        self._asked: dict[int, tuple[float, str, Answered]] = {}
        self._tokens = 0

    # -- questions -------------------------------------------------------------------------------------

    def ask_explained(self, answered: Answered, description: dict[str, Any]) -> None:
        """An owner's description, and what the head knows."""
        answered(True, self.complete(description))

    def ask_explain_task(self, answered: Answered, name: str) -> None:
        """The same of the task with this id, or that makes the object with it; both in hexadecimal."""
        try:
            oid = bytes.fromhex(name)
        except ValueError:
            oid = b""
        if len(oid) == ids.OBJECT_ID_BYTES - 2:
            oid += bytes(2)
        if len(oid) != ids.OBJECT_ID_BYTES:
            raise OptionError(
                f"{name!r} is no id of a task: those have {2 * ids.OBJECT_ID_BYTES - 4} hexadecimal digits, as "
                f"ref.task_id() gives them, and those of objects, as ref.hex(), {2 * ids.OBJECT_ID_BYTES}."
            )
        if oid in self._state.actors:
            answered(True, self.complete({"task": "", "state": "actor", "actor": oid}))
            return
        owner = ids.owner_of(oid)
        self._tokens += 1
        self._asked[self._tokens] = (self._now() + OWNER_ANSWERS_S, name, answered)
        self._nodes.to_client(owner, ("explain", owner, self._tokens, ids.number_of(oid)))

    def on_explained(self, _node: str, token: int, description: dict[str, Any] | None) -> None:
        """The owner has answered; None: its node says that it has ended."""
        _deadline, name, answered = self._asked.pop(token, (0.0, "", None))
        if answered is None:
            return  # too late
        if description is None:
            self._give_up(name, answered, "has ended, and its tasks with it")
        else:
            answered(True, self.complete(description))

    def tick(self, now: float) -> None:
        """Owners that do not answer in time are not waited for."""
        for token, (deadline, name, answered) in list(self._asked.items()):
            if now >= deadline:
                del self._asked[token]
                text = f"has not answered for {OWNER_ANSWERS_S:g} s: it has ended, is stopped, or was never there"
                self._give_up(name, answered, text)

    def _give_up(self, name: str, answered: Answered, text: str) -> None:
        error = SessionError(f"Of {name} nothing can be told: the process that submitted it {text}.")
        answered(False, failures.typed(error))

    # -- what the head knows ---------------------------------------------------------------------------

    def complete(self, description: dict[str, Any]) -> dict[str, Any]:
        """Add to a description: "node" and "hostname" of the "worker", the "estimate" of the function, the "lease"
        (`scheduler.status.explain`, with "holders") of one that waits for it, the facts of the actor, and
        "predicted_start", in seconds from now, or "unknown_start", why that is not known."""
        told = dict(description)
        if "actor" in told:
            told |= self._of_actor(told["actor"])
        elif "class" in told:
            spec = self._classes.spec_of(told["class"])
            estimate = self._forecasts.of(spec)
            if spec is not None:
                told["resources"] = dict(spec["resources"])
            if estimate is not None:
                told["estimate"] = {
                    "run_s": estimate.run_s,
                    "spread_s": estimate.spread_s,
                    "tasks": estimate.tasks,
                    "memory": estimate.memory,
                }
            if told["state"] == "queued":
                told["lease"] = self._of_lease(told["class"], told["client"])
            if (start := _start(told)) is not None:
                told["predicted_start"] = start
            elif why := _unknown_start(told):
                told["unknown_start"] = why
        if "worker" in told:
            told |= self._of_node(ids.node_of(told["worker"]))
        return told

    def _of_node(self, number: int) -> dict[str, Any]:
        link = self._nodes.numbered(number)
        if link is None:
            return {"node": f"number {number}"}
        return {"node": link.name, "hostname": link.info.get("hostname", "")}

    def _of_actor(self, actor: bytes) -> dict[str, Any]:
        record = self._state.actors.get(actor)
        if record is None:
            return {"actor_state": "unknown"}
        told: dict[str, Any] = {
            "actor_state": record.state,
            "actor_name": record.class_name if not record.name else f"{record.class_name} {record.name!r}",
            "restarts": record.restarts,
            "cause": record.cause,
            "complete": record.complete,
        }
        spec = self._actors.specs.get(actor)
        if spec is not None:
            told["resources"] = dict(spec["resources"])
        if record.state in (facts.PENDING, facts.RESTARTING) and record.complete:
            told["lease"] = self._of_lease(actor, NO_CLIENT)
        return told

    def _of_lease(self, key: bytes, client: int) -> dict[str, Any]:
        lease = self._status.explain(key, client)
        if lease.get("missing"):
            lease["holders"] = self._status.holders(key, lease["missing"])[:HOLDERS_SHOWN]
        return lease


def _start(told: dict[str, Any]) -> float | None:
    """Seconds until a task will probably start: those before it in its process or worker run first."""
    run_s: float | None = told.get("estimate", {}).get("run_s")
    if run_s is not None:
        run_s = max(run_s, told.get("ran_s", 0.0))  # those that run take longer than is known
    if told["state"] == "sent":
        return None if run_s is None else int(told["behind"]) * run_s
    if told["state"] != "queued":
        return None
    before: int = told["position"] - 1
    if told["leases"]:
        return (
            None if run_s is None else (before + 0.5) * run_s / told["leases"]
        )  # they are half done, on average
    slot: float | None = told["lease"].get("predicted_start")
    if slot is None or before and run_s is None:
        return None
    return slot + before * (run_s or 0.0)


def _unknown_start(told: dict[str, Any]) -> str:
    """What is in the way of a task and takes nobody knows how long; "" where nothing of that kind is."""
    before: int = told["behind"] if told["state"] == "sent" else told.get("position", 1) - 1
    ahead = Counter(told.get("lease", {}).get("unknown", {}))
    if told["state"] == "queued" and told["leases"]:
        before += int(told["leases"])
    if before and told.get("estimate", {}).get("run_s") is None and told["state"] in ("queued", "sent"):
        ahead[told["function"]] += before
    if not ahead:
        return ""
    named = ", ".join(f"{counted(count, 'task')} of {name}" for name, count in ahead.most_common(NAMED))
    more = ", …" if len(ahead) > NAMED else ""
    return f"not known yet: {named}{more} ahead, and none of these functions has ended one before"
