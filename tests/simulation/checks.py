"""What must be true: at every step (a violation is told to `Cluster.fail`), and when all is quiet (`problems`)."""

from __future__ import annotations

import marshal
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rustray.cluster import facts
from rustray.driver.actor_channel import ActorChannel
from rustray.driver.task import Task
from rustray.head.reactor import Head
from rustray.model import ids
from rustray.scheduler import actions
from rustray.wire.frames import Message
from tests.simulation.clients import error_text

if TYPE_CHECKING:
    from tests.simulation.clients import Session
    from tests.simulation.cluster import Cluster
    from tests.simulation.drivers import SimulatedDriver
    from tests.simulation.heads import SimulatedHead
    from tests.simulation.workers import SimulatedWorker

SANITY_SHARE = 0.05
"""Share of the scheduler's steps after which its whole book is checked; at the end it always is."""


class Checks:
    """The recorded history of one run."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.leases: set[int] = set()
        self.epochs: set[int] = set()
        self.written: dict[bytes, SimulatedDriver] = {}
        self.jobs: dict[int, int] = {}
        self.actors: dict[bytes, dict[str, Any]] = {}
        self.submitted: dict[tuple[int, int], Task] = {}
        self.published: set[tuple[int, int]] = set()
        self.started: dict[tuple[int, int], list[str]] = {}
        self._once: set[tuple[int, int]] = set()
        """Tasks that may begin only once."""
        self._hosted: dict[tuple[bytes, int, int], int] = {}
        """The number of the node that has hosted an actor's incarnation, started by the leader of an epoch."""
        self._seen: dict[tuple[int, bytes], int] = {}
        """The latest incarnation that a caller had an answer of."""

    # -- at every step

    def on_new_leader(self, process: SimulatedHead) -> None:
        """What was acknowledged before must be there; what this leader grants must be new."""
        head = process.head
        assert head is not None
        cluster, state = self._cluster, head.state
        if head.epoch in self.epochs:
            cluster.fail(f"two leaders of epoch {head.epoch}")
        self.epochs.add(head.epoch)
        for key in self.written:
            if key not in state.kv.get("sim", {}):
                cluster.fail(f"{process.name} leads without the acknowledged {key!r}")
        for job, client in self.jobs.items():
            at = state.jobs.get(job)
            if at is None or at.client != client:
                cluster.fail(f"{process.name} leads without the acknowledged job {job} of {client:x}")
        scheduler, random = head.scheduling.scheduler, cluster.clock.random
        step = scheduler.step

        def checked(event: Any, now: float) -> list[Any]:
            decided = step(event, now)
            cluster.trace("sched", process.name, event, decided)
            for action in decided:
                if isinstance(action, actions.Grant):
                    if action.lease in self.leases:
                        cluster.fail(f"lease {action.lease:x} is granted twice")
                    self.leases.add(action.lease)
            if cluster.strict or random.random() < SANITY_SHARE:
                scheduler.sanity_check()
            return decided

        scheduler.step = checked  # type: ignore[method-assign]

    def on_driver(self, driver: SimulatedDriver) -> None:
        assert driver.session is not None
        job, client = driver.session.info["job"], driver.session.client
        if self.jobs.setdefault(job, client) != client:
            self._cluster.fail(f"job {job} is that of two drivers")

    def on_actor_made(self, _driver: SimulatedDriver, actor: bytes, spec: dict[str, Any]) -> None:
        self.actors[actor] = spec

    def on_submitted(self, session: Session, task: Task) -> None:
        self.submitted[session.client, task.number] = task
        if task.retries == 0:
            self._once.add((session.client, task.number))

    def on_started(self, worker: SimulatedWorker, client: int, task: Message) -> None:
        """A worker begins a task."""
        number = task[0]
        key = client, number
        before = self.started.setdefault(key, [])
        self._cluster.trace("task", f"{client:x}:{number}", f"begins on {worker.loop.name}")
        if before and key in self._once:
            told = f"begins on {worker.loop.name} after {before}"
            self._cluster.fail(f"task {client:x}:{number} must not be repeated, and {told}")
        before.append(worker.loop.name)

    def on_published(self, client: int, number: int, ok: bool, payload: Any) -> None:
        key = client, number
        told = marshal.loads(payload) if ok else error_text(payload)
        self._cluster.trace("task", f"{client:x}:{number}", f"is {'done' if ok else 'failed'}: {told}")
        if key in self.published:
            self._cluster.fail(f"task {client:x}:{number} is published twice")
        self.published.add(key)
        target = self.submitted[key].target
        if ok and isinstance(target, ActorChannel):
            incarnation = told[1]
            if incarnation < self._seen.get((client, target.id), 0):
                self._cluster.fail(f"{client:x} has an answer of a former incarnation of {target.id.hex()}")
            self._seen[client, target.id] = incarnation
        if not ok and self._cluster.calm:
            self._blame(told)

    def _blame(self, told: str) -> None:
        """Where nothing was made to fail, only what the users did fails."""
        innocent = (
            "never be scheduled",
            "is dead",
            "an error of the task",
            "died while it ran",
            "exit code 1",
            "it",
        )
        if not any(word in told for word in innocent):
            self._cluster.fail(f"without any fault a task fails: {told}")

    def on_written(self, driver: SimulatedDriver, key: bytes, ok: bool, added: Any) -> None:
        self._cluster.trace("kv", driver.name, key, ok, added)
        if not ok:
            self._cluster.fail(f"{driver.name} could not write: {error_text(added)}")
        elif added is not True:
            self._cluster.fail(f"{driver.name} wrote {key!r} once, and it was written twice")
        self.written[key] = driver

    def on_hosted(self, worker: SimulatedWorker) -> None:
        """An actor is started: no other process of the node may be hosting it, unless it is being killed."""
        assert worker.actor is not None
        self._cluster.trace("actor", worker.actor, f"{worker.incarnation} is started on {worker.loop.name}")
        self._start_once(worker, worker.actor)
        for other in worker.node.workers.values():
            if other is not worker and other.actor == worker.actor and not other.dead:
                agent = worker.node.agent
                at = agent.pool.workers.get(other.client) if agent is not None else None
                if at is not None and at.doom is None:
                    self._cluster.fail(f"{worker.actor!r} is started twice on {worker.node._name}")

    def _start_once(self, worker: SimulatedWorker, actor: bytes) -> None:
        """One leader starts an incarnation once, or again when its node is gone: so each death counts."""
        agent = worker.node.agent
        process = agent.pool.workers.get(worker.client) if agent is not None else None
        for lease in process.leases if process is not None else ():
            epoch = lease >> 32
            before = self._hosted.get((actor, worker.incarnation, epoch), 0)
            if before and self._is_member(before, epoch):
                told = f"incarnation {worker.incarnation} of {actor.hex()} is started on {worker.node._name}"
                self._cluster.fail(f"{told}, after it was on node {before}, by the leader of epoch {epoch}")
            self._hosted[actor, worker.incarnation, epoch] = worker.node.number

    def _is_member(self, number: int, epoch: int) -> bool:
        """Whether the leader of the epoch still leads, and takes that node for alive."""
        for process in self._cluster.heads.values():
            if process.head is not None and process.head.epoch == epoch:
                nodes = process.head.state.nodes.values()
                return any(node.number == number and node.removed is None for node in nodes)
        return False

    # -- when all is quiet

    def problems(self) -> Iterator[str]:
        """What is not as it must be in the end; nothing when the cluster has come to rest."""
        cluster = self._cluster
        leading = [process for process in cluster.heads.values() if process.head is not None]
        if len(leading) != 1:
            yield f"{len(leading)} heads lead"
            return
        head = leading[0].head
        assert head is not None
        yield from self._links(head)
        yield from self._drivers()
        if cluster.drivers_idle():
            yield from self._leases(head)
            yield from self._jobs(head)
            yield from self._actors(head)
            yield from self._workers(head)
            yield from self._replicas()
        head.scheduling.scheduler.sanity_check()

    def _links(self, head: Head) -> Iterator[str]:
        names = {node._name for node in self._cluster.nodes}
        linked = {link.name for link in head.nodes}
        if linked != names:
            yield f"the head has the nodes {sorted(linked)}, there are {sorted(names)}"
        members = {name for name, node in head.state.nodes.items() if node.removed is None}
        if members != names:
            yield f"the facts have the nodes {sorted(members)}, there are {sorted(names)}"
        for node in self._cluster.nodes:
            session = node._link.session
            if not node.joined:
                yield f"{node._name} is {session.state}: {session.trouble}"
            elif session.epoch != head.epoch:
                yield f"{node._name} follows epoch {session.epoch}, not {head.epoch}"
            if session.unacknowledged:
                yield f"{node._name} keeps {session._kept}"
        for link in head.nodes:
            if link.busy or link.waiting:
                yield f"the head is busy with {link.busy} commands of {link.name}, {len(link.waiting)} wait"
        if not head.members.settled:
            yield "the head has not settled"

    def _drivers(self) -> Iterator[str]:
        for driver in self._cluster.drivers:
            if driver.alive and not driver.idle:
                session = driver.session
                if session is None or not driver.welcome:
                    yield f"{driver.name} was not welcomed"
                else:
                    waiting = {
                        number: (getattr(task.target, "name", "?"), task.where is not None)
                        for number, (task, _done) in session.tasks.waiting.items()
                    }
                    asked = list(session._requests)
                    yield f"{driver.name} ({session.client:x}) waits for tasks {waiting}, answers {asked}"

    def _leases(self, head: Head) -> Iterator[str]:
        for node in self._cluster.nodes:
            agent = node.agent
            if agent is None:
                continue
            known, had = set(head.status.leases_on(node._name)), set(agent.leases.here)
            if known != had:
                text = f"{_hex(known - had)} known to the head only, {_hex(had - known)} to the node only"
                yield f"leases on {node._name}: {text}"
            for lease, (_worker, client, _key) in agent.leases.here.items():
                if client:
                    yield f"lease {lease:x} on {node._name} is still held by {client:x}"
            if agent.elsewhere.leases:
                yield f"{node._name} has {_hex(agent.elsewhere.leases)} from others"
            if agent.leases.guests:
                yield f"{node._name} has guests {agent.leases.guests}"
            awaited = {at.client: at.awaited for at in agent.clients.connected.values() if at.awaited}
            if awaited:
                yield f"on {node._name} wait for actors: {awaited}"
        for row in head.status.waiting():
            if not row["infeasible"]:
                yield f"demand is not served: {row}"

    def _jobs(self, head: Head) -> Iterator[str]:
        running = {job.id: job.client for job in head.state.jobs.values() if job.end is None}
        alive = {
            driver.session.info["job"]: driver.session.client
            for driver in self._cluster.drivers
            if driver.alive and driver.session is not None
        }
        if running != alive:
            yield f"running jobs {running}, drivers {alive}"
        for node in self._cluster.nodes:
            for job in node.agent.jobs.known if node.agent is not None else ():
                if job not in running and not _has_detached(head, job):
                    yield f"{node._name} still knows job {job}, which has ended"

    def _actors(self, head: Head) -> Iterator[str]:
        hosting: dict[bytes, list[tuple[str, int]]] = {}
        for node in self._cluster.nodes:
            for worker in node.workers.values():
                if worker.actor is not None:
                    hosting.setdefault(worker.actor, []).append((node._name, worker.incarnation))
        for record in head.state.actors.values():
            told = f"actor {record.id.hex()} is {record.state} {record.incarnation} on {record.node or '-'}"
            hosts = hosting.pop(record.id, [])
            if record.state == facts.DEAD:
                if hosts:
                    yield f"{told}, and runs: {hosts}"
                continue
            if record.state == facts.ALIVE and hosts != [(record.node, record.incarnation)]:
                yield f"{told}, and runs: {hosts}"
            if record.state != facts.ALIVE and (record.complete or record.state != facts.PENDING):
                yield f"{told}: stuck ({hosts})"
            owner = ids.owner_of(record.id)
            if not record.detached and owner not in self._clients():
                yield f"{told}, and its owner {owner:x} is gone"
            if waiting := head.callers.waiting_for(record.id):
                yield f"{told}: {waiting} wait for it"
        for actor, hosts in hosting.items():
            yield f"actor {actor.hex()} is not known, and runs: {hosts}"
        if head.actors.unseen:
            yield f"actors not seen: {head.actors.unseen}"

    def _clients(self) -> set[int]:
        return {
            client
            for node in self._cluster.nodes
            if node.agent is not None
            for client in node.agent.clients.connected
        }

    def _workers(self, head: Head) -> Iterator[str]:
        for node in self._cluster.nodes:
            for worker in node.workers.values():
                job = head.state.jobs.get(worker.job)
                over = job is None or job.end is not None
                if worker.job and over and not _has_detached(head, worker.job):
                    yield f"{worker.loop.name} of job {worker.job}, which has ended, still runs"
                if worker.session.leases._leases:
                    yield f"{worker.loop.name} holds leases {_hex(worker.session.leases._leases)}"
        for driver in self._cluster.drivers:
            if driver.alive and driver.session is not None and driver.session.leases._leases:
                yield f"{driver.name} holds leases {_hex(driver.session.leases._leases)}"

    def _replicas(self) -> Iterator[str]:
        states = [process.replica.state.to_dict() for process in self._cluster.heads.values()]
        if any(state != states[0] for state in states):
            yield "the heads' states differ"


def _has_detached(head: Head, job: int) -> bool:
    return any(a.job == job and a.detached and a.state != facts.DEAD for a in head.state.actors.values())


def _hex(numbers: Any) -> list[str]:
    return [f"{number:x}" for number in sorted(numbers)]
