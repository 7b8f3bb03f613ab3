"""The head: applies what nodes report to the cluster's facts and to the scheduler, and passes on the answers.

`on_<event>` handlers change the pure `ClusterState` and `Scheduler`; what those decide goes to the nodes as plain
messages on their links. No I/O and no clock here: `now` and `wall` are given.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterable
from typing import Any

from rustray.cluster import commands, facts
from rustray.cluster.state import ClusterState
from rustray.driver import failures
from rustray.errors import (
    ActorAlreadyExistsError,
    InfeasibleError,
    OptionError,
    RustRayError,
    SessionError,
)
from rustray.head.queries import Queries
from rustray.model import ids
from rustray.model.resources import Resources
from rustray.scheduler import events
from rustray.scheduler.actions import Grant, Infeasible, Revoke
from rustray.scheduler.core import Scheduler

Send = Callable[[tuple[Any, ...]], None]

ERRORS_KEPT = 1_000
"""Errors of dead actors; of older ones only the cause is told."""
NO_CLIENT = 0
"""Stands for the head itself where it holds a lease: that of an actor."""


class Head:
    """The control plane of one cluster.

    Parameters
    ----------
    now: monotonic seconds. wall: seconds since the epoch.
    """

    def __init__(self, now: Callable[[], float], wall: Callable[[], float]) -> None:
        self._now = now
        self._wall = wall
        self.state = ClusterState()
        self.scheduler = Scheduler()
        self.status = self.scheduler.status
        self._queries = Queries(self)
        self._links: dict[str, Send] = {}
        self.node_info: dict[str, dict[str, Any]] = {}
        self._clients: dict[int, str] = {}
        self.specs: dict[bytes, dict[str, Any]] = {}
        self._waiting: dict[bytes, set[int]] = {}
        self._callers: dict[bytes, set[int]] = {}
        self._owned: dict[int, set[bytes]] = {}
        self._errors: dict[bytes, tuple[str, bytes]] = {}
        self._ended_jobs: set[int] = set()
        self.metrics: Callable[[float], list[dict[str, Any]]] = lambda _since: []

    # -- nodes -----------------------------------------------------------------------------------------

    def on_node_up(
        self, node: str, resources: dict[str, float], labels: dict[str, str], info: dict[str, Any], link: Send
    ) -> None:
        """A node joins with what it offers."""
        total = resources_of(resources)
        self._apply(commands.add_node(node, info.get("address", ""), total, labels, self._wall()))
        self._links[node] = link
        self.node_info[node] = info
        self._step(events.NodeAdded(node, total, labels))

    def from_node(self, node: str, message: tuple[Any, ...]) -> None:
        """A message of a node's agent: see `node.agent`."""
        op, *fields = message
        getattr(self, f"_on_{op}")(node, *fields)

    def tick(self) -> None:
        """Time has passed."""
        self._step(events.Tick())

    def _apply(self, command: commands.Command) -> dict[str, Any]:
        return self.state.apply(command.op, command.payload)

    def _step(self, event: events.Event) -> None:
        for action in self.scheduler.step(event, self._now()):
            if isinstance(action, Grant):
                if action.key in self.specs and action.client == NO_CLIENT:
                    self._start_actor(action)
                else:
                    self._links[action.node](("grant", action.lease, action.key, action.client))
            elif isinstance(action, Revoke):
                self._links[action.node](("revoke", action.lease, action.client))
            elif isinstance(action, Infeasible):
                self._infeasible(action)

    def _to(self, client: int, message: tuple[Any, ...]) -> None:
        node = self._clients.get(client)
        if node is not None:
            self._links[node](message)

    # -- jobs and classes ------------------------------------------------------------------------------

    def _on_job_start(self, node: str, client: int, info: dict[str, Any]) -> None:
        self._clients[client] = node
        started = self._apply(
            commands.start_job(
                client,
                info.get("name", ""),
                info.get("namespace") or "",
                b"",  # no other node needs the place
                self._wall(),
                info.get("options"),
            )
        )
        self._links[node](("job_started", client, started["job"], {"namespace": started["namespace"]}))

    def _on_job_end(self, _node: str, job: int) -> None:
        ended = self._apply(commands.end_job(job, self._wall(), "its driver has ended"))
        for actor in ended.get("killed", ()):
            self._tell_dead(actor)
        self._ended_jobs.add(job)
        self._forget_job(job)

    def _forget_job(self, job: int) -> None:
        """A detached actor of the job may still submit tasks of the job's classes."""
        lives = any(at.job == job and at.state != facts.DEAD for at in self.state.actors.values())
        if job in self._ended_jobs and not lives:
            self._ended_jobs.discard(job)
            self._step(events.JobEnded(job))

    def _on_class(self, _node: str, key: bytes, job: int, spec: dict[str, Any]) -> None:
        self._step(events.ClassAdded(key, job, spec["name"], resources_of(spec["resources"])))

    def _on_demand(self, node: str, key: bytes, client: int, count: int) -> None:
        self._clients[client] = node
        self._step(events.Demand(key, client, count))

    def _on_returned(self, _node: str, lease: int) -> None:
        self._step(events.LeaseReturned(lease))

    def _on_worker_blocked(self, _node: str, lease: int) -> None:
        self._step(events.LeaseBlocked(lease))

    def _on_worker_unblocked(self, _node: str, lease: int) -> None:
        self._step(events.LeaseUnblocked(lease))

    def _on_client_gone(self, _node: str, client: int) -> None:
        self._step(events.ClientGone(client))
        self._clients.pop(client, None)
        for actor in self._owned.pop(client, ()):
            if not self.specs[actor]["detached"]:
                self._fail_actor(actor, "the process that created it has ended", restart=False)
        for callers in (*self._waiting.values(), *self._callers.values()):
            callers.discard(client)

    def _infeasible(self, action: Infeasible) -> None:
        text = (
            f"no node can ever have what it asks for. Missing: {_told(action.missing)}; the closest node has "
            f"{_told(action.have) or 'nothing'}. "
            "Ask for less, or add a node that has it."
        )
        if action.client == NO_CLIENT:
            error = InfeasibleError(f"Actor {self.specs[action.key]['name']} can never be placed: {text}")
            self._keep_error(action.key, "error", failures.typed(error))
            self._fail_actor(action.key, f"it cannot be placed: {text}", restart=False)
        else:
            self._to(action.client, ("infeasible", action.key, action.client, text))

    # -- actors ----------------------------------------------------------------------------------------

    def _on_create_actor(
        self, node: str, client: int, request: int, actor: bytes, job: int, spec: dict[str, Any]
    ) -> None:
        self._clients[client] = node
        total = resources_of(spec["resources"])  # first: what cannot be counted must leave nothing behind
        result = self._apply(
            commands.register_actor(
                actor,
                job,
                spec["name"],
                marshal.dumps(spec),
                self._wall(),
                name=spec["registered"],
                namespace=spec["namespace"],
                detached=spec["detached"],
                max_restarts=spec["max_restarts"],
            )
        )
        if "error" in result:
            self._refuse_actor(client, request, actor, spec, result)
            return
        self.specs[actor] = spec
        self._waiting[actor] = set()
        self._callers[actor] = set()
        self._owned.setdefault(client, set()).add(actor)
        if request:
            self._to(client, ("answer", client, request, True, (actor, spec["handle"])))
        self._step(events.ClassAdded(actor, 0 if spec["detached"] else job, spec["name"], total, pinned=True))
        if spec["complete"]:
            self._step(events.Demand(actor, NO_CLIENT, 1))

    def _on_actor_arguments(self, _node: str, actor: bytes, args: Any, deps: Any) -> None:
        """The arguments of its constructor are known."""
        spec = self.specs.get(actor)
        if spec is not None:
            spec.update(args=args, deps=deps)
            self._step(events.Demand(actor, NO_CLIENT, 1))

    def _refuse_actor(
        self, client: int, request: int, actor: bytes, spec: dict[str, Any], result: dict[str, Any]
    ) -> None:
        self._to(client, ("actor_over", actor))
        if result["error"] == "name_taken" and spec["get_if_exists"]:
            other = result["actor"]
            self._to(client, ("answer", client, request, True, (other, self.specs[other]["handle"])))
            return
        error: RustRayError
        if result["error"] == "name_taken":
            error = ActorAlreadyExistsError(
                f"The name {spec['registered']!r} is taken in namespace {spec['namespace']!r}. Choose another, kill "
                "the actor that has it, or give get_if_exists=True to use that one."
            )
        else:
            error = SessionError(f"Actor {spec['name']} cannot be created: {result['message']}.")
        if request:
            self._to(client, ("answer", client, request, False, failures.typed(error)))
        else:
            self._keep_error(actor, "error", failures.typed(error))

    def _keep_error(self, actor: bytes, kind: str, packed: bytes) -> None:
        self._errors[actor] = kind, packed
        while len(self._errors) > ERRORS_KEPT:
            del self._errors[next(iter(self._errors))]

    def _start_actor(self, grant: Grant) -> None:
        actor = grant.key
        record = self.state.actors[actor]
        spec = {**self.specs[actor], "incarnation": record.incarnation}
        self._links[grant.node](("start_actor", grant.lease, actor, record.job, spec))

    def _on_actor_ready(self, node: str, actor: bytes, worker: int) -> None:
        record = self.state.actors.get(actor)
        if record is None:
            return
        result = self._apply(commands.actor_alive(actor, record.incarnation, node, worker, 0))
        if "error" in result:
            return  # it has died meanwhile, and is being stopped
        waiting, self._waiting[actor] = self._waiting[actor], set()
        for client in waiting:
            self._connect(client, record)

    def _connect(self, client: int, record: facts.Actor) -> None:
        self._callers[record.id].add(client)
        self._links[record.node](("actor_place", client, record.id))

    def _on_connect_actor(self, node: str, client: int, actor: bytes, lost: int) -> None:
        """`lost` is the worker that the client's channel led to before: it is dead, told or not."""
        self._clients[client] = node
        record = self.state.actors.get(actor)
        if record is None or record.state == facts.DEAD:
            self._say_dead(client, actor)
        elif record.state == facts.ALIVE and record.worker != lost:
            self._connect(client, record)
        else:
            self._waiting[actor].add(client)
            if record.state == facts.RESTARTING:
                self._to(client, ("actor_restarting", client, actor, record.cause))

    def _on_actor_failed(self, _node: str, actor: bytes, packed: bytes) -> None:
        """Its constructor raised, or an argument of it failed: another try would fail again."""
        self._keep_error(actor, "constructor", packed)
        self._fail_actor(actor, "its constructor failed", restart=False)

    def _on_actor_ended(self, _node: str, actor: bytes, text: str) -> None:
        """It ends itself, when it has finished what it does."""
        self._fail_actor(actor, text, restart=False, stop=False)

    def _on_actor_exited(self, _node: str, actor: bytes, _worker: int, kind: str, text: str) -> None:
        cause = text if kind == "killed" else f"its worker {text}"
        self._fail_actor(actor, cause, restart=kind != "job")

    def _fail_actor(self, actor: bytes, cause: str, restart: bool, stop: bool = True) -> None:
        record = self.state.actors.get(actor)
        if record is None or record.state == facts.DEAD:
            return
        result = self._apply(commands.actor_failed(actor, record.incarnation, cause, self._wall(), restart))
        self._after_failure(actor, result, stop)

    def _after_failure(self, actor: bytes, result: dict[str, Any], stop: bool = True) -> None:
        callers, self._callers[actor] = self._callers.get(actor, set()), set()
        if result.get("state") == facts.RESTARTING:
            record = self.state.actors[actor]
            self._waiting[actor] |= callers
            for client in callers:
                self._to(client, ("actor_restarting", client, actor, record.cause))
            # It still demands a lease: the next is granted when the node returns the one of the dead process.
        else:
            self._tell_dead(actor, stop, callers)

    def _tell_dead(self, actor: bytes, stop: bool = True, callers: Iterable[int] = ()) -> None:
        """The last of an actor: all who may call it learn why, and its process ends if it still runs (`stop`)."""
        owner = ids.owner_of(actor)
        for client in {owner, *callers, *self._callers.pop(actor, ()), *self._waiting.pop(actor, ())}:
            self._say_dead(client, actor)
        self._owned.get(owner, set()).discard(actor)
        self._step(events.Demand(actor, NO_CLIENT, 0))
        record = self.state.actors.get(actor)
        if self.specs.pop(actor, None) is not None and record is not None:
            for link in self._links.values():
                if stop:
                    link(("stop_actor", actor, False, record.cause))
                link(("actor_over", actor))
            self._forget_job(record.job)

    def _say_dead(self, client: int, actor: bytes) -> None:
        record = self.state.actors.get(actor)
        cause = record.cause if record is not None else "it is not known here, or died long ago"
        kind, told = self._errors.get(actor, ("text", cause))
        self._to(client, ("actor_dead", client, actor, kind, told))

    def _on_kill_actor(self, _node: str, actor: bytes, no_restart: bool) -> None:
        record = self.state.actors.get(actor)
        if record is None or record.state == facts.DEAD:
            return
        cause = "it was killed by rustray.kill()"
        if record.state == facts.ALIVE and not no_restart:
            self._links[record.node](("stop_actor", actor, False, cause))
            return  # its end will be reported, and it restarts if it may
        result = self._apply(commands.kill_actor(actor, cause, self._wall()))
        self._after_failure(actor, result)

    def _on_actor_unreferenced(self, _node: str, actor: bytes) -> None:
        record = self.state.actors.get(actor)
        if record is None or record.state == facts.DEAD or record.detached:
            return
        alive, node = record.state == facts.ALIVE, record.node
        self._fail_actor(actor, "no handle of it is left", restart=False, stop=not alive)
        if alive:
            self._links[node](("stop_actor", actor, True, ""))

    # -- questions -------------------------------------------------------------------------------------

    def _on_query(self, node: str, client: int, request: int, what: str, args: tuple[Any, ...]) -> None:
        self._clients[client] = node
        answer = getattr(self._queries, what, None) if not what.startswith("_") else None
        try:
            if answer is None:
                raise OptionError(f"The cluster cannot be asked for {what!r}.")
            value = answer(*args)
        except RustRayError as error:
            self._to(client, ("answer", client, request, False, failures.typed(error)))
            return
        self._to(client, ("answer", client, request, True, value))


def resources_of(amounts: dict[str, float]) -> Resources:
    """Resources from {"CPU": 1.0, ..., custom names}."""
    custom = {name: amount for name, amount in amounts.items() if name not in ("CPU", "GPU", "memory")}
    return Resources.of(
        cpu=amounts.get("CPU", 0.0),
        gpu=amounts.get("GPU", 0.0),
        memory=amounts.get("memory", 0.0),
        custom=custom,
    )


def _told(amounts: dict[str, float]) -> str:
    """Amounts for people: "2 CPU, 16.5 GiB memory"."""
    return ", ".join(
        f"{amount / 2**30:.3g} GiB memory" if name == "memory" else f"{amount:g} {name}"
        for name, amount in amounts.items()
    )
