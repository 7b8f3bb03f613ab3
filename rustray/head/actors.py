"""The head's part in the life of actors: it alone decides what a death means, and who may call.

See ARCHITECTURE.md, "The life of an actor". What starts them is in `actor_starts`, who calls them in `actor_callers`,
and what a new leader or a report makes of them in `actor_recovery`.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable
from typing import Any

from rustray.cluster import commands, facts
from rustray.cluster.state import ClusterState
from rustray.driver import failures
from rustray.errors import ActorAlreadyExistsError, InfeasibleError, RustRayError, SessionError
from rustray.head.actor_callers import UNKNOWN_FOR_S, ActorCallers
from rustray.head.actor_starts import ActorStarts
from rustray.head.commits import Commits
from rustray.head.jobs import Jobs
from rustray.head.node_links import NodeLinks
from rustray.head.task_classes import resources_of
from rustray.model import ids

CREATOR_ENDED = (
    "the process that created it has ended, which only a detached actor outlives: "
    "options(lifetime='detached'), %%actor --detached"
)


class Actors:
    """Actors of one cluster, at the leading head.

    Parameters
    ----------
    now: monotonic seconds. wall: seconds since the epoch.

    Attributes
    ----------
    specs: what it takes to start each that is not dead.
    unseen: actors of the facts that no node has reported to this leader yet.
    """

    def __init__(
        self,
        state: ClusterState,
        now: Callable[[], float],
        wall: Callable[[], float],
        commits: Commits,
        nodes: NodeLinks,
        jobs: Jobs,
        starts: ActorStarts,
        callers: ActorCallers,
    ) -> None:
        self._state = state
        self._now = now
        self._wall = wall
        self._commits = commits
        self._nodes = nodes
        self._jobs = jobs
        self._starts = starts
        self._callers = callers
        self.specs = starts.specs
        self.unseen: set[bytes] = set()
        self._owned: dict[int, set[bytes]] = {}
        """Actors by the client that made them."""
        self._orphans: dict[bytes, float] = {}
        """Detached actors that lack arguments and whose creators have ended, since when."""
        jobs.on_actor_killed = self.tell_dead

    # -- creation --------------------------------------------------------------------------------------

    def on_create_actor(
        self, node: str, client: int, request: int, actor: bytes, job: int, spec: dict[str, Any]
    ) -> None:
        """A client makes an actor; `request` is 0 if it does not wait for the answer."""
        resources_of(spec["resources"])  # first: what cannot be counted must leave nothing behind
        command = commands.register_actor(
            actor,
            job,
            spec["name"],
            marshal.dumps(spec),
            self._wall(),
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
                self._nodes.to_client(client, ("answer", client, request, True, (actor, handle)))
            if actor in self.specs or self._state.actors[actor].state == facts.DEAD:
                return  # told twice
            self.add(actor, job, spec)
            link = self._nodes.get(node)
            if not spec["detached"] and (link is None or client not in link.clients):
                self.fail(actor, CREATOR_ENDED, restart=False)
            elif spec["complete"]:
                self._starts.demand(actor)

        self._nodes[node].clients.add(client)
        self._commits.submit(command, registered)

    def add(self, actor: bytes, job: int, spec: dict[str, Any]) -> None:
        """There is an actor that is not dead."""
        self._callers.add(actor)
        self._owned.setdefault(ids.owner_of(actor), set()).add(actor)
        self._starts.add(actor, job, spec)

    def on_actor_arguments(self, _node: str, actor: bytes, args: Any, deps: Any) -> None:
        """The arguments of its constructor are known."""

        def known(result: dict[str, Any]) -> None:
            spec = self.specs.get(actor)
            if spec is not None and "error" not in result:
                spec.update(args=args, deps=deps, complete=True)
                if actor not in self.unseen:
                    self._starts.demand(actor)

        self._commits.submit(commands.actor_arguments(actor, marshal.dumps((args, deps))), known)

    def _refuse(
        self, client: int, request: int, actor: bytes, spec: dict[str, Any], result: dict[str, Any]
    ) -> None:
        self._nodes.to_client(client, ("actor_over", actor))
        if result["error"] == "name_taken" and spec["get_if_exists"]:
            other = result["actor"]
            if other in self.specs:
                answer = (other, self.specs[other]["handle"])
                self._nodes.to_client(client, ("answer", client, request, True, answer))
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
            self._nodes.to_client(client, ("answer", client, request, False, failures.typed(error)))
        else:
            self._callers.keep_error(actor, "error", failures.typed(error))
            self._callers.refused(actor, client)

    def infeasible(self, key: bytes, text: str) -> bool:
        """The class can never be placed, now that no process of it lives; False when it is no actor's."""
        spec = self.specs.get(key)
        if spec is None:
            return False
        record = self._state.actors.get(key)
        if record is None or record.state == facts.DEAD:
            return True  # those who call it are just being told why
        if record.incarnation:
            self.fail(key, f"{record.cause}, and it cannot be started again: {text}", restart=False)
            return True
        error = InfeasibleError(f"Actor {spec['name']} can never be placed: {text}")
        self._callers.keep_error(key, "error", failures.typed(error))
        self.fail(key, f"it cannot be placed: {text}", restart=False)
        return True

    # -- life ------------------------------------------------------------------------------------------

    def on_actor_ready(self, node: str, actor: bytes, worker: int, incarnation: int, pid: int) -> None:
        """Its constructor has returned, in the process `pid`."""
        record = self._state.actors.get(actor)
        if record is None:
            return

        def alive(result: dict[str, Any]) -> None:
            if record.state != facts.ALIVE or (record.node, record.worker) != (node, worker):
                # It has died meanwhile, or another lives: an earlier leader had started that, or what became of it was
                # not known yet when this one was started.
                self._nodes.to_node(node, ("stop_actor", actor, False, "another was started in its place"))
            elif "error" not in result:
                self._starts.pace.on_alive(actor, self._now())
                self._callers.connect_waiting(record)

        self._commits.submit(commands.actor_alive(actor, incarnation, node, worker, pid), alive)

    def client_gone(self, client: int) -> None:
        """A client has ended: so do the actors that it made, unless detached."""
        for actor in list(self._owned.pop(client, ())):
            if actor in self.specs:
                self.owner_gone(self._state.actors[actor])
        self._callers.client_gone(client)

    def owner_gone(self, record: facts.Actor) -> None:
        """The process that created it has ended: so does it, unless it is detached and can be started without. What
        its constructor is given may be known, and on its way."""
        if not record.detached:
            self.fail(record.id, CREATOR_ENDED, restart=False)
        elif not record.complete:
            self._orphans.setdefault(record.id, self._now())

    def tick(self, now: float) -> None:
        """An actor that waits for arguments of a process that has ended ends."""
        for actor, since in list(self._orphans.items()):
            if now - since > UNKNOWN_FOR_S:
                del self._orphans[actor]
                orphan = self._state.actors.get(actor)
                if orphan is not None and not orphan.complete:
                    cause = (
                        "the process that created it has ended before the constructor's arguments were known"
                    )
                    self.fail(actor, cause, restart=False)

    # -- deaths ----------------------------------------------------------------------------------------

    def on_actor_failed(self, _node: str, actor: bytes, packed: bytes) -> None:
        """Its constructor raised, or an argument of it failed: another try would fail again."""
        self._callers.keep_error(actor, "constructor", packed)
        self.fail(actor, "its constructor failed", restart=False)

    def on_actor_ended(self, _node: str, actor: bytes, text: str) -> None:
        """It ends itself, when it has finished what it does."""
        self.fail(actor, text, restart=False, stop=False)

    def on_actor_exited(
        self, node: str, actor: bytes, worker: int, kind: str, text: str, incarnation: int
    ) -> None:
        """Its process has ended; `kind` is "killed" if we did that, "job" if it was not started."""
        self._starts.exit_has_come(actor)
        record = self._state.actors.get(actor)
        if record is not None and record.state == facts.ALIVE and worker not in (0, record.worker):
            return  # another lives
        if record is not None and record.incarnation == incarnation:
            self._starts.pace.on_death(actor, self._now())
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
        record = self._state.actors.get(actor)
        if record is None or record.state == facts.DEAD:
            return
        which = record.incarnation if incarnation is None else incarnation

        def failed(result: dict[str, Any]) -> None:
            if "error" not in result:
                self.after_failure(actor, stop)

        command = commands.actor_failed(actor, which, cause, self._wall(), restart)
        self._starts.submit_end(actor, command, failed)

    def after_failure(self, actor: bytes, stop: bool = True) -> None:
        """The facts say that it restarts, or that it is dead: tell who calls it."""
        record = self._state.actors.get(actor)
        if record is not None and record.state == facts.RESTARTING:
            self._callers.on_restarting(record)
            # It still demands a lease: the next is granted when the node returns the one of the dead process.
            self._starts.start_postponed(actor)
        elif actor in self.specs:  # it may have been told when it could not be started again
            self.tell_dead(actor, stop)

    def tell_dead(self, actor: bytes, stop: bool = True) -> None:
        """The last of an actor: all who may call it learn why, and its process ends if it still runs (`stop`)."""
        self._callers.on_dead(actor)
        self._owned.get(ids.owner_of(actor), set()).discard(actor)
        self.unseen.discard(actor)
        record = self._state.actors.get(actor)
        if self._starts.remove(actor) and record is not None:
            for link in self._nodes:
                if stop:
                    link.send(("stop_actor", actor, False, record.cause))
                link.send(("actor_over", actor))
            self._jobs.forget(record.job)

    def on_kill_actor(self, _node: str, actor: bytes, no_restart: bool) -> None:
        """`rustray.kill()`."""
        record = self._state.actors.get(actor)
        if record is None:
            return
        cause = "it was killed by rustray.kill()"
        if record.state == facts.DEAD:
            # One that has ended itself finishes what it had begun, perhaps never. The facts forget where it is.
            for other in self._nodes:
                other.send(("stop_actor", actor, False, cause))
            return
        link = self._nodes.get(record.node)
        if record.state == facts.ALIVE and not no_restart and link is not None:
            link.send(("stop_actor", actor, False, cause))
            return  # its end will be reported, and it restarts if it may

        def killed(result: dict[str, Any]) -> None:
            if "error" not in result:
                self.after_failure(actor)

        self._starts.submit_end(actor, commands.kill_actor(actor, cause, self._wall()), killed)

    def on_actor_unreferenced(self, _node: str, actor: bytes) -> None:
        """No handle of it is left: it ends when it has done what it was asked for."""
        record = self._state.actors.get(actor)
        if record is None or record.state == facts.DEAD or record.detached:
            return
        alive, node = record.state == facts.ALIVE, record.node

        def ended(result: dict[str, Any]) -> None:
            if "error" in result:
                return
            self.after_failure(actor, stop=not alive)
            if alive:
                self._nodes.to_node(node, ("stop_actor", actor, True, ""))

        cause = "no handle of it is left"
        command = commands.actor_failed(actor, record.incarnation, cause, self._wall(), restart=False)
        self._starts.submit_end(actor, command, ended)
