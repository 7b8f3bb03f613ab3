"""The head's part in the life of actors: it alone decides what a death means, and who may call.

An actor is a pinned scheduling class with one lease, which the head itself holds (client 0). See ARCHITECTURE.md,
"The life of an actor".
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from rustray.cluster import commands, facts
from rustray.driver import failures
from rustray.errors import ActorAlreadyExistsError, InfeasibleError, RustRayError, SessionError
from rustray.model import ids
from rustray.scheduler import actions, events
from rustray.scheduler.constraints import Constraint

if TYPE_CHECKING:
    from rustray.head.reactor import Head, NodeLink

ERRORS_KEPT = 1_000
"""Errors of dead actors; of older ones only the cause is told."""
UNKNOWN_FOR_S = 5.0
"""Seconds for which a call waits for an actor that is not known: a handle may travel faster than its registration."""
NO_CLIENT = 0
"""Stands for the head itself where it holds a lease: that of an actor."""


class Actors:
    """Actors of one cluster, at the leading head.

    `specs` has what it takes to start each that is not dead, `_waiting` the clients that wait for a channel to it,
    `_callers` those that have one, `_owned` the actors by the client that made them.
    """

    def __init__(self, head: Head) -> None:
        self._head = head
        self.state = head.state
        self.specs: dict[bytes, dict[str, Any]] = {}
        self._waiting: dict[bytes, set[int]] = {}
        self._callers: dict[bytes, set[int]] = {}
        self._owned: dict[int, set[bytes]] = {}
        self._errors: dict[bytes, tuple[str, bytes]] = {}
        self._unknown: dict[bytes, tuple[float, set[int]]] = {}
        """Actors that somebody wants to call and that are not registered: since when, and who."""
        self._orphans: dict[bytes, float] = {}
        """Detached actors that lack arguments and whose creators have ended, since when."""
        self._unseen: set[bytes] = set()
        """Actors of the facts that no node has reported to this leader yet."""
        self._ending: dict[bytes, int] = {}
        """Actors whose incarnation is over by commands that are not committed yet, and how many of these."""
        self._postponed: dict[bytes, actions.Grant] = {}
        """Leases that were granted to actors whose end the facts do not tell yet: what is to be started there, they
        will say."""

    # -- a new leader ----------------------------------------------------------------------------------

    def take_over(self) -> None:
        """Learn of the actors that the facts tell of. Where they run the nodes' reports will say."""
        for record in self.state.actors.values():
            if record.state == facts.DEAD:
                continue
            spec = marshal.loads(record.spec)
            if record.arguments:
                spec["args"], spec["deps"] = marshal.loads(record.arguments)
                spec["complete"] = True
            self._add(record.id, record.job, spec)
            self._unseen.add(record.id)

    def take_report(self, link: NodeLink, report: dict[str, Any], clients: set[int]) -> None:
        """A node says which actors it has, started or being started."""
        reported = {actor: worker for actor, worker, _incarnation in report.get("actors", ())}
        for actor, _worker, incarnation in report.get("actors", ()):
            record = self.state.actors.get(actor)
            if record is None or record.state == facts.DEAD or record.incarnation != incarnation:
                link.send(("stop_actor", actor, False, "it was replaced while its node was cut off"))
            elif actor in self._unseen:
                self._unseen.discard(actor)
                self._demand(actor)
        for record in list(self.state.actors.values()):
            if record.state == facts.ALIVE and record.node == link.name:
                if reported.get(record.id) != record.worker:
                    # It has ended, or is being killed: the node's word of how is on its way.
                    self._unseen.discard(record.id)
                    self._demand(record.id)
                else:
                    self._connect_waiting(record)
            if record.state == facts.DEAD:
                if record.detached and record.job in link.jobs:
                    link.send(("actor_over", record.id))  # it may not have been told
            else:
                owner = ids.owner_of(record.id)
                if ids.node_of(owner) == link.number and owner not in clients:
                    self._owner_gone(record)

    def settled(self) -> None:
        """All nodes have reported: what none of them has is started now, and what nobody owns ends."""
        members = {node.number for node in self._head.state.nodes.values() if node.removed is None}
        for owned in list(self.state.actors.values()):
            if owned.state != facts.DEAD and ids.home_of(owned.id) not in members:
                self._owner_gone(owned)
        for actor in list(self._unseen):
            record = self.state.actors.get(actor)
            if record is not None and record.state == facts.ALIVE and record.node in self._head.state.nodes:
                if self._head.state.nodes[record.node].removed is None:
                    continue  # its node is expected still, or is being given up
            self._unseen.discard(actor)
            if actor in self.specs and self.specs[actor]["complete"]:
                self._demand(actor)

    def forget_node(self, name: str) -> None:
        """A node is gone; what it may have hosted will be started elsewhere."""
        for actor in list(self._unseen):
            record = self.state.actors.get(actor)
            if record is None or record.state != facts.ALIVE:
                self._unseen.discard(actor)
                living = record is not None and record.state != facts.DEAD
                if living and actor in self.specs and self.specs[actor]["complete"]:
                    self._demand(actor)

    def end_owned_by_node(self, number: int) -> None:
        """The node is gone, and so are the processes on it that have created actors."""
        for record in list(self.state.actors.values()):
            if record.state != facts.DEAD and ids.home_of(record.id) == number:
                self._owner_gone(record)

    def _owner_gone(self, record: facts.Actor) -> None:
        """The process that created it has ended: so does it, unless it is detached and can be started without. What
        its constructor is given may be known, and on its way."""
        if not record.detached:
            self.fail(record.id, "the process that created it has ended", restart=False)
        elif not record.complete:
            self._orphans.setdefault(record.id, self._head.scheduler_time())

    def tick(self, now: float) -> None:
        """Those who asked for an actor that nobody has registered for long are told that it is not there; one that
        waits for arguments of a process that has ended ends."""
        for actor, since in list(self._orphans.items()):
            if now - since > UNKNOWN_FOR_S:
                del self._orphans[actor]
                orphan = self.state.actors.get(actor)
                if orphan is not None and not orphan.complete:
                    cause = "the process that created it has ended before the constructor's arguments were known"
                    self.fail(actor, cause, restart=False)
        for actor, (since, clients) in list(self._unknown.items()):
            if now - since > UNKNOWN_FOR_S:
                del self._unknown[actor]
                for client in clients:
                    self._say_dead(client, actor)

    def lives(self, job: int) -> bool:
        """Whether an actor of the job is not dead."""
        return any(at.job == job and at.state != facts.DEAD for at in self.state.actors.values())

    # -- creation --------------------------------------------------------------------------------------

    def on_create_actor(
        self, node: str, client: int, request: int, actor: bytes, job: int, spec: dict[str, Any]
    ) -> None:
        from rustray.head.reactor import resources_of

        resources_of(spec["resources"])  # first: what cannot be counted must leave nothing behind
        command = commands.register_actor(
            actor,
            job,
            spec["name"],
            marshal.dumps(spec),
            self._head.wall(),
            name=spec["registered"],
            namespace=spec["namespace"],
            detached=spec["detached"],
            max_restarts=spec["max_restarts"],
            complete=spec["complete"],
        )

        def registered(result: dict[str, Any]) -> None:
            if "error" in result and result["error"] != "actor_exists":
                self._refuse(client, request, actor, spec, result)
                return
            if request:
                handle = spec["handle"]
                self._head.to_client(client, ("answer", client, request, True, (actor, handle)))
            if actor in self.specs or self.state.actors[actor].state == facts.DEAD:
                return  # told twice
            self._add(actor, job, spec)
            self._connect_early_callers(actor)
            link = self._head.nodes.get(node)
            if not spec["detached"] and (link is None or client not in link.clients):
                self.fail(actor, "the process that created it has ended", restart=False)
            elif spec["complete"]:
                self._demand(actor)

        self._head.nodes[node].clients.add(client)
        self._head.submit(command, registered)

    def _add(self, actor: bytes, job: int, spec: dict[str, Any]) -> None:
        from rustray.head.reactor import resources_of

        self.specs[actor] = spec
        self._waiting[actor] = set()
        self._callers[actor] = set()
        self._owned.setdefault(ids.owner_of(actor), set()).add(actor)
        self._head.step(
            events.ClassAdded(
                actor,
                0 if spec["detached"] else job,
                spec["name"],
                resources_of(spec["resources"]),
                pinned=True,
                priority=spec.get("priority", 0),
                constraint=Constraint.of(spec.get("constraint")),
            )
        )

    def _demand(self, actor: bytes) -> None:
        self._head.step(events.Demand(actor, NO_CLIENT, 1))

    def _connect_early_callers(self, actor: bytes) -> None:
        _since, clients = self._unknown.pop(actor, (0.0, set()))
        self._waiting[actor] |= clients

    def on_actor_arguments(self, _node: str, actor: bytes, args: Any, deps: Any) -> None:
        """The arguments of its constructor are known."""

        def known(result: dict[str, Any]) -> None:
            spec = self.specs.get(actor)
            if spec is not None and "error" not in result:
                spec.update(args=args, deps=deps, complete=True)
                if actor not in self._unseen:
                    self._demand(actor)

        self._head.submit(commands.actor_arguments(actor, marshal.dumps((args, deps))), known)

    def _refuse(
        self, client: int, request: int, actor: bytes, spec: dict[str, Any], result: dict[str, Any]
    ) -> None:
        self._head.to_client(client, ("actor_over", actor))
        if result["error"] == "name_taken" and spec["get_if_exists"]:
            other = result["actor"]
            if other in self.specs:
                answer = (other, self.specs[other]["handle"])
                self._head.to_client(client, ("answer", client, request, True, answer))
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
            self._head.to_client(client, ("answer", client, request, False, failures.typed(error)))
        else:
            self._keep_error(actor, "error", failures.typed(error))
            _since, callers = self._unknown.pop(actor, (0.0, set()))
            for caller in {client, *callers}:
                self._say_dead(caller, actor)

    def _keep_error(self, actor: bytes, kind: str, packed: bytes) -> None:
        self._errors[actor] = kind, packed
        while len(self._errors) > ERRORS_KEPT:
            del self._errors[next(iter(self._errors))]

    def start(self, grant: actions.Grant, link: NodeLink) -> bool:
        """Start the actor that the lease was granted for; False when it is no actor's lease."""
        actor = grant.key
        if grant.client != NO_CLIENT or actor not in self.specs:
            return False
        record = self.state.actors[actor]
        if actor in self._ending or record.state == facts.ALIVE:
            self._postponed[actor] = grant
            return True
        if record.state == facts.DEAD:
            # Others that died by the same command are told first, and that has made room.
            self._head.step(events.Demand(actor, NO_CLIENT, 0))
            self._head.step(events.LeaseReturned(grant.lease))
            return True
        self._head.acquaint(link, record.job)
        spec = {**self.specs[actor], "incarnation": record.incarnation}
        link.send(("start_actor", grant.lease, actor, record.job, spec))
        return True

    def _submit_end(
        self, actor: bytes, command: commands.Command, then: Callable[[dict[str, Any]], None]
    ) -> None:
        """Submit a command that ends the actor's incarnation. Its lease may come back, and the next be granted, before
        that is committed; nothing is started on that until it is."""
        self._ending[actor] = self._ending.get(actor, 0) + 1

        def ended(result: dict[str, Any]) -> None:
            self._ending[actor] -= 1
            if not self._ending[actor]:
                del self._ending[actor]
            then(result)
            self._start_postponed(actor)

        self._head.submit(command, ended)

    def _start_postponed(self, actor: bytes) -> None:
        if actor in self._ending:
            return
        grant = self._postponed.pop(actor, None)
        if grant is None or grant.lease not in self._head.status.leases_on(grant.node):
            return
        link = self._head.nodes.get(grant.node)
        if link is None or not self.start(grant, link):
            self._head.step(events.LeaseReturned(grant.lease))

    def infeasible(self, key: bytes, text: str) -> bool:
        """The class can never be placed; False when it is no actor's."""
        spec = self.specs.get(key)
        if spec is None:
            return False
        error = InfeasibleError(f"Actor {spec['name']} can never be placed: {text}")
        self._keep_error(key, "error", failures.typed(error))
        self.fail(key, f"it cannot be placed: {text}", restart=False)
        return True

    def on_actor_ready(self, node: str, actor: bytes, worker: int, incarnation: int) -> None:
        record = self.state.actors.get(actor)
        if record is None:
            return

        def alive(result: dict[str, Any]) -> None:
            if record.state != facts.ALIVE or (record.node, record.worker) != (node, worker):
                # It has died meanwhile, or another lives: an earlier leader had started that, or what became of it was
                # not known yet when this one was started.
                link = self._head.nodes.get(node)
                if link is not None:
                    link.send(("stop_actor", actor, False, "another was started in its place"))
                return
            if "error" in result:
                return
            self._connect_waiting(record)

        self._head.submit(commands.actor_alive(actor, incarnation, node, worker, 0), alive)

    # -- callers ---------------------------------------------------------------------------------------

    def _connect(self, client: int, record: facts.Actor) -> None:
        link = self._head.nodes.get(record.node)
        if link is None:
            self._waiting[record.id].add(client)  # the node is cut off: it comes back, or its actors restart
            return
        self._waiting[record.id].discard(client)
        self._callers[record.id].add(client)
        link.send(("actor_place", client, record.id))

    def _connect_waiting(self, record: facts.Actor) -> None:
        for client in sorted(self._waiting.get(record.id, ())):
            self._connect(client, record)

    def on_connect_actor(self, node: str, client: int, actor: bytes, lost: int) -> None:
        """`lost` is the worker that the client's channel led to before: it is dead, told or not."""
        self._head.nodes[node].clients.add(client)
        record = self.state.actors.get(actor)
        if record is None:
            now = self._head.scheduler_time()
            self._unknown.setdefault(actor, (now, set()))[1].add(client)
        elif record.state == facts.DEAD:
            self._say_dead(client, actor)
        elif record.state == facts.ALIVE and record.worker != lost:
            self._connect(client, record)
        else:
            self._waiting[actor].add(client)
            if record.state == facts.RESTARTING:
                self._head.to_client(client, ("actor_restarting", client, actor, record.cause))

    def client_gone(self, client: int) -> None:
        """A client has ended: so do the actors that it made, unless detached."""
        for actor in list(self._owned.pop(client, ())):
            if actor in self.specs:
                self._owner_gone(self.state.actors[actor])
        for callers in (*self._waiting.values(), *self._callers.values()):
            callers.discard(client)
        for _since, callers in self._unknown.values():
            callers.discard(client)

    # -- deaths ----------------------------------------------------------------------------------------

    def on_actor_failed(self, _node: str, actor: bytes, packed: bytes) -> None:
        """Its constructor raised, or an argument of it failed: another try would fail again."""
        self._keep_error(actor, "constructor", packed)
        self.fail(actor, "its constructor failed", restart=False)

    def on_actor_ended(self, _node: str, actor: bytes, text: str) -> None:
        """It ends itself, when it has finished what it does."""
        self.fail(actor, text, restart=False, stop=False)

    def on_actor_exited(
        self, node: str, actor: bytes, worker: int, kind: str, text: str, incarnation: int
    ) -> None:
        record = self.state.actors.get(actor)
        if record is not None and record.state == facts.ALIVE and worker not in (0, record.worker):
            return  # another lives
        cause = text if kind == "killed" else f"its worker {text}"
        self.fail(actor, cause, restart=kind != "job", incarnation=incarnation)

    def fail(
        self, actor: bytes, cause: str, restart: bool, stop: bool = True, incarnation: int | None = None
    ) -> None:
        """The actor's present incarnation is over.

        Parameters
        ----------
        restart: whether it may be started again. stop: whether its process may still run, and should not.
        incarnation: the one that is over, None for the present one.
        """
        record = self.state.actors.get(actor)
        if record is None or record.state == facts.DEAD:
            return
        which = record.incarnation if incarnation is None else incarnation

        def failed(result: dict[str, Any]) -> None:
            if "error" not in result:
                self.after_failure(actor, stop)

        self._submit_end(
            actor, commands.actor_failed(actor, which, cause, self._head.wall(), restart), failed
        )

    def after_failure(self, actor: bytes, stop: bool = True) -> None:
        """The facts say that it restarts, or that it is dead: tell who calls it."""
        callers, self._callers[actor] = self._callers.get(actor, set()), set()
        record = self.state.actors.get(actor)
        if record is not None and record.state == facts.RESTARTING:
            self._waiting.setdefault(actor, set()).update(callers)
            for client in callers:
                self._head.to_client(client, ("actor_restarting", client, actor, record.cause))
            # It still demands a lease: the next is granted when the node returns the one of the dead process.
            self._start_postponed(actor)
        else:
            self.tell_dead(actor, stop, callers)

    def tell_dead(self, actor: bytes, stop: bool = True, callers: Iterable[int] = ()) -> None:
        """The last of an actor: all who may call it learn why, and its process ends if it still runs (`stop`)."""
        owner = ids.owner_of(actor)
        for client in {owner, *callers, *self._callers.pop(actor, ()), *self._waiting.pop(actor, ())}:
            self._say_dead(client, actor)
        self._owned.get(owner, set()).discard(actor)
        self._unseen.discard(actor)
        self._head.step(events.Demand(actor, NO_CLIENT, 0))
        self._start_postponed(actor)
        record = self.state.actors.get(actor)
        if self.specs.pop(actor, None) is not None and record is not None:
            for link in self._head.nodes.values():
                if stop:
                    link.send(("stop_actor", actor, False, record.cause))
                link.send(("actor_over", actor))
            self._head.forget_job(record.job)

    def _say_dead(self, client: int, actor: bytes) -> None:
        record = self.state.actors.get(actor)
        cause = record.cause if record is not None else "it is not known here, or died long ago"
        kind, told = self._errors.get(actor, ("text", cause))
        self._head.to_client(client, ("actor_dead", client, actor, kind, told))

    def on_kill_actor(self, _node: str, actor: bytes, no_restart: bool) -> None:
        record = self.state.actors.get(actor)
        if record is None or record.state == facts.DEAD:
            return
        cause = "it was killed by rustray.kill()"
        link = self._head.nodes.get(record.node)
        if record.state == facts.ALIVE and not no_restart and link is not None:
            link.send(("stop_actor", actor, False, cause))
            return  # its end will be reported, and it restarts if it may

        def killed(result: dict[str, Any]) -> None:
            if "error" not in result:
                self.after_failure(actor)

        self._submit_end(actor, commands.kill_actor(actor, cause, self._head.wall()), killed)

    def on_actor_unreferenced(self, _node: str, actor: bytes) -> None:
        record = self.state.actors.get(actor)
        if record is None or record.state == facts.DEAD or record.detached:
            return
        alive, node = record.state == facts.ALIVE, record.node

        def ended(result: dict[str, Any]) -> None:
            if "error" in result:
                return
            self.after_failure(actor, stop=not alive)
            link = self._head.nodes.get(node)
            if alive and link is not None:
                link.send(("stop_actor", actor, True, ""))

        cause = "no handle of it is left"
        self._submit_end(
            actor,
            commands.actor_failed(actor, record.incarnation, cause, self._head.wall(), restart=False),
            ended,
        )
