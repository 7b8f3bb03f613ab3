"""The node: owns this machine's workers and store, and passes between its clients, other nodes and the head.

Everything here runs in one event loop. What crosses to the head are plain tuples on a *link* (`head(message)`): a call
inside an embedded server, a gRPC stream between machines. What crosses to other nodes goes through `neighbours`.

The agent puts the parts together and says which of them handles which message. Each part is a file of this package,
and knows those that it is given; none knows the agent.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from typing import Any

from rustray.model.ids import node_of
from rustray.node.actors import Actors
from rustray.node.classes import Classes
from rustray.node.client_messages import ClientMessages
from rustray.node.clients import Clients
from rustray.node.departures import Departures
from rustray.node.door import Door
from rustray.node.elsewhere import Elsewhere
from rustray.node.figures import Figures
from rustray.node.head_outage import HeadOutage
from rustray.node.introductions import Introductions
from rustray.node.jobs import Jobs
from rustray.node.leases import Leases
from rustray.node.neighbours import Neighbours
from rustray.node.partings import Partings
from rustray.node.pool import Fork, WorkerPool
from rustray.node.preemption import Preemption
from rustray.node.queries import Queries
from rustray.node.relays import Relays
from rustray.node.store import StoreService
from rustray.node.workers import Workers
from rustray.wire.frames import Message

log = logging.getLogger(__name__)

ASK_AGAIN_TICKS = 20
"""Ticks after which those that wait for an actor are asked for again: a node or head that knew of it may be gone."""
COMPLAIN_TICKS = 10
"""Ticks after which the head is told of the nodes that cannot be reached, again and again."""
MEASURE_TICKS = 10
"""Ticks after which the ways to other nodes are measured."""
MAX_PRESTART = 8
"""Workers forked before the first task of a job asks; the rest on demand."""

Handlers = dict[str, Callable[..., None]]


class NodeAgent:
    """See the module.

    Parameters
    ----------
    name: the node's name in the cluster.
    number: the node's number, which is part of those of its clients.
    resources: what the node offers, {"CPU": 2.0, ...}.
    folder: the session directory.
    fork: asks the zygote for a worker process.
    object_store_memory: bytes, None for what suits the machine.
    neighbours: the way to other nodes.
    head: the way to the head.
    on_driver_gone: called when a driver has left.

    Attributes
    ----------
    draining: set when nothing new is to run here, for what runs is let finish.
    finished, failed: tasks that have ended here so far.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        name: str,
        number: int,
        resources: dict[str, float],
        folder: str,
        fork: Fork,
        object_store_memory: int | None,
        neighbours: Neighbours,
        head: Callable[[Message], None],
        on_driver_gone: Callable[[], None] = lambda: None,
    ) -> None:
        self.neighbours = neighbours
        self.head = head
        self.draining = False
        self.finished = self.failed = 0
        self._ticks = 0
        cpus, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))

        clients = self.clients = Clients(number, neighbours)
        store = self.store = StoreService(
            loop, object_store_memory, os.path.join(folder, "spill"), clients.send
        )
        self.outage = HeadOutage(loop, clients)
        self.messages = ClientMessages()
        about = {"node": name, "folder": folder}
        self.door = Door(loop, about, clients, store, self.outage, self.messages.serve, head)
        pool = self.pool = WorkerPool(fork, self.door.adopt, os.path.join(folder, "logs"))
        self.workers = Workers(clients, pool, neighbours, max(2, cpus))

        self.classes = Classes(clients, head)
        partings = self.partings = Partings(clients, pool)
        prestart = min(cpus, MAX_PRESTART)
        jobs = self.jobs = Jobs(clients, self.classes, pool, partings, prestart, self.door.welcome, head)
        self.elsewhere = Elsewhere(clients, neighbours)
        # Before a worker's answers go to another node: the holds it has made for what is in them must count.
        self.relays = Relays(loop, number, neighbours, self.elsewhere.tell, clients.hear)
        introductions = Introductions(clients, self.relays)
        leases = self.leases = Leases(
            clients, self.classes, jobs, pool, partings, gpus, introductions, head, store.ledger.owes
        )
        self.preemption = Preemption(clients, leases, pool, head)
        self.actors = Actors(clients, jobs, leases, introductions, pool, store, head)
        figures = self.figures = Figures(pool)
        self.departures = Departures(
            clients,
            jobs,
            self.classes,
            leases,
            self.elsewhere,
            self.actors,
            self.relays,
            pool,
            store,
            figures,
            head,
            on_driver_gone,
        )
        self.queries = Queries(clients, pool, store, head)

        self.messages.handlers.update(self._from_clients())
        self.messages.refusals.update(
            {
                "class": self.classes.refuse,
                "create_actor": self.actors.refuse_create,
                "query": self.queries.refuse,
            }
        )
        self.messages.on_closed = self.departures.on_closed
        self._from_head = self._from_the_head()
        neighbours.handlers.update(
            to_client=lambda _node, client, message: clients.on_told(client, message),
            return_lease=_of_its_clients(leases.on_return),
            guest_gone=_of_its_clients(leases.on_guest_gone),
            kill_worker=_of_its_clients(self.workers.on_kill),
        )
        neighbours.on_down.append(self._on_node_down)

    # -- who handles what ------------------------------------------------------------------------------

    def _from_clients(self) -> Handlers:
        head, send = self.head, self.clients.send
        return {
            **self.store.handlers,
            "class": self.classes.on_class,
            "unused": self.classes.on_unused,
            "demand": self.classes.on_demand,
            "return": self._on_return,
            "blocked": lambda c: self.leases.on_lent(c, "worker_blocked"),
            "unblocked": lambda c: self.leases.on_lent(c, "worker_unblocked"),
            "kill_worker": self.workers.on_kill,
            "setup_failed": self.workers.on_setup_failed,
            "staying": self.workers.on_staying,
            "parted": self.partings.on_parted,
            "counts": self._on_counts,
            "ran": self.figures.on_ran,
            "owned": self.figures.on_owned,
            "explained": lambda _c, token, description: head(("explained", token, description)),
            "predicted": lambda _c, rows: head(("predicted", rows)),
            "create_actor": self.actors.on_create,
            "connect_actor": self.actors.on_connect,
            "actor_arguments": lambda _c, actor, args, deps: head(("actor_arguments", actor, args, deps)),
            "actor_log": lambda _c, owner, *fields: send(owner, ("actor_log", *fields)),
            "kill_actor": lambda _c, actor, no_restart: head(("kill_actor", actor, no_restart)),
            "actor_unreferenced": lambda _c, actor: head(("actor_unreferenced", actor)),
            "actor_ready": self.actors.on_ready,
            "actor_failed": self.actors.on_failed,
            "actor_ended": self.actors.on_ended,
            "query": self.queries.on_query,
        }

    def _from_the_head(self) -> Handlers:
        send = self.clients.send
        return {
            "job_started": self.jobs.on_started,
            "job": self.jobs.on_told,
            "job_ended": self.jobs.on_ended,
            "class": self.classes.on_told,
            "unused": self.classes.on_gone,
            "suspend": self.preemption.on_suspend,
            "resume": self.preemption.on_resume,
            "requeue": self.preemption.on_requeue,
            "evict": self.preemption.on_evict,
            "node_up": self.on_node_up,
            "node_down": lambda number, _cause: self.neighbours.remove(number),
            "grant": self.leases.on_grant,
            "revoke": self._on_revoke,
            "explain": self.queries.on_explain,
            "gather": self.queries.on_gather,
            "estimate": lambda client, *fields: send(client, ("estimate", *fields)),
            "infeasible": lambda key, client, text: send(client, ("infeasible", key, text)),
            "start_actor": self.actors.on_start,
            "stop_actor": self.actors.on_stop,
            "actor_place": self.actors.on_place,
            "actor_restarting": lambda c, actor, text: send(c, ("actor_restarting", actor, text)),
            "actor_dead": self.actors.on_dead,
            "actor_over": self.actors.on_over,
            "answer": lambda client, request, ok, value: send(client, ("answer", request, ok, value)),
        }

    def from_head(self, message: Message) -> None:
        """A message of the head."""
        self._from_head[message[0]](*message[1:])

    # -- leases here or elsewhere ----------------------------------------------------------------------

    def _on_revoke(self, lease: int, client: int) -> None:
        if lease not in self.leases.here:
            self.elsewhere.on_revoke(lease)
        self.clients.send(client, ("revoke", lease))

    def _on_return(self, client: int, lease: int) -> None:
        if lease in self.leases.here:
            self.leases.on_return(client, lease)
        else:
            self.elsewhere.on_return(client, lease)

    # -- other nodes -----------------------------------------------------------------------------------

    def on_node_up(self, number: int, name: str, address: str) -> None:
        """The cluster has this node."""
        self.elsewhere.on_node_up(number, name)
        self.neighbours.add(number, address)

    def _on_node_down(self, node: int) -> None:
        self.leases.on_node_down(node)
        self.relays.forget_node(node)
        self.elsewhere.on_node_down(node)

    def report(self) -> dict[str, Any]:
        """What is true of this node now, for a head that leads since a moment ago, or has lost sight of it."""
        clients = self.clients.connected.values()
        return {
            "draining": self.draining,
            "jobs": list(self.jobs.known),
            "clients": [(at.client, at.job) for at in clients],
            "classes": self.classes.report({at.key for at in self.leases.here.values()}),
            "demands": [(key, at.client, count) for at in clients for key, count in at.demands.items()],
            "leases": [
                (lease, key, client, worker.blocked, worker.suspended)
                for lease, (worker, client, key) in self.leases.here.items()
            ],
            "actors": [
                (actor, worker.client, worker.incarnation)
                for actor, worker in self.actors.hosted.items()
                if worker.doom is None
            ],
        }

    # -- life ------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Do what is due now and then; called ten times a second."""
        self.workers.retire()
        self.partings.tick(time.monotonic())
        self.relays.tick()
        self._ticks += 1
        if self._ticks % ASK_AGAIN_TICKS == 0:
            self.actors.ask_again()
        if self._ticks % MEASURE_TICKS == 0:
            self.neighbours.measure(self.store.sent_to)
        if self._ticks % COMPLAIN_TICKS == 0 and (unreachable := self.neighbours.unreachable()):
            self.head(("unreachable", unreachable))

    def _on_counts(self, _client: int, finished: int, failed: int) -> None:
        self.finished += finished
        self.failed += failed

    def close(self) -> None:
        """Kill every worker and let the store go."""
        for worker in list(self.pool.workers.values()):
            self.pool.kill(worker, "node", "was stopped because its node is shutting down")
        for client in list(self.clients.connected.values()):
            if client.peer is not None:
                client.peer.close()
        self.relays.close()
        self.store.close()


def _of_its_clients(handle: Callable[..., None]) -> Callable[..., None]:
    """A handler of messages in which another node speaks for one of its own clients, and for no other."""

    def checked(node: int, client: int, *fields: Any) -> None:
        if node_of(client) != node:
            log.warning("node %d speaks for client %x, which is not its own", node, client)
        else:
            handle(client, *fields)

    return checked
